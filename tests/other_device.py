"""A device that is not there: tensors that say they are on it, and are computed on the CPU.

What a GPU would refuse, a tensor of its own beside one of the CPU, is refused here too. So where the code keeps its
tensors is tested without a GPU; its kernels and its half precision are not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy", 0)  # of the kinds that PyTorch knows, one whose gradients need no driver


class DeviceTensor(Tensor):
    """Holds the values on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "DeviceTensor":
        self = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=values.requires_grad,
        )
        self.values = values
        return self

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return run(operator, args, kwargs or {})

    def tolist(self) -> Any:
        return self.values.tolist()

    def __format__(self, spec: str) -> str:
        return format(self.values, spec)

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"DeviceTensor({self.values!r})"


def wrap(x: Any) -> Any:
    return DeviceTensor(x) if isinstance(x, Tensor) and not isinstance(x, DeviceTensor) else x


def unwrap(x: Any) -> Any:
    return x.values if isinstance(x, DeviceTensor) else x


MOVES = {"aten::to", "aten::_to_copy", "aten::copy_", "aten::_copy_from", "aten::set_"}
# One index or mask on the CPU is moved by PyTorch; it waits for it, but it is allowed.
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


def run(operator, args: tuple, kwargs: dict) -> Any:
    """The operator on the CPU; its results are on the device that its arguments say, or that `device` says.

    Raises:
        RuntimeError: arguments on both devices.
    """
    name = operator._schema.name
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    ours = [x for x in tensors if isinstance(x, DeviceTensor)]
    others = [x for x in tensors if not isinstance(x, DeviceTensor) and x.dim() > 0]
    if name in INDEXING:
        others = [x for x in others if x is args[0] or (len(args) > 2 and x is args[2])]
    if ours and others and name not in MOVES:
        shapes = [(tuple(x.shape), str(x.device)) for x in tensors]
        raise RuntimeError(f"{name}: tensors on different devices: {shapes}")
    devices = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.device)]
    there = devices[0].type == DEVICE.type if devices else bool(ours)
    args, kwargs = tree_map(lambda x: torch.device("cpu") if isinstance(x, torch.device) else x, (args, kwargs))
    kwargs = {key: False if key == "pin_memory" and value else value for key, value in kwargs.items()}
    results = operator(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
    if name.endswith("_") and ours and results is unwrap(args[0]):
        return args[0]  # in place
    return tree_map(wrap, results) if there else results


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return run(operator, args, kwargs or {})


@contextmanager
def pretended_device(monkeypatch) -> Iterator[torch.device]:
    """Within it, tensors and modules can be made on the device and moved there."""
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, *rest, **named: autocast("cpu", *rest, **named))
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(list, device=...) fills it on the CPU and moves it
    try:
        with _Mode():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
