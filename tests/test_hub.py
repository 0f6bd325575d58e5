"""Checkpoints by name, with the real huggingface_hub client against a server on loopback."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import REPO, TOKEN, HubServer, git_blob

from agetransformer import hub
from agetransformer.checkpoint import CheckpointError, load_checkpoint
from agetransformer.editor import AgeEditor
from agetransformer.networks import Generator, GeneratorConfig

FILES = ("config.json", "model.safetensors", "README.md")


@pytest.fixture
def contents(untrained_generator: Path) -> dict[str, bytes]:
    extra = {"optimizer.bin": b"not for you", ".gitattributes": b"*.safetensors filter=lfs\n"}
    return {name: (untrained_generator / name).read_bytes() for name in FILES} | extra


@pytest.fixture
def server(contents: dict[str, bytes]) -> Iterator[HubServer]:
    server = HubServer(contents)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_saved_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # uploads by plain HTTP


def fetch(
    server: HubServer, tmp_path: Path, revision: str | None = None, token: str | None = None
) -> hub.ResolvedCheckpoint:
    return hub.resolve(REPO, revision, endpoint=server.endpoint, cache_dir=tmp_path / "cache", token=token)


def test_branch_is_resolved_to_one_commit(server: HubServer, contents: dict[str, bytes], tmp_path: Path) -> None:
    head = server.branches["main"]
    found = fetch(server, tmp_path)
    assert (found.name, found.revision, str(found)) == (REPO, head, f"{REPO}@{head}")
    assert found.sha256 == hashlib.sha256(contents["model.safetensors"]).hexdigest()
    assert sorted(file.name for file in found.folder.iterdir()) == sorted(FILES)  # not the optimizer
    for name in FILES:
        assert (found.folder / name).read_bytes() == contents[name]
    assert load_checkpoint(Generator, GeneratorConfig, found.folder).config.resolution == 64
    downloads = [path for _, path, _ in server.requests if "/resolve/" in path]
    assert downloads and all(f"/resolve/{head}/" in path for path in downloads)
    asked = {path.split("/")[-1] for method, path, _ in server.requests if method == "HEAD"}
    assert asked == set(FILES)
    # What the answers said of etag and commit names the files of the cache.
    assert found.folder.name == head
    assert (found.folder / "config.json").resolve().name == git_blob(contents["config.json"])
    assert (found.folder / "model.safetensors").resolve().name == found.sha256


def test_main_moves_on_but_a_commit_stays(server: HubServer, contents: dict[str, bytes], tmp_path: Path) -> None:
    old = server.branches["main"]
    new = server.commit(contents | {"README.md": b"# New\n"})
    server.commit(contents | {"README.md": b"# Tagged\n"}, branch="v1.0")
    assert (fetch(server, tmp_path).folder / "README.md").read_bytes() == b"# New\n"
    assert fetch(server, tmp_path).revision == new
    pinned = fetch(server, tmp_path, revision=old)
    assert pinned.revision == old and (pinned.folder / "README.md").read_bytes() == contents["README.md"]
    assert (fetch(server, tmp_path, revision="v1.0").folder / "README.md").read_bytes() == b"# Tagged\n"


def test_a_cached_commit_needs_no_network(server: HubServer, tmp_path: Path) -> None:
    head = fetch(server, tmp_path).revision
    asked = len(server.requests)
    assert fetch(server, tmp_path, revision=head).revision == head
    assert len(server.requests) == asked
    server.stop()
    assert fetch(server, tmp_path).revision == head  # main, as it was last seen
    server.server_port = 1  # nobody listens there


def use_as_default(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub that is asked where no endpoint is given, with a cache of its own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_a_renamed_repository_is_followed(server: HubServer, tmp_path: Path) -> None:
    server.renamed["someone/old-name"] = REPO
    found = hub.resolve("someone/old-name", endpoint=server.endpoint, cache_dir=tmp_path)
    assert found.revision == server.branches["main"]
    assert load_checkpoint(Generator, GeneratorConfig, found.folder)


def test_answers_without_etag_and_commit(server: HubServer, tmp_path: Path) -> None:
    server.bare = True
    with pytest.raises(CheckpointError, match=r"check the connection|cannot be reached"):
        fetch(server, tmp_path)
    server.bare = False
    assert fetch(server, tmp_path).revision == server.branches["main"]


def test_editor_of_a_pinned_revision(
    server: HubServer, contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: None
) -> None:
    old = server.branches["main"]
    server.commit(contents | {"config.json": contents["config.json"].replace(b"64", b"128")})
    use_as_default(server, tmp_path, monkeypatch)
    assert AgeEditor.from_pretrained(REPO).resolution == 128
    pinned = AgeEditor.from_pretrained(REPO, revision=old)
    assert pinned.resolution == 64 and pinned.name == f"{REPO}@{old}"  # the name goes into every saved picture


def test_editor_pushes_itself(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: None
) -> None:
    use_as_default(server, tmp_path, monkeypatch)
    editor = AgeEditor.from_pretrained()
    commit = editor.push_to_hub(REPO, token=TOKEN)
    assert server.branches["main"] == commit and server.model.files["README.md"].decode() == editor.card
    theirs = AgeEditor.from_pretrained(REPO, revision=commit).generator.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in editor.generator.state_dict().items())
    # The card tells the weights' size and hash.
    assert server.model.files["model.safetensors"] == (hub.GENERATOR_FOLDER / "model.safetensors").read_bytes()


def test_the_token_stays_with_the_hub(server: HubServer, tmp_path: Path) -> None:
    server.private = True
    fetch(server, tmp_path, token=TOKEN)
    assert any(path.startswith("/storage/") for _, path, _ in server.requests)
    for _, path, with_token in server.requests:
        assert with_token != path.startswith("/storage/"), path


def test_no_such_repository_or_private(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such model.*private.*hf auth login"):
        hub.resolve("someone/else", endpoint=server.endpoint, cache_dir=tmp_path)
    server.private = True
    with pytest.raises(CheckpointError, match="no such model"):
        fetch(server, tmp_path)


def test_refused_token_and_gate(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="refused the access token"):
        fetch(server, tmp_path, token="hf_expired")
    server.gated = True
    with pytest.raises(CheckpointError, match="accept its terms"):
        fetch(server, tmp_path, token=TOKEN)


@pytest.mark.parametrize("revision", ["nightly", "0123456", "0" * 40])
def test_no_such_revision(server: HubServer, tmp_path: Path, revision: str) -> None:
    with pytest.raises(CheckpointError, match=f"no revision {revision}"):
        fetch(server, tmp_path, revision=revision)


@pytest.mark.parametrize(
    "source",
    ["some one/x", "a/b/c", "models\\x", "./nowhere/x", "nowhere", "https://hub/x", "~no-such-user-1/x", "x" * 300],
)
def test_neither_folder_nor_repository(source: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        hub.resolve(source)


def test_name_that_the_hub_does_not_allow(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="owner/repo"):
        hub.resolve("a--b/c..d", endpoint=server.endpoint, cache_dir=tmp_path)


def test_offline(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"not downloaded yet.*HF_HUB_OFFLINE"):
        fetch(server, tmp_path)
    with pytest.raises(CheckpointError, match="not downloaded yet"):
        fetch(server, tmp_path, revision="1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    head = fetch(server, tmp_path).revision
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch(server, tmp_path).revision == fetch(server, tmp_path, revision=head).revision == head


def test_half_downloaded_cache(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fetch(server, tmp_path)
    weights = found.folder / "model.safetensors"
    weights.resolve().unlink()
    weights.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="only in part"):
        fetch(server, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert fetch(server, tmp_path).sha256 == found.sha256


def test_connection_cut_in_the_middle_is_taken_up_again(server: HubServer, tmp_path: Path) -> None:
    server.cuts = 1
    assert fetch(server, tmp_path).revision == server.branches["main"]
    assert sum(path.startswith("/storage/") for _, path, _ in server.requests) == 2


def test_connection_that_stays_broken(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    server.cuts, server.ranges = 100, False
    with pytest.raises(CheckpointError, match="broke off"):
        fetch(server, tmp_path)
    server.cuts = 0
    assert fetch(server, tmp_path).revision == server.branches["main"]


@pytest.mark.parametrize("where", ["on the way", "in the cache"])
def test_wrong_hash(server: HubServer, tmp_path: Path, where: str) -> None:
    if where == "on the way":
        server.flip = True
    else:
        weights = fetch(server, tmp_path).folder / "model.safetensors"
        content = weights.read_bytes()
        weights.resolve().write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="wrong hash"):
        fetch(server, tmp_path)
    server.flip = False
    found = fetch(server, tmp_path)
    assert load_checkpoint(Generator, GeneratorConfig, found.folder)


def test_repository_without_weights(server: HubServer, tmp_path: Path) -> None:
    server.commit({"README.md": b"# Soon\n"})
    with pytest.raises(CheckpointError, match=r"no config\.json and no model\.safetensors"):
        fetch(server, tmp_path)


def test_folder_and_embedded(untrained_generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hub.resolve(untrained_generator)
    assert found == hub.resolve(str(untrained_generator)) and found.folder == untrained_generator
    assert found.revision == f"sha256:{found.sha256}"
    monkeypatch.chdir(untrained_generator.parent.parent)
    inside = "/".join(untrained_generator.parts[-2:])
    assert hub.resolve(inside).sha256 == found.sha256  # looks like owner/repo, but is there
    monkeypatch.setattr(hub, "GENERATOR_FOLDER", untrained_generator)
    assert hub.resolve(None) == found
    with pytest.raises(CheckpointError, match="no revisions"):
        hub.resolve(untrained_generator, "main")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        hub.resolve(tmp_path)
    monkeypatch.setattr(hub, "GENERATOR_FOLDER", tmp_path / "gone")
    with pytest.raises(CheckpointError, match="no such folder"):
        hub.resolve(None)


def test_save_push_and_load_again(server: HubServer, contents: dict[str, bytes], tmp_path: Path) -> None:
    torch.manual_seed(3)
    generator = Generator(GeneratorConfig(resolution=64, residual=True)).eval()
    folder = hub.save_pretrained(generator, tmp_path / "mine", "---\nlicense: cc-by-nc-4.0\n---\n# Mine\n")
    (folder / "notes.txt").write_text("private")
    commit = hub.push_to_hub(folder, REPO, endpoint=server.endpoint, token=TOKEN)
    assert server.branches["main"] == commit and sorted(server.commits[commit]) == sorted(contents)  # no notes.txt
    found = hub.resolve(REPO, commit, endpoint=server.endpoint, cache_dir=tmp_path / "cache")
    loaded = load_checkpoint(Generator, GeneratorConfig, found.folder)
    face, age = torch.rand(1, 3, 64, 64), torch.tensor([30.0])
    with torch.no_grad():
        assert torch.equal(loaded(face, age), generator(face, age))


def test_push_refusals(server: HubServer, untrained_generator: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="refused the access token"):
        hub.push_to_hub(untrained_generator, REPO, endpoint=server.endpoint, token="hf_expired")
    with pytest.raises(CheckpointError, match="no config"):
        hub.push_to_hub(tmp_path, REPO, endpoint=server.endpoint, token=TOKEN)
    for name in FILES[:2]:
        (tmp_path / name).write_bytes((untrained_generator / name).read_bytes())
    with pytest.raises(CheckpointError, match="model card"):
        hub.push_to_hub(tmp_path, REPO, endpoint=server.endpoint, token=TOKEN)
    (tmp_path / "README.md").write_text("\n")  # as the editor writes it of a checkpoint without a card
    with pytest.raises(CheckpointError, match="model card"):
        hub.push_to_hub(tmp_path, REPO, endpoint=server.endpoint, token=TOKEN)
    (tmp_path / "README.md").write_text("---\nlicence: mine\n---\n")
    with pytest.raises(CheckpointError, match=r"README\.md.*license"):
        hub.push_to_hub(tmp_path, REPO, endpoint=server.endpoint, token=TOKEN)
    assert len(server.commits) == 1
