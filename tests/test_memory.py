"""Freed memory stays with the process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Page faults of ten arrays of 48 MB, one after the other, before and after the call.
SCRIPT = """
import platform, resource
import torch
from train.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
assert not keep_freed_memory("cuda")
kept = keep_freed_memory()
assert kept == (platform.libc_ver()[0] == "glibc"), kept
for _ in range(3):  # the heap grows first
    faults()
print(given_back, faults(), kept)
"""


def test_an_array_of_the_size_of_a_freed_one_costs_no_page_faults():
    output = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    given_back, kept, is_glibc = output.split()
    if is_glibc == "True":
        assert int(kept) < 0.2 * int(given_back), output
