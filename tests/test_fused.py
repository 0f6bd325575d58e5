"""The generator's form for NVIDIA GPUs: its kernels, interpreted on the CPU, and what stands in where they fail."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.torch_backend import Preferred, TorchBackend, TorchBackendConfig

ROOT = Path(__file__).parents[1]
with_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton, which comes with PyTorch's builds for CUDA, is missing"
)


def interpreted(script: str) -> None:
    """Run it with Triton's interpreter, which has to be chosen before Triton is imported."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


NORMS = """
import itertools
import torch
import torch.nn.functional as F
from torch import nn
from agetransformer.norm_kernels import Layout, norm_act, to_blocks
from agetransformer.rewrites import FastNorm

torch.manual_seed(0)
LAST = torch.channels_last

def laid_out(x, layout):
    if layout is Layout.BLOCKS:
        return to_blocks(x)
    if layout is Layout.PIXELS:
        return x.contiguous(memory_format=LAST)
    count, channels, height, width = x.shape
    made = torch.full((count, 2, 2, channels, height // 2 + 1, width // 2 + 1), 1e3)  # what has no pixel does not count
    made[:, 0, 0, :, :-1, 1:], made[:, 0, 1, :, :-1, :-1] = x[:, :, 0::2, 1::2], x[:, :, 0::2, 0::2]
    made[:, 1, 0, :, 1:, 1:], made[:, 1, 1, :, 1:, :-1] = x[:, :, 1::2, 1::2], x[:, :, 1::2, 0::2]
    return made.flatten(1, 3).contiguous(memory_format=LAST)

norm = nn.InstanceNorm2d(32, affine=True)
nn.init.normal_(norm.weight)
nn.init.normal_(norm.bias)
borders = ((0, ""), (1, "reflect"), (1, "replicate"), (4, "reflect"))
for layout, (border, mode), count in itertools.product(Layout, borders, (1, 2)):
    x = torch.randn(count, 32, 12, 20) * 2 + 3
    skip = torch.randn(1, 32, 12, 20).contiguous(memory_format=LAST) if count == 2 else None
    plus = torch.randn(count, 32, 14, 22).contiguous(memory_format=LAST) if border == 1 else None
    with torch.no_grad():
        expected = F.leaky_relu(norm(x if skip is None else x + skip), 0.2)
        expected = expected if plus is None else expected + plus[:, :, 1:-1, 1:-1]
        expected = F.pad(expected, (border,) * 4, mode=mode) if border else expected
        for blocked in (False, True) if border in (0, 4) else (False,):
            made = norm_act(laid_out(x, layout), FastNorm(norm), border, mode == "reflect", skip, plus, layout, blocked)
            assert made.is_contiguous(memory_format=LAST)
            wanted = to_blocks(expected) if blocked else expected
            case = f"{layout.name}, {border}, {mode}, {count}, {blocked}"
            torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5, msg=case)
try:
    norm_act(torch.randn(1, 32, 12, 20), FastNorm(norm))
except ValueError as error:
    assert "not channels last" in str(error)
else:
    raise AssertionError("a map that is not channels last was taken")
try:
    norm_act(laid_out(x, Layout.PIXELS), FastNorm(norm), 1, blocked=True)
except ValueError as error:
    assert "14 x 22 pixels are no blocks of 4 x 4" in str(error)
else:
    raise AssertionError("blocks were made of other sizes")
"""

HALVES = """
import torch
from agetransformer.bordered import BorderedDecoder, BorderedEncoder
from agetransformer.fused import FusedDecoder, FusedEncoder
from agetransformer.rewrites import RewriteConfig, rewrite
from random_networks import random_generator

generator = random_generator(36, gains=(-0.5, 1.5))
with torch.inference_mode():
    encoder, decoder = rewrite(generator, RewriteConfig(row_pairs=False, row_sums=False, block=4))
    image, w = torch.rand(1, 3, 36, 44) * 2 - 1, generator.modulation(torch.tensor([20.0, 69.0]))
    plain, fused = encoder(image), FusedEncoder(encoder).to(memory_format=torch.channels_last)(image)
    for name, expected, made in zip(plain._fields, plain, fused, strict=True):
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4, msg=name)
    edits = decoder(*plain, w)
    assert edits.std() > 0.01 and (edits[0] - edits[1]).abs().max() > 0.01
    bordered = BorderedEncoder(encoder)(image)  # the first call's, as a rule
    for decode in (FusedDecoder(decoder), BorderedDecoder(decoder)):
        for encoding in (fused, bordered):
            torch.testing.assert_close(decode(*encoding, w), edits, rtol=1e-4, atol=1e-4)
    try:
        FusedDecoder(rewrite(generator)[1])
    except ValueError as error:
        assert "block=4" in str(error)
    else:
        raise AssertionError("a decoder without blocks was taken")
"""


@with_triton
def test_the_kernels_are_an_instance_norm_with_what_stands_around_it():
    interpreted(NORMS)


@with_triton
def test_the_fused_form_computes_what_the_form_computes_that_it_is_made_of():
    interpreted(HALVES)


@with_triton
def test_where_triton_cannot_compile_the_bordered_form_edits(caplog):
    """On a CPU, that is, for which Triton has no compiler."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(64)).eval()
    best = replace(TorchBackendConfig.best("cuda"), device="cpu", precision=torch.float32, graphs=False)
    assert best.fused and best.bordered
    image, w = torch.rand(1, 3, 64, 64) * 2 - 1, generator.modulation(torch.tensor([30, 60]))
    made, expected = (
        backend.decode(backend.encode(image), w)
        for backend in (TorchBackend(generator, config) for config in (best, replace(best, fused=False)))
    )
    assert torch.equal(made, expected)
    assert len(caplog.messages) == 2  # once for each half
    assert all("without Triton's kernels, which takes longer: " in message for message in caplog.messages)


class Fails(nn.Module):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        raise self.error


def test_the_second_form_is_taken_from_the_first_failure_on():
    first = Fails(RuntimeError("no C compiler"))
    form = Preferred(first, nn.Identity())
    assert [form(x) for x in (1, 2, 3)] == [1, 2, 3] and first.calls == 1


def test_too_little_memory_is_no_reason_for_the_second_form():
    form = Preferred(Fails(torch.OutOfMemoryError("CUDA out of memory")), nn.Identity())
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            form(1)


def test_without_an_nvidia_gpu_nothing_is_fused():
    assert not TorchBackendConfig.best("cpu").fused and not TorchBackendConfig.best("mps").fused
