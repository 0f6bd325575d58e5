"""The weights that a training goes on from, and the classifiers that it asks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agetransformer.checkpoint import Module, load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.efficientnet import fold_norms


def load_frozen(folder: str | Path, device: torch.device | str = "cpu") -> AgeClassifier:
    """A classifier that is only asked: without gradients of its own, its norms folded, channels last."""
    model = load_checkpoint(AgeClassifier, ClassifierConfig, folder).requires_grad_(False)
    return fold_norms(model).to(device=device, memory_format=torch.channels_last)


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
