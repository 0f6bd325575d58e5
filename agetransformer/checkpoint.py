"""A checkpoint is a folder: config.json (what to build) + model.safetensors (its weights) + README.md (model card)."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from agetransformer.files import written_through, written_whole

FORMAT_VERSION = 1  # what is written; all from 1 to this are read
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

_INSTALLED = Path(__file__).parent / "checkpoints"  # where `pip install .` puts them
EMBEDDED = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "checkpoints"

Module = TypeVar("Module", bound=nn.Module)


class Configured(Protocol):
    """A module that carries what it takes to rebuild it."""

    config: Any  # a dataclass

    def state_dict(self) -> dict[str, torch.Tensor]: ...


class CheckpointError(ValueError):
    """A checkpoint is missing, broken, or of another kind; the message says what to do."""


def save_checkpoint(module: Configured, folder: str | Path, half: bool = False) -> Path:
    """Write `module` (which carries its dataclass as `.config`) into `folder`, aside first and then renamed.

    Args:
        half: store floating-point weights as float16, which halves the file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        weights[name] = value.half() if half and value.is_floating_point() else value
    config = {"format_version": FORMAT_VERSION, "model": type(module).__name__, **asdict(module.config)}
    # Neither takes its place before both are written.
    with written_whole(folder / CONFIG_NAME) as config_aside, written_whole(folder / WEIGHTS_NAME) as weights_aside:
        weights_aside.write_bytes(save(weights, metadata={"format": "pt"}))
        config_aside.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for path in (config_aside, weights_aside):
            written_through(path)  # a power cut must not leave an empty file in the older one's place
    return folder


def fits_half(module: nn.Module) -> bool:
    """Whether float16 holds all of the weights exactly, as of a module that was loaded from it."""
    weights = (value for value in module.state_dict().values() if value.is_floating_point())
    return all(torch.equal(value.half().to(value.dtype), value) for value in weights)


def load_checkpoint(module_class: type[Module], config_class: type, folder: str | Path) -> Module:
    """Rebuild a module from a checkpoint folder, strictly: every weight present, none left over.

    Args:
        module_class: built as `module_class(config)`.
        config_class: its dataclass.
    Returns:
        The module in float32, in evaluation mode, on the CPU.
    Raises:
        CheckpointError: a file is missing or broken, or holds another model.
    """
    folder = Path(folder)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: no {name} here; a checkpoint folder holds {CONFIG_NAME} and {WEIGHTS_NAME}"
            )
    try:
        values = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        version, kind = values.pop("format_version"), values.pop("model")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: not a checkpoint's config ({error!r})") from error
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"{folder / CONFIG_NAME}: not a checkpoint's config (format_version {version!r})")
    if kind != module_class.__name__:
        raise CheckpointError(f"{folder}: holds a {kind}, not a {module_class.__name__}; name the other folder")
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{folder}: format {version} is newer than this version reads; upgrade agetransformer")
    unknown = values.keys() - {field.name for field in fields(config_class)}
    if unknown:
        raise CheckpointError(f"{folder / CONFIG_NAME}: unknown settings: {', '.join(sorted(unknown))}")
    hints = get_type_hints(config_class)
    for name, value in values.items():
        if not _is_a(value, hints[name]):
            raise CheckpointError(f"{folder / CONFIG_NAME}: {name}: expected {hints[name].__name__}, found {value!r}")
    try:
        module = module_class(config_class(**values))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error
    try:
        weights = load_file(folder / WEIGHTS_NAME)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS_NAME}: broken or cut short ({error}); download it again") from error
    weights = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    own = {name: value.dtype for name, value in module.state_dict().items()}
    for name, value in weights.items():
        if value.dtype != own.get(name, value.dtype):
            raise CheckpointError(f"{folder / WEIGHTS_NAME}: {name}: {value.dtype} where {own[name]} is expected")
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{folder / WEIGHTS_NAME}: {name} has weights that are no numbers; download it again")
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder}: the weights do not fit the config: {reason}") from error
    return module.eval()


def _is_a(value: object, kind: type) -> bool:
    """Whether JSON's value is of a setting's type; a whole number is a float too, a truth value no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
