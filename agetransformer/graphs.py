"""A function of tensors as a CUDA graph: one launch instead of one for each of its kernels.

Hosts that lend a GPU for one call (ZeroGPU) have no torch.compile, and a graph recorded in that call pays for itself
only from the next one on. So the first call with certain shapes runs plainly and the second records. Nor does the first
wait for kernels that have to be compiled, or at least loaded, before they are quick.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from torch.backends import cudnn

Function = Callable[..., tuple[Tensor, ...]]
Shapes = tuple[torch.Size, ...]

_RECORDING = Lock()  # PyTorch: at most one recording at a time in a process, whichever function it is of
_WARM_UP = 3  # runs before a recording, in which libraries choose kernels and allocate


@dataclass(frozen=True)
class Recording:
    """A function that reads `inputs` and fills `outputs`, always the same memory, whenever `replay` is called."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    replay: Callable[[], object]


Record = Callable[[Function, tuple[Tensor, ...]], Recording]


@contextmanager
def _searching() -> Iterator[None]:
    """cuDNN looks for its quickest convolution of each kind."""
    before, cudnn.benchmark = cudnn.benchmark, True
    try:
        yield
    finally:
        cudnn.benchmark = before


def record_cuda_graph(function: Function, inputs: tuple[Tensor, ...]) -> Recording:
    """Run `function` on `inputs`, on their GPU, and record it with the quickest convolutions that cuDNN finds."""
    with torch.cuda.device(inputs[0].device), _searching():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads go on using the GPU
            outputs = function(*inputs)
    return Recording(inputs, outputs, graph.replay)


class Graphed:
    """`function`, recorded once for all inputs of the same shapes. Calls from several threads take turns."""

    def __init__(
        self, function: Function, first: Function | None = None, record: Record = record_cuda_graph, kept: int = 4
    ):
        """
        Args:
            first: does the same, for the first call with certain shapes; None: `function` does.
            kept: recordings at a time, each with the memory that it works in; the oldest goes first.
        """
        self.function, self.first, self.record, self.kept = function, first or function, record, kept
        self._calls: Counter[Shapes] = Counter()
        self._recordings: dict[Shapes, Recording] = {}
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What `function` returns, in memory of its own."""
        shapes = tuple(tensor.shape for tensor in inputs)
        with self._lock:
            self._calls[shapes] += 1
            if self._calls[shapes] == 1:
                return self.first(*inputs)
            recording = self._recordings.get(shapes)
            if recording is None:
                while len(self._recordings) >= self.kept:
                    del self._recordings[next(iter(self._recordings))]
                with _RECORDING:
                    recording = self.record(self.function, tuple(tensor.clone() for tensor in inputs))
                self._recordings[shapes] = recording
            for static, tensor in zip(recording.inputs, inputs, strict=True):
                static.copy_(tensor)
            recording.replay()
            return tuple(tensor.clone() for tensor in recording.outputs)
