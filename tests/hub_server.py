"""A server on loopback that speaks the part of the Hub's HTTP that downloads and uploads of models need.

Small files are served by the Hub itself, weights by a redirect to a storage host with another name, as the real one
does. Faults are switched on by attributes.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPO = "someone/age-model"
TOKEN = "hf_good"


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(content: bytes) -> bytes:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


class HubServer(ThreadingHTTPServer):
    """One model repository with its commits; starts serving at once."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.requests: list[tuple[str, str, bool]] = []  # method, path, with a token
        self.private = False
        self.gated = False
        self.down = False
        self.cuts = 0  # how many more downloads of weights break off in the middle
        self.ranges = True  # whether a broken download can be taken up again
        self.flip = False  # whether one byte of the weights is wrong
        self.commit(files)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        head = hashlib.sha1(f"{len(self.commits)}".encode() + b"".join(files.values())).hexdigest()
        self.commits[head] = dict(files)
        self.branches[branch] = head
        return head

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(head=False)

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def _answer(self, head: bool) -> None:
        path = self.path.split("?")[0]
        authorization = self.headers.get("authorization")
        self.server.requests.append((self.command, path, authorization is not None))
        if stored := re.fullmatch(r"/storage/([0-9a-f]{64})", path):
            return self._storage(stored[1], head)
        if self.server.down:
            return self._reply(503, b"down for maintenance")
        if authorization not in (None, f"Bearer {TOKEN}"):
            return self._error(401, "", "Invalid credentials in Authorization header")
        allowed = authorization is not None or not self.server.private
        if f"/{REPO}" not in path or not allowed:
            return self._error(401 if authorization is None else 404, "RepoNotFound", "Repository not found")
        if self.server.gated and "/resolve/" in path:
            return self._error(403, "GatedRepo", "Access to this model is restricted")
        if info := re.fullmatch(rf"/api/models/{REPO}(?:/revision/(.+))?", path):
            commit = self._commit(info[1] or "main")
            return commit and self._json({"id": REPO, "sha": commit, "siblings": []})
        if tree := re.fullmatch(rf"/api/models/{REPO}/tree/([^/]+)", path):
            commit = self._commit(tree[1])
            return commit and self._json([self._entry(*item) for item in self.server.commits[commit].items()])
        if file := re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", path):
            commit = self._commit(file[1])
            return commit and self._resolve(commit, file[2], head)
        return self._error(404, "", "no such page")

    def _commit(self, revision: str) -> str | None:
        commit = self.server.branches.get(revision, revision)
        if commit not in self.server.commits:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit

    @staticmethod
    def _entry(path: str, content: bytes) -> dict:
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if path.endswith(".safetensors"):
            pointer = lfs_pointer(content)
            entry["oid"] = git_blob(pointer)
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
        return entry

    def _resolve(self, commit: str, path: str, head: bool) -> None:
        content = self.server.commits[commit].get(path)
        if content is None:
            return self._error(404, "EntryNotFound", "Entry not found", commit)
        if not path.endswith(".safetensors"):
            headers = {"ETag": f'"{git_blob(content)}"', "X-Repo-Commit": commit}
            return self._reply(200, content, headers, head)
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"http://localhost:{self.server.server_port}/storage/{sha256}",
        }
        return self._reply(302, b"", headers, head)

    def _storage(self, sha256: str, head: bool) -> None:
        contents = (content for files in self.server.commits.values() for content in files.values())
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

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, "authorization" in self.headers))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._error(401, "", "Invalid credentials in Authorization header")
        if self.path == "/api/repos/create":
            return self._json({"url": f"{self.server.endpoint}/{REPO}", "name": REPO, "id": "1"})
        if self.path == "/api/validate-yaml":
            wrong = "licence:" in json.loads(body)["content"]
            return self._json(
                {"errors": [{"message": "use license"}] if wrong else [], "warnings": []}, 400 if wrong else 200
            )
        if self.path.startswith(f"/api/models/{REPO}/preupload/"):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for path in files]
            return self._json({"files": modes})
        if self.path.startswith(f"/api/models/{REPO}/commit/"):
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            commit = self.server.commit(files)
            url = f"{self.server.endpoint}/{REPO}/commit/{commit}"
            return self._json({"commitOid": commit, "commitUrl": url, "hookOutput": ""})
        return self._error(404, "", "no such page")

    def _json(self, value: object, status: int = 200) -> None:
        self._reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._reply(status, b"", headers | ({"X-Repo-Commit": commit} if commit else {}))

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, head: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head and self.command != "HEAD":
            self.wfile.write(body)
