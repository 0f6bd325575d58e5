"""The whole state of a run on disk, a file for each network and moment; a kill loses nothing but steps."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agetransformer.checkpoint import WEIGHTS_NAME
from agetransformer.files import written_through


@dataclass(frozen=True)
class Saved:
    """Which fields of a run's `nets` are its state."""

    networks: tuple[str, ...]
    optimizers: tuple[str, ...]  # Adam, or a relative of it


GENERATOR = Saved(("generator", "average", "discriminator"), ("generator_optimizer", "discriminator_optimizer"))


def save_state(
    out: Path,
    nets,
    step: int,
    images: int,
    saved: Saved = GENERATOR,
    random: Mapping[str, torch.Generator] | None = None,  # sources of randomness that go on as well, by name
) -> Path:
    """Write `out`/state-<step>, complete or not at all: aside, renamed, and only then is the older one removed."""
    final = out / f"state-{step:08d}"
    aside = out / f"part-{step:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name in saved.networks:
        save_file(_weights(getattr(nets, name)), aside / f"{name}.safetensors")
    for name in saved.optimizers:
        for moment in ("exp_avg", "exp_avg_sq"):
            save_file(_moments(getattr(nets, name), moment), aside / f"{name}.{moment}.safetensors")
    if random is not None:
        save_file({name: source.get_state() for name, source in random.items()}, aside / "random.safetensors")
    made = {name: _steps(getattr(nets, name)) for name in saved.optimizers}
    (aside / "progress.json").write_text(json.dumps({"step": step, "images": images, "optimizer_steps": made}))
    if final.exists():
        shutil.rmtree(aside)
        return final
    for path in (*aside.iterdir(), aside):
        written_through(path)  # before the older one goes: a power cut must not leave neither
    os.rename(aside, final)
    written_through(out)
    for old in (*sorted(out.glob("state-*"))[:-1], *out.glob("part-*")):  # older ones, and what a kill cut short
        shutil.rmtree(old)
    return final


def find_state(out: Path) -> Path | None:
    """The newest complete state in `out`, or None."""
    states = sorted(out.glob("state-*"))
    return states[-1] if states else None


def state_to_resume(out: Path, resume: bool) -> Path | None:
    """The state that a run in `out` goes on from; None: it begins.

    Raises:
        FileExistsError: it would begin where a run or finished weights are.
        FileNotFoundError: it would go on where there is no state.
    """
    newest = find_state(out)
    if newest is not None and not resume:
        raise FileExistsError(f"{out} holds a run already: go on with --resume, or name another --out")
    if newest is None and resume:
        raise FileNotFoundError(f"{out} holds no run to go on with: start without --resume, or name another --out")
    if newest is None and (out / WEIGHTS_NAME).exists():
        raise FileExistsError(f"{out} holds finished weights, which a new run would replace: name another --out")
    return newest


def remove_states(out: Path) -> None:
    """Remove what a run that is over has left; half a state is never there."""
    for state in out.glob("state-*"):
        os.rename(state, aside := out / f"part-{state.name.removeprefix('state-')}")
        shutil.rmtree(aside)


def load_state(
    folder: Path, nets, saved: Saved = GENERATOR, random: Mapping[str, torch.Generator] | None = None
) -> tuple[int, int]:
    """Put a saved state into `nets` and the sources of randomness that it knows; return (steps, images) seen so far."""
    for name in saved.networks:
        getattr(nets, name).load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
    progress = json.loads((folder / "progress.json").read_text())
    for name in saved.optimizers:
        made = progress.get("optimizer_steps", {}).get(name, progress["step"])  # states of before had no such entry
        _restore(getattr(nets, name), folder, name, made)
    if random is not None:
        states = load_file(folder / "random.safetensors")
        for name in random.keys() & states.keys():  # a run may go on on another device
            random[name].set_state(states[name])
    return progress["step"], progress["images"]


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _steps(optimizer: torch.optim.Optimizer) -> int:
    """How many steps an optimizer has made: fewer than the run where it waited, more where it takes two at a time."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


def _moments(optimizer: torch.optim.Optimizer, moment: str) -> dict[str, Tensor]:
    states = [optimizer.state.get(parameter) for parameter in _parameters(optimizer)]
    return {str(i): state[moment].cpu().contiguous() for i, state in enumerate(states) if state}


def _restore(optimizer: torch.optim.Optimizer, folder: Path, name: str, step: int) -> None:
    first = load_file(folder / f"{name}.exp_avg.safetensors")
    second = load_file(folder / f"{name}.exp_avg_sq.safetensors")
    for index, parameter in enumerate(_parameters(optimizer)):
        if str(index) in first:
            like = {"device": parameter.device, "memory_format": torch.preserve_format}
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": torch.empty_like(parameter, **like).copy_(first[str(index)]),
                "exp_avg_sq": torch.empty_like(parameter, **like).copy_(second[str(index)]),
            }
