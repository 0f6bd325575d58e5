"""Publish a checkout: `python -m agetransformer.publish --space owner/name --model owner/name`.

The model repository holds the generator at its root, where `AgeEditor.from_pretrained("owner/name")` looks for it, and
the age classifier beside it. The Space holds the page, the code and the same checkpoints, so it starts without the
model repository. Each card links to the other repository, and to the whole code where --code says where that is.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from agetransformer.checkpoint import CheckpointError, load_checkpoint

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

ROOT = Path(__file__).parent.parent
REFUSED = 2  # exit code, the same as argparse's for a bad argument
GENERATOR = "checkpoints/generator"
CLASSIFIER = "checkpoints/classifier"
HAIR_SEGMENTER = "checkpoints/hair-segmenter"
# Files and folders that the Space needs; checkpoints/classifier-robust* are for training only.
SPACE_FILES = (
    "README.md",
    "LICENSE",
    "app.py",
    "requirements.txt",
    "packages.txt",
    "agetransformer",
    "assets",
    "checkpoints/LICENSE.md",
    "checkpoints/face_landmarker",
    HAIR_SEGMENTER,
    CLASSIFIER,
    GENERATOR,
)
THUMBNAIL = "assets/grid.png"  # what a link to the Space shows, where the card names nothing else
OMITTED, OMITTED_END = "<!-- not in a Space's card -->", "<!-- in a Space's card again -->"  # lines in README.md
_PLACEHOLDER = "owner/name"  # in the model card: the repository that it will lie in
_HEADING = re.compile(r"^# .*\n", re.MULTILINE)
_RELATIVE_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


class PublishError(Exception):
    """Publishing is not possible; the message says why and what to do."""


@dataclass(frozen=True)
class Upload:
    """What one repository on the Hub is to hold."""

    repo_id: str  # owner/name
    kind: Literal["model", "space"]
    files: dict[str, Path | bytes]  # path in the repository -> a file of the checkout, or the content itself

    @property
    def sizes(self) -> dict[str, int]:
        """Path in the repository -> bytes."""
        return {
            path: len(content) if isinstance(content, bytes) else content.stat().st_size
            for path, content in self.files.items()
        }


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line on the checkout in `root`; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m agetransformer.publish",
        description="Creates or updates a model repository and a Space on the Hugging Face Hub from this checkout."
        " Log in first with `hf auth login`, or set HF_TOKEN.",
    )
    parser.add_argument("--space", type=_name, required=True, metavar="OWNER/NAME", help="the Space with the page")
    parser.add_argument(
        "--model", type=_name, required=True, metavar="OWNER/NAME", help="the repository of the weights"
    )
    parser.add_argument("--code", metavar="URL", help="where all of the code is, training too; the cards link there")
    parser.add_argument("--dry-run", action="store_true", help="check and list every file; send nothing")
    parser.add_argument("--private", action="store_true", help="create them private; refuse if one is public already")
    parser.add_argument("--endpoint", metavar="URL", help="another Hub (default: HF_ENDPOINT, or huggingface.co)")
    options = parser.parse_args(arguments)
    try:
        uploads = [
            model_upload(root, options.model, options.space, options.endpoint, options.code),
            space_upload(root, options.space, options.model, options.endpoint, options.code),
        ]
        for upload in uploads:
            print(_listing(upload) if options.dry_run else _summary(upload))
        check_clean(root)
        api = None if options.dry_run else _api(options.endpoint)
        check_files(root)
        if api is not None:
            for upload in uploads:
                commit = push(api, upload, private=options.private, message=f"agetransformer at {_version(root)}")
                print(f"{commit.repo_url} is at {commit.oid}")
    except PublishError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


def model_upload(root: Path, repo_id: str, space: str, endpoint: str | None = None, code: str | None = None) -> Upload:
    """The generator's folder as the root of the repository, the age classifier's as classifier/.

    Args:
        space: the Space, which the card links to.
        code: address of all of the code, for the card.
    """
    files: dict[str, Path | bytes] = {}
    for folder, inside in ((GENERATOR, ""), (CLASSIFIER, "classifier/")):
        files |= {inside + path.removeprefix(folder + "/"): root / path for path in tracked_files(root, [folder])}
    if "README.md" in files:
        card = (root / GENERATOR / "README.md").read_text(encoding="utf-8")
        files["README.md"] = _model_card(card, repo_id, space, _space_url(space, endpoint), code)
    return Upload(repo_id, "model", files)


def space_upload(root: Path, repo_id: str, model: str, endpoint: str | None = None, code: str | None = None) -> Upload:
    """The files of the Space; its card names the model repository and a thumbnail.

    The card leaves out what README.md has between OMITTED and OMITTED_END, which is about files that a Space lacks.

    Args:
        code: address of all of the code, for the card.
    Raises:
        PublishError: README.md does not start with a Gradio Space's front matter.
    """
    files: dict[str, Path | bytes] = {path: root / path for path in tracked_files(root, SPACE_FILES)}
    if "README.md" in files:
        url = _space_url(repo_id, endpoint)
        readme = _add_code(_fit_space((root / "README.md").read_text(encoding="utf-8"), set(files), url), code)
        thumbnail = f"{url}/resolve/main/{THUMBNAIL}" if THUMBNAIL in files else None
        files["README.md"] = _space_card(readme, model, thumbnail)
    return Upload(repo_id, "space", files)


def tracked_files(root: Path, paths: Sequence[str]) -> list[str]:
    """What git tracks of `paths`, files or folders relative to `root`, sorted; without git, what is on disk."""
    if (root / ".git").exists():
        listed = _git(root, "ls-files", "-z", "--", *paths).split("\0")[:-1]
        return sorted(path for path in listed if (root / path).is_file())
    found = (file for path in paths for file in [root / path, *(root / path).rglob("*")] if file.is_file())
    relative = (file.relative_to(root) for file in found)
    return sorted(
        path.as_posix()
        for path in relative
        if not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    )


def check_files(root: Path) -> None:
    """All that the Space needs is there, and the checkpoints load.

    Raises:
        PublishError: something is missing or damaged.
    """
    from agetransformer.classifier import AgeClassifier, ClassifierConfig
    from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
    from agetransformer.networks import Generator, GeneratorConfig

    needed = [*SPACE_FILES, f"{GENERATOR}/README.md", f"{CLASSIFIER}/README.md"]
    if missing := [path for path in needed if not tracked_files(root, [path])]:
        raise PublishError(f"not in the checkout: {', '.join(missing)}; add and commit what is missing")
    try:
        load_checkpoint(Generator, GeneratorConfig, root / GENERATOR)
        load_checkpoint(AgeClassifier, ClassifierConfig, root / CLASSIFIER)
        load_checkpoint(HairSegmenter, HairSegmenterConfig, root / HAIR_SEGMENTER)
    except CheckpointError as error:
        raise PublishError(f"a checkpoint does not load: {error}") from error


def check_clean(root: Path) -> None:
    """What is published is a commit; a folder without git is taken as it is.

    Raises:
        PublishError: there are changes that are not committed.
    """
    if not (root / ".git").exists():
        return
    changed = [entry[3:] for entry in _git(root, "status", "--porcelain", "--no-renames", "-z").split("\0") if entry]
    if changed:
        names = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise PublishError(f"the checkout has changes that are not committed ({names}); commit or remove them first")


def push(api: "HfApi", upload: Upload, *, private: bool, message: str) -> "CommitInfo":
    """Create the repository if need be, and make its files those of `upload`, in one commit.

    Files of the repository that are in none of the upload's folders stay.

    Raises:
        PublishError: the Hub cannot be reached, or refused.
    """
    import httpx2  # the client's own HTTP library, for its exceptions
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, ModelInfo, SpaceInfo

    repo_id, kind = upload.repo_id, upload.kind
    try:
        sdk = "gradio" if kind == "space" else None
        api.create_repo(repo_id, repo_type=kind, private=private or None, exist_ok=True, space_sdk=sdk)
        there = api.repo_info(repo_id, repo_type=kind)
        if private and not there.private:
            raise PublishError(f"the {kind} {repo_id} exists and is public; make it private in its settings first")
        folders = {path.split("/")[0] for path in upload.files if "/" in path}
        old = [file.rfilename for file in cast(ModelInfo | SpaceInfo, there).siblings or []]
        stale = [path for path in old if path.split("/")[0] in folders and path not in upload.files]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, content) for path, content in upload.files.items()),
            *(CommitOperationDelete(path) for path in stale),
        ]
        return api.create_commit(
            repo_id, operations, commit_message=message, repo_type=kind, parent_commit=there.sha, revision="main"
        )
    except (OSError, RuntimeError, httpx2.HTTPError) as error:  # hf_xet, the uploader, raises RuntimeError
        raise PublishError(_explain(api, error, upload)) from error
    except ValueError as error:  # the Hub's check of the card's front matter
        raise PublishError(f"the Hub refuses the {kind} {repo_id}: {' '.join(str(error).split())}") from error


def _name(text: str) -> str:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name on the Hub; it looks like owner/name") from error
    if "/" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} lacks its owner, a user or an organisation: owner/{text}")
    return text


def _summary(upload: Upload) -> str:
    total = sum(upload.sizes.values()) / 1e6
    return f"{upload.kind} {upload.repo_id}: {len(upload.files)} files, {total:.1f} MB"


def _listing(upload: Upload) -> str:
    """The summary, then one line for each file: bytes and path."""
    return "\n".join([_summary(upload), *(f"{size:>12,}  {path}" for path, size in upload.sizes.items())])


def _space_url(repo_id: str, endpoint: str | None) -> str:
    from huggingface_hub import HfApi

    return f"{HfApi(endpoint).endpoint}/spaces/{repo_id}"


def _model_card(card: str, repo_id: str, space: str, space_url: str, code: str | None) -> bytes:
    """The card with the repository's own name, and under its heading where the page and the code are."""
    where = (
        f"The page: [{space}]({space_url}). It holds the code of the example below:"
        f" `hf download {space} --repo-type space --local-dir age-transformer`, and in that folder"
        " `pip install -r requirements.txt`.\n"
    )
    return _add_code(_add_under_heading(card.replace(_PLACEHOLDER, repo_id), where), code).encode()


