"""Checkpoints by name: the embedded one, a folder, or a repository on the Hugging Face Hub at a fixed commit."""

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from agetransformer.checkpoint import CONFIG_NAME, EMBEDDED, WEIGHTS_NAME, CheckpointError, save_checkpoint

CARD_NAME = "README.md"
GENERATOR_FOLDER = EMBEDDED / "generator"
CLASSIFIER_FOLDER = EMBEDDED / "classifier"
HAIR_SEGMENTER_FOLDER = EMBEDDED / "hair-segmenter"

_FILES = [CONFIG_NAME, WEIGHTS_NAME, CARD_NAME]
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class ResolvedCheckpoint:
    """A checkpoint on disk, and exactly which one it is."""

    folder: Path
    name: str  # "owner/repo" on the Hub, otherwise the folder's name
    revision: str  # full commit hash on the Hub, otherwise "sha256:" and the weights' hash
    sha256: str  # of the weights

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


def resolve(
    source: str | Path | None,
    revision: str | None = None,
    *,
    endpoint: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
) -> ResolvedCheckpoint:
    """Find a checkpoint, download it if need be, and check that every byte arrived.

    Args:
        source: None for the embedded generator, a folder, or "owner/repo" on the Hub.
        revision: commit hash, branch or tag of a Hub repository; None is its main branch. Names are resolved to a full
            commit hash first, so all files come from one commit; a commit that is in the cache needs no network.
        endpoint, cache_dir, token: as in huggingface_hub; None takes HF_ENDPOINT, HF_HUB_CACHE and HF_TOKEN.
    Raises:
        CheckpointError: not there, not reachable, not allowed, or damaged; the message says what to do.
    """
    if source is None:
        source = GENERATOR_FOLDER
    try:
        folder = Path(source).expanduser()
        is_folder = folder.is_dir()
    except RuntimeError:  # ~ of nobody
        is_folder = False
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise CheckpointError(f"{source}: cannot be read ({error.strerror})") from error
        is_folder = False
    if is_folder:
        if revision is not None:
            raise CheckpointError(f"{source} is a folder and has no revisions; leave the revision out")
        _require_files(folder, str(source))
        sha256 = _sha256(folder / WEIGHTS_NAME)
        name = os.fsencode(folder.resolve().name).decode("utf-8", "replace")  # it is written into pictures
        return ResolvedCheckpoint(folder, name, f"sha256:{sha256}", sha256)
    if isinstance(source, Path) or not _REPOSITORY.fullmatch(source):
        raise CheckpointError(f"{source}: no such folder; give a checkpoint's folder, or owner/repo on the Hub")
    return _from_hub(source, revision, endpoint, cache_dir, token)


def save_pretrained(module: nn.Module, folder: str | Path, card: str, half: bool = False) -> Path:
    """Write a checkpoint folder that `resolve` and the Hub accept.

    Args:
        module: generator or classifier, with its dataclass as `.config`.
        card: the model card, Markdown.
        half: store the weights as float16.
    """
    folder = save_checkpoint(module, folder, half)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return folder


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    message: str = "Upload checkpoint",
    endpoint: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Create the repository if need be and upload a checkpoint folder: config, weights and model card, nothing else.

    Returns:
        The full hash of the new commit.
    Raises:
        CheckpointError: a file is missing, or the Hub refused.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    folder = Path(folder)
    _require_files(folder, str(folder))
    card = folder / CARD_NAME
    if not card.is_file() or not card.read_bytes().strip():
        raise CheckpointError(f"{folder}: no {CARD_NAME}; write a model card first, so that others know what it is")
    api = HfApi(endpoint=endpoint, token=token, library_name="agetransformer")
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=_FILES, commit_message=message)
    except (HFValidationError, OSError, httpx2.HTTPError) as error:
        raise CheckpointError(_explain(error, repo_id, None)) from error
    except ValueError as error:  # the Hub's check of the model card's front matter
        raise CheckpointError(f"{folder / CARD_NAME}: {' '.join(str(error).split())}") from error
    return commit.oid


