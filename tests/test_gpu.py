"""ZeroGPU: the `spaces` package decides, and it is loaded before a device is asked for."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

STAND_IN = """
import torch
assert not torch.cuda.is_initialized()
print("spaces is here before the editor")

def GPU(function):
    def lent(*arguments):
        return "lent", function(*arguments)
    return lent
"""

USE = """
import app
from agetransformer.page.gpu import on_gpu
print(on_gpu(lambda x: x + 1)(1))
"""


def run(folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", USE], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_with_spaces_every_call_is_lent(tmp_path):
    (tmp_path / "spaces.py").write_text(STAND_IN)
    lines = run(tmp_path).splitlines()
    assert lines[0] == "spaces is here before the editor"
    assert lines[-1] == "('lent', 2)"


def test_without_spaces_the_function_is_itself(tmp_path):
    assert run(tmp_path).splitlines()[-1] == "2"