def _add_code(card: str, code: str | None) -> str:
    return _add_under_heading(card, f"All of the code, with training and measurements: <{code}>\n") if code else card


def _add_under_heading(card: str, paragraph: str) -> str:
    heading = _HEADING.search(card)
    end = heading.end() if heading else len(card)
    return f"{card[:end]}\n{paragraph}{card[end:]}"


def _fit_space(readme: str, files: set[str], url: str) -> str:
    """README.md without what a Space lacks: omitted parts go, links to its files get its address, others lose theirs.

    Raises:
        PublishError: an omitted part has no end.
    """
    kept, *parts = readme.split(f"{OMITTED}\n")
    for part in parts:
        _, end, after = part.partition(f"{OMITTED_END}\n")
        if not end:
            raise PublishError(f"README.md: a line {OMITTED} has no line {OMITTED_END} after it")
        kept = kept.rstrip("\n") + "\n\n" + after.lstrip("\n")

    def absolute(link: re.Match[str]) -> str:
        image, label, target = link.groups()
        if target not in files:
            return label
        return f"{image}[{label}]({url}/{'resolve' if image else 'blob'}/main/{target})"

    return _RELATIVE_LINK.sub(absolute, kept)


def _space_card(readme: str, model: str, thumbnail: str | None) -> bytes:
    import yaml
    from huggingface_hub import SpaceCard

    try:
        card = SpaceCard(readme)
    except (ValueError, yaml.YAMLError) as error:
        raise PublishError(f"README.md: its front matter is not valid YAML ({' '.join(str(error).split())})") from error
    if card.data.get("sdk") != "gradio":
        raise PublishError("README.md: its front matter lacks `sdk: gradio`, which makes it a Space's card")
    card.data["models"] = [model]
    if thumbnail and not card.data.get("thumbnail"):
        card.data["thumbnail"] = thumbnail
    return str(card).encode()


