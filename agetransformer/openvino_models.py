"""OpenVINO for all that uses it: its Core, its settings, and compiled models on disk.

Only the first start on a machine compiles, which takes seconds.
"""

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import logging
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from agetransformer.cpus import usable_cpus
from agetransformer.files import written_whole

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)

KEPT_FILES = 16  # compiled models in the cache folder, 1 to 14 MB each; the oldest go


def cache_folder() -> Path | None:
    """Where compiled models are kept: agetransformer in the user's cache folder; None where the user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agetransformer"
    except RuntimeError:
        return None


def available() -> bool:
    """Is OpenVINO installed, on a kind of processor where it was found faster than PyTorch?"""
    return importlib.util.find_spec("openvino") is not None and platform.machine().lower() in ("x86_64", "amd64")


def import_openvino() -> ModuleType:
    """The module openvino, without its usage reports over the network, which start with the import."""
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))  # None: the import fails
    import openvino
    import openvino.preprocess

    return openvino


@functools.cache
def core() -> "openvino.Core":
    """The process's only Core, which stays.

    A Core gives the thread that makes it a stack for signal handlers and takes it away with itself. When the first of
    two goes before the second, the thread is left with a stack that is no more, and the next signal (a child that
    ends, Ctrl+C) is a segmentation fault.
    """
    return import_openvino().Core()


def has_bfloat16() -> bool:
    """Does this processor compute in bfloat16?"""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def has_amx() -> bool:
    """Does this processor have Intel's AMX, in which bfloat16 is no slower than int8? No, where PyTorch cannot say."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, Any])()  # older ones have none
    return bool(capabilities.get("amx_bf16", False))


def cpu_settings(precision: str, threads: int) -> dict[str, object]:
    """For `compile_model`: the precision of the computation, "f32" or "bf16", and how many threads share a call."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Pinned threads wait for a core that something else uses, and containers share cores.
        "ENABLE_CPU_PINNING": False,
    }


def trace(module: nn.Module, example: "Tensor | dict[str, Tensor]") -> "openvino.Model":
    """A module as a graph of OpenVINO, by what it does with an example; without gradients, with which V differs."""
    with warnings.catch_warnings(), torch.no_grad():
        # OpenVINO traces by torch.jit, which is deprecated; the graphs have no branches that tracing could miss.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return import_openvino().convert_model(module, example_input=example)


def compile_network(
    name: str,
    module: nn.Module,
    example: Tensor,
    shape: Sequence[int],
    precision: str,
    cache: Path | None,
    code: Sequence[ModuleType],
) -> "openvino.CompiledModel":
    """A network with one input, compiled for all CPUs that there are.

    Args:
        name, cache, code: as of `load_compiled`.
        example: an input, for tracing.
        shape: of the inputs, -1 where any length may come.
        precision: of the computation, "f32" or "bf16".
    Raises:
        ImportError: OpenVINO is not installed.
    """
    settings = cpu_settings(precision, usable_cpus())

    def compile_module() -> "openvino.CompiledModel":
        model = trace(module, example)
        model.reshape(list(shape))
        return core().compile_model(model, "CPU", settings)

    return load_compiled(f"openvino-{precision}-{name}", module, compile_module, settings, cache, code)


def load_compiled(
    name: str,
    module: nn.Module,
    compile_module: Callable[[], "openvino.CompiledModel"],
    settings: dict[str, object],
    cache: Path | None,
    code: Sequence[ModuleType],
) -> "openvino.CompiledModel":
    """The compiled form of a module, from the cache folder or into it.

    Args:
        name: what it is, for the file's name.
        compile_module: makes it, where it is not there yet.
        cache: None compiles at every start.
        code: the Python modules that the compiled form comes from; with another code it is made anew.
    """
    if cache is None:
        return compile_module()
    path = cache / f"{name}-{_key(module, code)}.blob"
    try:
        kept = core().import_model(path.read_bytes(), "CPU", settings)
        with contextlib.suppress(OSError):  # of somebody else, or on a disk that cannot be written
            os.utime(path)  # what is used stays, see below
        return kept
    except OSError:  # not there yet
        pass
    except RuntimeError as error:
        logger.warning("%s is broken and is made anew: %s", path, error)
    compiled = compile_module()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as aside:
            aside.write_bytes(compiled.export_model().getvalue())
        by_age = sorted(cache.glob("openvino-*.blob"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in by_age[KEPT_FILES:]:
            file.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the compiled model cannot be kept for the next start: %s", error)
    return compiled


def _key(module: nn.Module, code: Sequence[ModuleType]) -> str:
    """A hash of all that the compiled form depends on: weights, code, OpenVINO and the processor."""
    digest = hashlib.sha256()
    for each in (*code, sys.modules[__name__]):
        digest.update(inspect.getsource(each).encode())
    digest.update(import_openvino().__version__.encode())
    for capability in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"):
        digest.update(repr(core().get_property("CPU", capability)).encode())
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:24]
