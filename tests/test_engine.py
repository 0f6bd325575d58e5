"""The fast forms of the generator against the plain module, which is the reference."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_networks import random_generator
from torch import nn

from agetransformer import openvino_models
from agetransformer.checkpoint import load_checkpoint
from agetransformer.cpus import usable_cpus
from agetransformer.engine import Engine
from agetransformer.graphs import Function, Graphed, Recording
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.openvino_backend import OpenVinoBackend, OpenVinoConfig
from agetransformer.openvino_models import cache_folder
from agetransformer.quantization import ImageConv, LevelConv, LevelUpsampling, quantize, to_levels, weight_steps
from agetransformer.rewrites import (
    FastDecoder,
    ModulatedUpsampling,
    PixelBlocks,
    RewriteConfig,
    RowSums,
    convolve_row_pairs,
    join_rows,
    part_rows,
    reflect,
    replicate,
    rewrite,
    row_pair_kernels,
    upsample,
    upsampling_kernel,
)
from agetransformer.shading import add_change
from agetransformer.torch_backend import TorchBackend, TorchBackendConfig

AGES = torch.tensor([20.0, 33.5, 69.0])
SHIPPED = Path(__file__).parents[1] / "checkpoints" / "generator"
needs_openvino = pytest.mark.skipif(not openvino_models.available(), reason="OpenVINO is not installed")


def random_image(resolution: int) -> torch.Tensor:
    return torch.rand(1, 3, resolution, resolution, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.inference_mode()
def reference(generator: Generator, image: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
    return torch.cat([generator(image, age[None]) for age in ages])


def error(outputs: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Absolute errors as a share of the output's range."""
    assert outputs.shape == expected.shape and outputs.dtype == torch.float32
    return (outputs - expected).abs() / (expected.max() - expected.min())


@pytest.mark.parametrize("size", [(2, 2), (5, 8)])
def test_transposed_convolution_is_nearest_reflect_convolution(size):
    x, weight = torch.randn(2, 6, *size, dtype=torch.float64), torch.randn(4, 6, 3, 3, dtype=torch.float64)
    expected = F.conv2d(reflect(F.interpolate(x, scale_factor=2, mode="nearest"), 1), weight)
    torch.testing.assert_close(upsample(x, upsampling_kernel(weight)), expected)


@pytest.mark.parametrize("form", [lambda conv: PixelBlocks(conv, 2), lambda conv: PixelBlocks(conv, 4), RowSums])
@pytest.mark.parametrize("size", [(8, 8), (12, 16)])
def test_forms_of_the_last_convolution(form, size):
    conv = nn.Conv2d(5, 3, 9).double()
    x = reflect(torch.randn(2, 5, *size, dtype=torch.float64), 4)
    with torch.no_grad():
        torch.testing.assert_close(form(conv).double()(x), conv(x))


