"""Training in several processes, on one machine or many: each takes its share of every batch, all take the same step.

Hugging Face `accelerate` starts and connects them: `accelerate launch -m train.generator ...`. A process computes the
mean loss of its share; the mean of the processes' gradients is then the gradient of the whole batch, and batch norm,
the only layer that looks across images, reads its statistics off the whole batch too. What is random is drawn alike by
all processes for the whole batch, and each takes its share. Without `accelerate launch` there is one process, and
nothing here does anything.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor, nn

_PATIENCE = timedelta(hours=3)  # of those that wait while one decodes a large archive; PyTorch's own is ten minutes


@dataclass(frozen=True)
class Share:
    """Which part of every batch this process has."""

    index: int = 0
    count: int = 1  # processes

    def of(self, whole: Tensor, dim: int = 0) -> Tensor:
        """This process's part of what all processes drew alike for the whole batch."""
        return whole.chunk(self.count, dim)[self.index]


WHOLE = Share()


def join_processes(device: str) -> PartialState:
    """Connect the processes; without `accelerate launch` there is nothing to do.

    Args:
        device: "cpu", or another where each process has one of its own.
    """
    return PartialState(cpu=torch.device(device).type == "cpu", timeout=_PATIENCE)


def own_share() -> Share:
    """This process's share."""
    state = PartialState()
    return Share(state.process_index, state.num_processes)


def average_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Replace every gradient that the optimizer is about to use by its mean over the processes."""
    if PartialState().num_processes == 1:
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, value in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(value.view(gradient.shape))


def average_values(values: dict[str, Tensor]) -> dict[str, float]:
    """Scalar tensors -> their means over the processes; every process has to call it."""
    if PartialState().num_processes > 1:
        values = reduce(values, "mean")
    return {name: value.item() for name, value in values.items()}


def main_process_values(values: Tensor) -> Tensor:
    """The main process's values, for all alike; every process has to call it, with values of the same shape."""
    return values if PartialState().num_processes == 1 else broadcast(values)


def require_same_state(newest: Path | None) -> None:
    """Refuse processes that would go on from different states; every process has to call it.

    Args:
        newest: the folder of a state, whose name ends in its step; None: there is none.
    Raises:
        FileNotFoundError: a process found another state than the others, or none.
    """
    state = PartialState()
    if state.num_processes == 1:
        return
    step = -1 if newest is None else int(newest.name.rpartition("-")[2])
    steps = gather(torch.tensor([step], device=state.device)).tolist()
    if len(set(steps)) > 1:
        found = ["none" if step < 0 else step for step in steps]
        raise FileNotFoundError(
            f"the processes found the states of different steps {found}: put --out on a disk that all machines share"
        )


class _SumOverProcesses(torch.autograd.Function):
    """Its gradient is the sum of the processes' gradients, and can be differentiated again."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return reduce(x, "sum")

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _SumOverProcesses.apply(gradient)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes' images.

    torch.nn.SyncBatchNorm has no CPU path and no second derivative, which R1 takes.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        count = PartialState().num_processes
        wide = x.float()
        moments = torch.stack([wide.mean(dim=(0, 2, 3)), wide.square().mean(dim=(0, 2, 3))])
        mean, square = _SumOverProcesses.apply(moments) / count
        variance = (square - mean.square()).clamp_min(0)
        with torch.no_grad():
            values = count * x.numel() / x.shape[1]
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        shift = self.bias - mean * scale
        return (wide * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


class SharedDropout(nn.Dropout):
    """Dropout by a mask that all processes, which have the same seed, draw for the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        share = own_share()
        kept = x.new_empty(len(x) * share.count, *x.shape[1:]).bernoulli_(1 - self.p)
        return x * share.of(kept.div_(1 - self.p))


def share_batch_statistics(network: nn.Module) -> nn.Module:
    """`network` with SharedBatchNorm2d for every BatchNorm2d, where there are several processes."""
    if PartialState().num_processes > 1:
        for module, name, child in _children(network, nn.BatchNorm2d):
            shared = SharedBatchNorm2d(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(module, name, shared.to(child.weight.device).train(child.training))
    return network


def share_dropout(network: nn.Module) -> nn.Module:
    """`network` with SharedDropout for every Dropout, where there are several processes."""
    if PartialState().num_processes > 1:
        for module, name, child in _children(network, nn.Dropout):
            setattr(module, name, SharedDropout(child.p).train(child.training))
    return network


def _children(network: nn.Module, kind: type[nn.Module]) -> list[tuple[nn.Module, str, nn.Module]]:
    """The layers of exactly this kind: (module that holds it, its name there, layer)."""
    return [
        (module, name, child)
        for module in network.modules()
        for name, child in module.named_children()
        if type(child) is kind
    ]
