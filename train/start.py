"""The weights that a training goes on from."""

from dataclasses import replace
from typing import Any

from agetransformer.checkpoint import Module, load_checkpoint


def load_start(module_class: type[Module], folder: str, wanted: Any, free: tuple[str, ...]) -> Module:
    """The network in a checkpoint folder, with the config that the training asks for.

    Args:
        module_class: built as `module_class(wanted)`.
        folder: the checkpoint's.
        wanted: its config dataclass.
        free: the fields in which the stored one may differ from it; the weights fit either.
    Raises:
        CheckpointError: the folder holds no such checkpoint.
        ValueError: another field differs.
    """
    network = load_checkpoint(module_class, type(wanted), folder)
    if replace(network.config, **{name: getattr(wanted, name) for name in free}) != wanted:
        raise ValueError(f"model: {wanted} is not what the weights in {folder} are: {network.config}")
    network.config = wanted
    return network