def _api(endpoint: str | None) -> "HfApi":
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if token is None:
        raise PublishError(f"there is no access token; {_LOG_IN}")
    return HfApi(endpoint, token, library_name="agetransformer")


_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that has write permission"


def _explain(api: "HfApi", error: Exception, upload: Upload) -> str:
    """What happened and what to do, in one sentence."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name, owner = f"the {upload.kind} {upload.repo_id}", upload.repo_id.split("/")[0]
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to publish"
    if not isinstance(error, HfHubHTTPError):
        return f"the transfer of {name} broke off ({type(error).__name__}); check the connection and run this again"
    status = error.response.status_code
    said = f" ({error.server_message})" if error.server_message else ""
    if status == 401:
        return f"the Hub does not accept the access token, it may have expired; {_LOG_IN}"
    if status == 402:
        return f"the Hub asks for a paid plan to create {name}{said}"
    if status == 412:
        return f"somebody else changed {name} at the same time; look at it and run this again"
    if status in (403, 404) and not _exists(api, owner):
        return f"there is no user or organisation {owner} on the Hub; check the name of {name}"
    if status in (403, 404):
        return f"the access token may not write {name}{said}; {_LOG_IN} there"
    return f"the Hub answered {status} for {name}{said}; run this again later"


def _exists(api: "HfApi", owner: str) -> bool:
    """Whether the Hub knows a user or an organisation; True when it does not say."""
    from huggingface_hub.errors import HfHubHTTPError

    for overview in (api.get_user_overview, api.get_organization_overview):
        try:
            overview(owner)
            return True
        except HfHubHTTPError as error:
            if error.response.status_code != 404:
                return True
    return False


def _version(root: Path) -> str:
    """The commit that is published; without git, "a folder without git"."""
    return _git(root, "rev-parse", "HEAD").strip() if (root / ".git").exists() else "a folder without git"


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise PublishError("git is needed to tell what belongs to the checkout; please install it") from error
    except subprocess.CalledProcessError as error:
        raise PublishError(f"git does not read the checkout: {' '.join(error.stderr.split())}") from error


if __name__ == "__main__":
    sys.exit(main())
