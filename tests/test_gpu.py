"""ZeroGPU: the `spaces` package decides, and it is loaded before a device is asked for."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from agetransformer.page import gpu

ROOT = Path(__file__).parents[1]

STAND_IN = """
import inspect
import pickle
import torch
assert not torch.cuda.is_initialized()
print("spaces is here before the editor")

def sent(value):  # to another process
    return pickle.loads(pickle.dumps(value))

def GPU(duration):
    def within(arguments):  # of the seconds that a lease may have
        seconds = duration(*arguments) if callable(duration) else duration
        assert 0 < seconds <= 120, seconds

    def lend(function):
        if inspect.isgeneratorfunction(function):
            def lent(*arguments):
                within(arguments)
                for result in function(*sent(arguments)):
                    yield sent(result)
        else:
            def lent(*arguments):
                within(arguments)
                return sent(function(*sent(arguments)))
        return lent
    return lend
"""

USE = """
import gradio as gr
import app
from app_fixtures import SquareEditor, draw_photo
from pathlib import Path
from agetransformer.page.config import PageConfig
from agetransformer.page.gpu import on_gpu
print(on_gpu(lambda x: x + 1)(1))
page = app.build_app(SquareEditor(), PageConfig())
functions = {one.fn.__name__: one.fn for one in page.fns.values() if one.fn}
photo = draw_photo(Path("photo.png"), (300, 200), ((255, 0, 0), (50, 50, 80)))
visit = None
for update in functions["open_photo"](str(photo), None, 100, True, "en"):
    assert update and all(isinstance(key, gr.blocks.Block) for key in update)
    assert all(page.blocks[key._id] is key for key in update)
    visit = next((value for value in update.values() if type(value).__name__ == "Visit"), visit)
print(len(functions["show_age"](visit, 60, 100, True, "en")))
path, *_ = functions["save_film"](visit, ".gif", 100, True, False, "en", gr.Progress())
print(Path(path).suffix)
status, *_ = functions["make_clip"](None, 65, True, False, "en", gr.Progress())
print(type(status).__name__)
status, download = functions["make_batch"]([str(photo)], [25, 65], True, False, "en", gr.Progress()).values()
print("1 of 1" in status, Path(download["value"]).suffix)
"""


def run(folder: Path, use: str) -> str:
    path = os.pathsep.join([str(folder), str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "GRADIO_TEMP_DIR": str(folder / "files")}
    done = subprocess.run([sys.executable, "-c", use], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_with_spaces_what_comes_from_another_process_reaches_the_page(tmp_path):
    (tmp_path / "spaces.py").write_text(STAND_IN)
    lines = run(tmp_path, USE).splitlines()
    assert lines[0] == "spaces is here before the editor"
    assert lines[1:] == ["2", "2", ".gif", "HTML", "True .zip"]


def test_only_zerogpu_lends_a_gpu_and_others_have_spaces_too(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not gpu.lends_gpu()
    monkeypatch.setattr(gpu, "spaces", ModuleType("spaces"))
    for value, lends in (("", False), ("false", False), ("true", True), ("1", True)):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        assert gpu.lends_gpu() == lends
    monkeypatch.setattr(gpu, "spaces", None)
    assert not gpu.lends_gpu()


def test_without_spaces_the_function_is_itself(tmp_path):
    use = "from agetransformer.page.gpu import on_gpu; print(on_gpu(len) is len)"
    assert run(tmp_path, use).split() == ["True"]