def _from_hub(
    repo_id: str, revision: str | None, endpoint: str | None, cache_dir: str | Path | None, token: str | bool | None
) -> ResolvedCheckpoint:
    import httpx2  # the client's own HTTP library, for its exceptions
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionResolutionError

    api = HfApi(endpoint=endpoint, token=token, library_name="agetransformer")
    try:
        commit = api.resolve_revision(repo_id, revision=revision, cache_dir=cache_dir).resolved
        folder = Path(
            snapshot_download(
                repo_id,
                revision=commit,
                allow_patterns=_FILES,
                endpoint=endpoint,
                cache_dir=cache_dir,
                token=token,
                library_name="agetransformer",
            )
        )
    except (HFValidationError, RevisionResolutionError, OSError, httpx2.HTTPError) as error:
        sentence = _explain(error, repo_id, revision)
        if isinstance(error, RepositoryNotFoundError):  # of a folder's name, mistyped, the Hub is asked too
            sentence += "; nor is there a folder of that name here"
        raise CheckpointError(sentence) from error
    _require_files(folder, f"{repo_id} at {commit}")
    _verify(repo_id, commit, folder, cache_dir)
    return ResolvedCheckpoint(folder, repo_id, commit, _sha256(folder / WEIGHTS_NAME))


def _explain(error: Exception, repo_id: str, revision: str | None) -> str:
    """What happened and what to do, in one sentence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RevisionResolutionError,
    )

    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return f"{repo_id} is not a name on the Hub; it looks like owner/repo"
    if isinstance(error, GatedRepoError):
        return f"{repo_id} asks for consent: accept its terms on its page, and {log_in}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo_id}: no such model on the Hub, or it is private; check the name, and {log_in} if it is private"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id} has no revision {revision}; give a branch, a tag or a full commit hash"
    if isinstance(error, (RevisionResolutionError, LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return (
            f"{repo_id} is not downloaded yet, or only in part, and the Hub cannot be reached; connect (and unset"
            " HF_HUB_OFFLINE) and run this again, or give a checkpoint's folder"
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"the Hub refused the access token for {repo_id}; {log_in} with one that has the permission"
        return f"the Hub answered {status} for {repo_id}; run this again later"
    return f"the transfer of {repo_id} broke off ({type(error).__name__}); check the connection and run this again"


def _require_files(folder: Path, name: str) -> None:
    missing = [file for file in (CONFIG_NAME, WEIGHTS_NAME) if not (folder / file).is_file()]
    if missing:
        raise CheckpointError(
            f"{name}: no {' and no '.join(missing)}; a checkpoint holds {CONFIG_NAME} and {WEIGHTS_NAME}"
        )


def _verify(repo_id: str, commit: str, folder: Path, cache_dir: str | Path | None) -> None:
    """Compare the files with the hashes in the commit's tree; damaged ones are removed from the cache.

    The client checks sizes only. The tree names each file by git's hash of it, or of its LFS pointer.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(repo_id, revision=commit, cache_dir=cache_dir)
    except CachedRepoTreeNotFoundError:
        return  # put there by an older client, or by hand: strict loading has to do
    for entry in tree:
        file = folder / entry.path
        if entry.path in _FILES and file.is_file() and entry.blob_id not in _git_hashes(file):
            file.resolve().unlink()
            file.unlink(missing_ok=True)
            raise CheckpointError(
                f"{entry.path} of {repo_id} arrived damaged (wrong hash) and was removed; run this again to download it"
            )


def _git_hashes(file: Path) -> tuple[str, str]:
    """Git's blob hashes of a file itself and of its LFS pointer."""

    def blob(content: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    content = file.read_bytes()
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    return blob(content), blob(pointer.encode())


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