@pytest.mark.parametrize("size", [(2, 2), (4, 7), (10, 6)])
def test_row_pairs_are_a_3x3_convolution(size):
    x, weight = torch.randn(2, 6, *size, dtype=torch.float64), torch.randn(5, 6, 3, 3, dtype=torch.float64)
    parted = part_rows(x)
    assert torch.equal(parted[:, :, : size[0] // 2], x[:, :, ::2]) and torch.equal(join_rows(parted), x)
    outputs = join_rows(convolve_row_pairs(parted, row_pair_kernels(weight)))
    torch.testing.assert_close(outputs, F.conv2d(reflect(x, 1), weight))


@pytest.mark.parametrize(
    "resolution, ages", [(252, AGES), (256, AGES), (500, AGES[:1]), (512, AGES[1:2]), (1024, AGES[2:])]
)
@pytest.mark.parametrize("config", [RewriteConfig(), RewriteConfig(row_pairs=False, row_sums=False)])
def test_rewrite_equals_generator(resolution, ages, config):
    generator, image = random_generator(resolution), random_image(resolution)
    encoder, decoder = rewrite(generator, config)
    with torch.inference_mode():
        outputs = decoder(*encoder(image), generator.modulation(ages))
    assert error(outputs, reference(generator, image, ages)).max() < 1e-4


def test_ages_of_the_random_generator_differ():
    """Or the tests here would not notice a decoder that mixes up its ages."""
    outputs = reference(random_generator(64), random_image(64), AGES)
    assert error(outputs[0], outputs[1]).max() > 0.05
    assert error(outputs[1], outputs[2]).max() > 0.05


@pytest.mark.parametrize("form", [rewrite, quantize])
def test_rewrites_refuse_training_mode(form):
    with pytest.raises(ValueError, match="eval"):
        form(random_generator(64).train())


def spotted_map(channels: int, size: int) -> torch.Tensor:
    """Channels of very different ranges and offsets, with a spot in each."""
    torch.manual_seed(channels + size)
    x = torch.randn(1, channels, size, size)
    x[0, torch.arange(channels), torch.randint(size, (channels,)), torch.randint(size, (channels,))] += 12
    return x * (2 * torch.randn(1, channels, 1, 1)).exp() + torch.randn(1, channels, 1, 1)


def test_levels_use_the_whole_range_of_each_channel():
    x = spotted_map(6, 16)
    levels, steps = to_levels(x)
    assert torch.equal(levels, levels.round())
    assert levels.amin((0, 2, 3)).tolist() == [0] * 6 and levels.amax((0, 2, 3)).tolist() == [255] * 6
    steps = steps[:, :, None, None]
    error_in_steps = (levels * steps + x.amin((2, 3), keepdim=True) - x).abs() / steps
    assert error_in_steps.max() < 0.501
    flat, steps = to_levels(torch.full((1, 2, 4, 4), 7.0))
    assert flat.eq(0).all() and steps.isfinite().all()


def test_convolution_of_levels():
    """It is off by no more than half a step of each level and of each weight, and by a constant for each channel."""
    x, weight = spotted_map(6, 16), torch.randn(5, 6, 3, 3)
    levels, steps = to_levels(x)
    above = reflect(x - x.amin((2, 3), keepdim=True), 1)
    expected = F.conv2d(above, weight, stride=2)
    rounded = weight_steps(weight.abs().amax((2, 3)), steps)
    bound = (weight.abs().sum((2, 3)) * steps).sum(1) / 2 + 255 * 6 * 9 * rounded / 2
    outputs = LevelConv(weight, stride=2)(levels, steps)
    assert ((outputs - expected).abs() <= bound[:, None, None]).all()
    assert (outputs - expected).abs().mean() < 0.02 * expected.std()


@pytest.mark.parametrize("size", [4, 7])
def test_upsampling_of_levels(size):
    """Beside constants it is ModulatedUpsampling, to the last bit of the rounded numbers."""
    x, kernel = spotted_map(6, size), upsampling_kernel(torch.randn(5, 6, 3, 3))
    w = torch.rand(1, 6)
    levels, steps = to_levels(x)
    outputs = LevelUpsampling(kernel)(replicate(levels), w * steps)
    assert outputs.shape == (1, 5, 2 * size, 2 * size)
    rounded = weight_steps(kernel.abs().amax((2, 3)).T, w * steps)[:, None, None]
    whole = (kernel * (w * steps).view(-1, 1, 1, 1) / rounded).round()
    exact = ModulatedUpsampling(whole.double())(replicate(levels).double(), torch.ones(1, 6).double()) * rounded
    torch.testing.assert_close(outputs.double(), exact, rtol=1e-4, atol=1e-6)
    above = replicate(x - x.amin((2, 3), keepdim=True))
    expected = ModulatedUpsampling(kernel)(above, w)
    assert (outputs - expected).abs().mean() < 0.02 * expected.std()


def test_convolution_of_an_image():
    image, weight = random_image(20), torch.randn(4, 3, 9, 9)
    expected = F.conv2d(reflect(image, 4), weight)
    outputs = ImageConv(weight)(image)
    centred = (maps - maps.mean((2, 3), keepdim=True) for maps in (outputs, expected))
    assert error(*centred).max() < 0.02


@pytest.mark.parametrize("resolution", [64, 252])
def test_integers(resolution):
    """The maps, beside a constant for each channel, and the output."""
    generator, image = random_generator(resolution), random_image(resolution)
    with torch.inference_mode():
        encoder, decoder = quantize(generator)
        maps = encoder(image)
        features = maps.features * maps.steps[:, :, None, None]
        for outputs, expected in zip((features, maps.skip2, maps.skip1), rewrite(generator)[0](image), strict=True):
            assert outputs.shape == expected.shape
            outputs, expected = (x - x.mean((2, 3), keepdim=True) for x in (outputs, expected))
            assert 1e-4 < (outputs - expected).abs().mean() / expected.std() < 0.05
        outputs = torch.cat([decoder(*maps[:3], w * maps.steps) for w in generator.modulation(AGES).split(1)])
    assert error(outputs, reference(generator, image, AGES)).mean() < 0.01


def test_integers_of_a_flat_image():
    generator, image = random_generator(64), torch.full((1, 3, 64, 64), 0.25)
    with torch.inference_mode():
        encoder, decoder = quantize(generator)
        maps = encoder(image)
        outputs = decoder(*maps[:3], generator.modulation(AGES[:1]) * maps.steps)
    expected = reference(generator, image, AGES[:1])
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0.01 * float(expected.abs().max()))


@pytest.mark.parametrize(("residual", "shading"), [(False, False), (True, False), (True, True)])
def test_torch_engine(residual, shading):
    generator, image = random_generator(64, residual, shading).train(), random_image(64)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    engine = Engine(generator, backend="torch")
    assert generator.training and all(
        torch.equal(before[name], value) for name, value in generator.state_dict().items()
    )
    encoding = engine.encode(image)
    expected = reference(generator.eval(), image, AGES)
    assert error(engine.decode(encoding, AGES), expected).max() < 1e-4
    assert error(engine.decode(encoding, AGES[1:2]), expected[1:2]).max() < 1e-4


def test_torch_in_half_precision_and_batches():
    """The form for GPUs, run on the CPU."""
    generator, image = random_generator(64), random_image(64)
    config = replace(TorchBackendConfig.best("cuda"), device="cpu", ages_at_once=2, graphs=False, fused=False)
    assert config.precision != torch.float32 and config.channels_last
    engine = Engine(generator, backend=TorchBackend(generator, config))
    errors = error(engine.decode(engine.encode(image), AGES), reference(generator, image, AGES))
    assert 1e-5 < errors.mean() < 0.01
    assert TorchBackendConfig.best("cuda:0").graphs and not TorchBackendConfig.best("cpu").graphs


def record_on_the_cpu(function: Function, inputs: tuple[torch.Tensor, ...]) -> Recording:
    """As a CUDA graph: reads and writes only the memory that it was recorded with."""
    outputs = tuple(function(*inputs))

    def replay() -> None:
        for output, value in zip(outputs, function(*inputs), strict=True):
            output.copy_(value)

    return Recording(inputs, outputs, replay)


@pytest.mark.parametrize("bordered", [False, True])
def test_graphs_give_what_the_function_gives(bordered):
    """CUDA graphs recorded by a stand-in, of the form for GPUs too."""
    generator, image = random_generator(64), random_image(64)
    best = TorchBackendConfig.best("cuda")
    assert best.bordered and best.graphs
    config = replace(best, device="cpu", ages_at_once=2, precision=torch.float32, fused=False)
    if not bordered:
        config = TorchBackendConfig(ages_at_once=2, graphs=True, channels_last=True)
    backend = TorchBackend(generator, config)
    recorded = []
    for graphed in (backend._encode, backend._decode):
        graphed.record = lambda *call: recorded.append(call) or record_on_the_cpu(*call)
    images = [image * scale for scale in (1.0, 0.5, 0.25)]
    weights = generator.modulation(AGES).detach()
    encodings = [backend.encode(each) for each in images]
    for _ in range(2):
        for each, encoding in zip(images, encodings, strict=True):
            expected = reference(generator, each, AGES)
            assert error(backend.decode(encoding, weights), expected).max() < 1e-4
    assert len(recorded) == 3  # encode, decode of two ages and of one: each from its second call on
    with ThreadPoolExecutor(4) as pool:
        for index, outputs in enumerate(pool.map(lambda x: backend.decode(backend.encode(x), weights), images * 3)):
            assert error(outputs, reference(generator, images[index % 3], AGES)).max() < 1e-4


def test_graphs_kept_at_a_time():
    recorded = []

    def record(function: Function, inputs: tuple[torch.Tensor, ...]) -> Recording:
        recorded.append(len(inputs[0]))
        return record_on_the_cpu(function, inputs)

    double = Graphed(lambda x: (2 * x,), record=record, kept=2)
    for length in (1, 1, 2, 2, 3, 3, 3, 2, 1):
        x = torch.rand(length)
        assert torch.equal(double(x)[0], 2 * x)
    assert recorded == [1, 2, 3, 1]


def test_the_first_call_of_a_shape_can_be_anothers():
    """Of what needs nothing compiled, where a GPU is lent for one call."""
    called = []

    def double(name: str) -> Function:
        return lambda x: called.append(name) or (2 * x,)

    graphed = Graphed(double("recorded"), double("first"), record_on_the_cpu)
    for length in (1, 2, 1):
        x = torch.rand(length)
        assert torch.equal(graphed(x)[0], 2 * x)
    assert called[:2] == ["first", "first"] and set(called[2:]) == {"recorded"}


def test_graphs_are_recorded_one_after_the_other():
    """PyTorch breaks off a recording when another begins, of whichever function."""
    underway = []

    def record(function: Function, inputs: tuple[torch.Tensor, ...]) -> Recording:
        underway.append(function)
        time.sleep(0.05)
        assert underway == [function]
        underway.clear()
        return record_on_the_cpu(function, inputs)

    graphed = [Graphed(lambda x, factor=factor: (factor * x,), record=record) for factor in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            results = list(pool.map(lambda one: one(torch.ones(3))[0].tolist(), graphed))
    assert results == [[float(factor)] * 3 for factor in range(4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_engine_on_a_gpu(caplog):
    generator, image = random_generator(256, residual=True), random_image(256)
    engine = Engine(generator, "cuda")
    expected = reference(generator, image, AGES)
    for _ in range(3):  # plain, recorded, replayed
        assert error(engine.decode(engine.encode(image), AGES), expected).mean() < 0.01
    assert not caplog.messages  # of Triton, that it failed


@needs_openvino
@pytest.mark.parametrize("resolution", [64, 252])
def test_openvino_in_float32(resolution):
    generator, image = random_generator(resolution), random_image(resolution)
    backend = OpenVinoBackend(generator, OpenVinoConfig(precision="f32", threads=1, cache=None))
    with torch.inference_mode():
        outputs = backend.decode(backend.encode(image), generator.modulation(AGES))
    assert error(outputs, reference(generator, image, AGES)).max() < 1e-4


SIGNAL_AFTER_TWO_BACKENDS = """
import signal
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.openvino_backend import OpenVinoBackend, OpenVinoConfig
generator = Generator(GeneratorConfig(resolution=64)).eval()
first, second = (OpenVinoBackend(generator, OpenVinoConfig("f32", threads=1, cache=None)) for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""


@needs_openvino
def test_signals_are_handled_when_backends_are_gone():
    """Python's handlers run on the alternate stack, which a Core of each backend's own would leave unmapped."""
    run = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_TWO_BACKENDS], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr


@needs_openvino
@pytest.mark.parametrize(
    ("flags", "precision"), [({"amx_bf16": True}, "bf16"), ({"amx_bf16": False}, "int8"), (None, "int8")]
)
def test_integers_are_for_processors_without_amx(monkeypatch, flags, precision):
    if not openvino_models.has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    if flags is None:  # an older PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    backend = OpenVinoBackend(random_generator(64), OpenVinoConfig(threads=1, cache=None))
    assert ("i8" in convolution_kernels(backend.encoder)) == (precision == "int8")


@needs_openvino
def test_openvino_computes_in_integers():
    """All convolutions of the encoder and the decoder's first are integer kernels, whose weights come at run time."""
    if not openvino_models.has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    generator, image = random_generator(64), random_image(64)
    backend = OpenVinoBackend(generator, OpenVinoConfig(precision="int8", threads=1, cache=None))
    assert convolution_kernels(backend.encoder) == {"i8": 3 + 8 + 2 * 2}
    assert convolution_kernels(backend.decoder) == {"i8": 2, "bf16": 1 + 2}
    with torch.inference_mode():
        expected = quantize(generator)[0](image)
        encoding = backend.encode(image)
    torch.testing.assert_close(encoding.steps, expected.steps, rtol=0.2, atol=0)
    for name in ("features", "skip2", "skip1"):
        values = getattr(expected, name)
        outputs = torch.from_numpy(bfloat16_values(getattr(encoding, name))).permute(0, 3, 1, 2)
        assert outputs.shape == values.shape
        assert (outputs - values).abs().mean() / values.std() < 0.1  # bf16 between them rounds to other levels


def convolution_kernels(model: object) -> Counter[str]:
    """How many convolutions of a compiled model compute in which numbers, without those of single channels."""
    nodes = [operation.get_rt_info() for operation in model.get_runtime_model().get_ops()]
    kernels = [node["primitiveType"].value.lower() for node in nodes if "conv" in node["layerType"].value.lower()]
    return Counter(kernel.rsplit("_")[-1] for kernel in kernels if "conv" in kernel and "_dw_" not in kernel)


def bfloat16_values(tensor: object) -> np.ndarray:
    """An OpenVINO tensor of bfloat16 as float32: its two bytes are the upper ones."""
    return (tensor.data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Holds the cache folder of `openvino_engine`."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def openvino_engine(cache) -> Engine:
    """The default engine of a CPU."""
    if not openvino_models.available():
        pytest.skip("OpenVINO is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        return Engine(random_generator(64, residual=True))


def edit(engine: Engine, image: torch.Tensor) -> torch.Tensor:
    return engine.decode(engine.encode(image), AGES)


def test_openvino_engine_is_the_default(openvino_engine):
    assert isinstance(openvino_engine.backend, OpenVinoBackend)
    image = random_image(64)
    expected = reference(random_generator(64, residual=True), image, AGES)
    assert error(edit(openvino_engine, image), expected).mean() < 0.01


def test_openvino_keeps_what_it_compiled(openvino_engine, cache, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    image = random_image(64)
    outputs = edit(openvino_engine, image)
    files = sorted(cache.glob("agetransformer/*"))
    assert len(files) == 2

    generator = random_generator(64, residual=True)
    with monkeypatch.context() as patch:
        patch.setattr(OpenVinoBackend, "compile", lambda *_: pytest.fail("compiled again"))
        assert torch.equal(edit(Engine(generator), image), outputs)

    with torch.no_grad():
        generator.decoder.conv3.bias += 0.5
    assert error(edit(Engine(generator), image), outputs + 0.5).mean() < 0.01
    assert len(list(cache.glob("agetransformer/*"))) == 3

    monkeypatch.setattr(openvino_models, "KEPT_FILES", 3)
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-1000])
    assert torch.equal(edit(Engine(random_generator(64, residual=True)), image), outputs)
    assert "broken" in caplog.text
    assert len(files[0].read_bytes()) > len(whole) - 1000

    with torch.no_grad():
        generator.decoder.conv3.bias += 0.5
    Engine(generator)
    assert len(list(cache.glob("agetransformer/*"))) == 3


def test_openvino_reads_images_of_any_memory_layout(openvino_engine):
    image = random_image(64)
    permuted = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not permuted.is_contiguous()
    expected = edit(openvino_engine, image)
    for _ in range(5):  # memory that is freed too early shows now and then
        torch.testing.assert_close(edit(openvino_engine, permuted), expected, rtol=0, atol=0)


def test_openvino_engine_from_threads(openvino_engine):
    images = [random_image(64) * scale for scale in (0.25, 0.5, 0.75, 1.0)]
    encodings = [openvino_engine.encode(image) for image in images]
    expected = [openvino_engine.decode(encoding, AGES) for encoding in encodings]
    assert not torch.equal(expected[0], expected[1])
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda image: edit(openvino_engine, image), images * 4)
        for outputs, alone in zip(results, expected * 4, strict=True):
            assert torch.equal(outputs, alone)


def test_openvino_works_without_a_writable_cache(openvino_engine, monkeypatch, tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    encoder, decoder = openvino_engine.backend.encoder, openvino_engine.backend.decoder
    monkeypatch.setattr(
        OpenVinoBackend, "compile", lambda self, module: decoder if isinstance(module, FastDecoder) else encoder
    )
    outputs = edit(Engine(random_generator(64, residual=True)), random_image(64))
    assert torch.equal(outputs, edit(openvino_engine, random_image(64)))
    assert "cannot be kept" in caplog.text


def test_a_user_without_a_home_compiles_at_every_start(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # of a user that the system does not know
    assert cache_folder() is None


@needs_openvino
@pytest.mark.skipif(not (SHIPPED / "config.json").is_file(), reason="no trained generator in checkpoints/generator")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_precisions_on_a_real_face_with_the_shipped_generator(precision):
    data = pytest.importorskip("skimage.data")
    generator = load_checkpoint(Generator, GeneratorConfig, SHIPPED)
    try:
        backend = OpenVinoBackend(generator, OpenVinoConfig(precision=precision, cache=None))
    except ValueError:
        pytest.skip("this processor has no bfloat16")
    face = torch.from_numpy(np.ascontiguousarray(data.astronaut()[0:224, 112:336])).permute(2, 0, 1)[None] / 127.5 - 1
    image = F.interpolate(face, size=(generator.config.resolution,) * 2, mode="bicubic").clamp(-1, 1)
    ages = torch.tensor([25.0, 45.0, 65.0])
    with torch.inference_mode():
        outputs = backend.decode(backend.encode(image), generator.modulation(ages))
        outputs = add_change(image, outputs, generator.config.shading) if generator.config.residual else outputs
    errors = (outputs.clamp(-1, 1) - reference(generator, image, ages).clamp(-1, 1)).abs() * 127.5
    assert errors.mean() < 2.55
    assert errors.max() < 4


def test_clear_errors():
    generator = random_generator(64)
    with pytest.raises(ValueError, match="'openvino'"):
        Engine(generator, backend="tensorflow")
    with pytest.raises(ValueError, match="backend='torch'"):
        Engine(generator, device="cuda", backend="openvino")
    with pytest.raises(ValueError, match=r"\(1, 3, 64, 64\)"):
        Engine(generator, backend="torch").encode(random_image(60))
    if openvino_models.available():
        with pytest.raises(ValueError, match="'auto'"):
            OpenVinoBackend(generator, OpenVinoConfig(precision="f8", cache=None))


def test_threads_follow_the_container(tmp_path):
    free = usable_cpus(tmp_path)
    assert free >= 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path) == free
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert usable_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(tmp_path) == free
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    assert usable_cpus(tmp_path) == 1
