"""A server on loopback that speaks the part of the Hub's HTTP that downloads and uploads need.

Small files are served by the Hub itself, weights and pictures by a redirect to a storage host with another name, as
the real one does; they are uploaded there too. Faults are switched on by attributes.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

import yaml

REPO = "someone/age-model"
TOKEN = "hf_good"
READ_TOKEN = "hf_read"
OWNER = "someone"  # of both tokens
OTHERS = {"museum": "organizations", "neighbour": "users"}

_LARGE = {".safetensors", ".task", ".jpg", ".png"}  # kept in storage, with a pointer in the repository


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(content: bytes) -> bytes:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


def is_large(path: str) -> bool:
    return PurePosixPath(path).suffix in _LARGE


@dataclass
class Repository:
    """Commits, each with all its files, and branches."""

    sdk: str | None = None  # of a Space
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        head = hashlib.sha1(f"{len(self.commits)}".encode() + b"".join(files.values())).hexdigest()
        self.commits[head] = dict(files)
        self.branches[branch] = head
        return head

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.branches["main"]]


class HubServer(ThreadingHTTPServer):
    """A Hub with one model repository, and room for more; starts serving at once."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = Repository()
        self.repositories = {("model", REPO): self.model}
        self.stored: dict[str, bytes] = {}  # uploads to storage, by SHA-256
        self.requests: list[tuple[str, str, bool]] = []  # method, path, with a token
        self.gated = False
        self.down = False
        self.unpaid = False  # whether the owner's plan has no Gradio Spaces
        self.cuts = 0  # how many more downloads of weights break off in the middle
        self.ranges = True  # whether a broken download can be taken up again
        self.flip = False  # whether one byte of the weights is wrong
        self.bare = False  # whether a proxy takes the etag and the commit out of the answers
        self.renamed: dict[str, str] = {}  # old name of a repository -> its name now
        self.commit(files)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def commits(self) -> dict[str, dict[str, bytes]]:
        return self.model.commits

    @property
    def branches(self) -> dict[str, str]:
        return self.model.branches

    @property
    def private(self) -> bool:
        return self.model.private

    @private.setter
    def private(self, value: bool) -> None:
        self.model.private = value

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        return self.model.commit(files, branch)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._read(head=False)

    def do_HEAD(self) -> None:
        self._read(head=True)

    def do_PUT(self) -> None:
        path, body = self._begin()
        sha256 = path.removeprefix("/storage/")
        if hashlib.sha256(body).hexdigest() != sha256:
            return self._error(400, "", "the content has another hash")
        self.server.stored[sha256] = body
        self._reply(200, b"")

    def do_POST(self) -> None:
        path, body = self._begin()
        if self.server.down:
            return self._reply(503, b"down for maintenance")
        if path == "/api/validate-yaml":  # for everyone
            errors = _errors_of_card(**json.loads(body))
            return self._json(
                {"errors": [{"message": error} for error in errors], "warnings": []}, 400 if errors else 200
            )
        if self._token() not in (TOKEN, READ_TOKEN):
            return self._error(401, "", "Invalid credentials in Authorization header")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if not (action := re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)/(preupload|commit)/main", path)):
            action = re.fullmatch(r"/(?:(space)s/)?([^/]+/[^/]+)\.(git)/info/lfs/objects/batch", path)
        if action is None:
            return self._error(404, "", "no such page")
        kind, name, what = action[1] or "model", action[2], action[3]
        repository = self._repository(kind, name)
        if repository is None:
            return
        if not self._writes(name):
            return self._error(403, "", "you are not allowed to write here")
        if what == "preupload":
            return self._json({"files": [self._mode(repository, file["path"]) for file in json.loads(body)["files"]]})
        if what == "git":
            return self._json({"objects": [self._action(asked) for asked in json.loads(body)["objects"]]})
        return self._commit(repository, self._url(kind, name), body)

    def _begin(self) -> tuple[str, bytes]:
        path = self.path.split("?")[0]
        self.server.requests.append((self.command, path, "authorization" in self.headers))
        return path, self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _url(self, kind: str, name: str) -> str:
        return f"{self.server.endpoint}/{'spaces/' if kind == 'space' else ''}{name}"

    def _token(self) -> str | None:
        authorization = self.headers.get("authorization")
        return authorization and authorization.removeprefix("Bearer ")

    def _writes(self, name: str) -> bool:
        return self._token() == TOKEN and name.startswith(f"{OWNER}/")

    def _repository(self, kind: str, name: str) -> Repository | None:
        """The repository, or an answer that there is none, or none for this token."""
        repository = self.server.repositories.get((kind, name))
        if repository is None or (repository.private and self._token() is None):
            self._error(401 if self._token() is None else 404, "RepoNotFound", "Repository not found")
            return None
        return repository

    def _read(self, head: bool) -> None:
        path, _ = self._begin()
        if stored := re.fullmatch(r"/storage/([0-9a-f]{64})", path):
            return self._storage(stored[1], head)
        if self.server.down:
            return self._reply(503, b"down for maintenance")
        if self._token() not in (None, TOKEN, READ_TOKEN):
            return self._error(401, "", "Invalid credentials in Authorization header")
        for old, new in self.server.renamed.items():
            if f"/{old}/" in f"{path}/":
                return self._reply(307, b"", {"Location": path.replace(old, new)})
        if owner := re.fullmatch(r"/api/(users|organizations)/([^/]+)/overview", path):
            known = {OWNER: "users"} | OTHERS
            found = known.get(owner[2]) == owner[1]
            return self._json({"user" if owner[1] == "users" else "name": owner[2]}, 200 if found else 404)
        if asked := re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
            kind, name, what, revision = asked.groups()
        elif asked := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, what, revision = "model", asked[1], "resolve", asked[2]
        else:
            return self._error(404, "", "no such page")
        repository = self._repository(kind, name)
        if repository is None:
            return
        if self.server.gated and what == "resolve":
            return self._error(403, "GatedRepo", "Access to this model is restricted")
        commit = repository.branches.get(revision or "main", revision)
        if commit not in repository.commits:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[commit]
        if what == "resolve":
            return self._resolve(files, commit, asked[3], head)
        if what == "tree":
            return self._json([self._entry(*item) for item in files.items()])
        siblings = [{"rfilename": path} for path in files]
        self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    @staticmethod
    def _entry(path: str, content: bytes) -> dict:
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if is_large(path):
            pointer = lfs_pointer(content)
            entry["oid"] = git_blob(pointer)
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
        return entry

    def _resolve(self, files: dict[str, bytes], commit: str, path: str, head: bool) -> None:
        content = files.get(path)
        if content is None:
            return self._error(404, "EntryNotFound", "Entry not found", commit)
        if not is_large(path):
            headers = {"ETag": f'"{git_blob(content)}"', "X-Repo-Commit": commit}
            return self._reply(200, content, headers, head)
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            "Location": self._storage_url(sha256),
        }
        return self._reply(302, b"", headers, head)

    def _storage_url(self, sha256: str) -> str:
        return f"http://localhost:{self.server.server_port}/storage/{sha256}"

    def _storage(self, sha256: str, head: bool) -> None:
        repositories = self.server.repositories.values()
        contents = (content for each in repositories for files in each.commits.values() for content in files.values())
        content = next(content for content in contents if hashlib.sha256(content).hexdigest() == sha256)
        if self.server.flip:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start, headers = 0, {"ETag": f'"{sha256}"'}
        if self.server.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if self.server.cuts:
            self.server.cuts -= 1
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            half = content[start : start + (len(content) - start) // 2]
            self.wfile.write(half if self.server.ranges else b"")
            self.close_connection = True
            return
        self._reply(206 if start else 200, content[start:], headers, head)

    def _create(self, asked: dict) -> None:
        kind, owner = asked.get("type", "model"), asked["organization"]
        name = f"{owner}/{asked['name']}"
        created = {"url": self._url(kind, name), "name": name}
        if (kind, name) in self.server.repositories:
            return self._json(created | {"error": f"You already created this {kind} repo"}, 409)
        if not self._writes(name):
            sentence = f'You don\'t have the rights to create a {kind} under the namespace "{owner}"'
            return self._error(403, "", sentence)
        if kind == "space" and asked.get("sdk") not in ("gradio", "docker", "static"):
            return self._error(400, "", "sdk is missing")
        if kind == "space" and self.server.unpaid:
            return self._error(402, "", "Subscribe to PRO to host Gradio Spaces")
        repository = Repository(asked.get("sdk"), asked.get("visibility") == "private")
        repository.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self.server.repositories[kind, name] = repository
        self._json(created)

    @staticmethod
    def _mode(repository: Repository, path: str) -> dict:
        """How a file is to be uploaded, and the hash of the one that is there."""
        content, mode = repository.files.get(path), "lfs" if is_large(path) else "regular"
        oid = None
        if content is not None:
            oid = hashlib.sha256(content).hexdigest() if is_large(path) else git_blob(content)
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _action(self, asked: dict) -> dict:
        return asked | {"actions": {"upload": {"href": self._storage_url(asked["oid"])}}}

    def _commit(self, repository: Repository, url: str, body: bytes) -> None:
        files, head = dict(repository.files), repository.branches["main"]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", head) != head:
                return self._error(412, "", "The branch has moved on")
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                if value["oid"] not in self.server.stored:
                    return self._error(400, "", f"{value['path']} was not uploaded")
                files[value["path"]] = self.server.stored[value["oid"]]
            if line["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files)
        self._json({"commitOid": commit, "commitUrl": f"{url}/commit/{commit}", "hookOutput": ""})

    def _json(self, value: object, status: int = 200) -> None:
        self._reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._reply(status, b"", headers | ({"X-Repo-Commit": commit} if commit else {}))

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, head: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if not (self.server.bare and name in ("ETag", "X-Linked-Etag", "X-Repo-Commit")):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head and self.command != "HEAD":
            self.wfile.write(body)


def _errors_of_card(content: str, repoType: str) -> list[str]:
    """What the Hub finds wrong in the front matter of a README.md."""
    front = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
    errors = ["use license"] if "licence" in front else []
    if repoType == "space" and len(front.get("short_description", "")) > 60:
        errors.append('"short_description" length must be less than or equal to 60 characters long')
    if repoType == "space" and not front.get("sdk"):
        errors.append('"sdk" is required')
    return errors
