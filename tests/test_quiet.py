"""Libraries' own logs do not reach the terminal, unless something fails."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import os, sys
from agetransformer.quiet import native_log_aside
print("before", file=sys.stderr)
with native_log_aside():
    os.write(2, b"a library's log\\n")
    print("ours", file=sys.stderr)
    {end}
os.write(2, b"after\\n")
"""


@pytest.mark.parametrize(
    ("end", "shown", "hidden"),
    [
        ("pass", ["before", "ours", "after"], True),
        ("sys.exit(2)", ["before", "ours"], True),
        (r"print('\udcff', file=sys.stderr)", ["before", "ours", r"\udcff", "after"], True),
        ("raise ValueError('wrong')", ["before", "ours", "ValueError: wrong"], False),
    ],
)
def test_a_librarys_log_is_shown_only_with_a_failure(end, shown, hidden):
    done = subprocess.run([sys.executable, "-c", USE.format(end=end)], cwd=ROOT, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert [line for line in lines if line in shown] == shown
    assert ("a library's log" in lines) == (not hidden)
