"""Train the hair segmenter.

python -m train.hair_segmenter --config train/configs/hair.yaml --out runs/hair-segmenter [--minutes 20] [--resume]

What hair is, it learns from the maps of `python -m train.label_hair`.
"""

import copy
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.files import written_whole
from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
from train.augment import random_affine, random_blur, random_colour, random_jpeg
from train.averaging import update_average
from train.classifier import imagenet_weights
from train.config import load_config
from train.data import held_out, load_faces, to_unit
from train.face_maps import read_maps
from train.memory import keep_freed_memory
from train.options import training_parser
from train.runlog import RunLog
from train.schedule import cosine_rate
from train.state import Saved, find_state, load_state, remove_states, save_state

STATE = Saved(("model", "average"), ("optimizer",))
_SIDE = 256  # px: of faces and maps before the augmentation


@dataclass
class HairTraining:
    """Everything that a run of this file depends on."""

    data: tuple[str, ...] = ()  # archives of FFHQ-aligned faces
    maps: str = ""  # file of train.label_hair
    classifier: str = ""  # V to start from; empty: ImageNet weights
    model: HairSegmenterConfig = field(default_factory=HairSegmenterConfig)
    images: int = 20_000  # images seen in training
    batch: int = 16
    lr: float = 1e-3  # peak of the cosine schedule
    weight_decay: float = 0.02
    ema: float = 0.99  # decay of the averaged weights, a step
    bf16: bool = True  # convolutions in bfloat16; off: float32
    save_every: int = 100  # steps
    measure_every: int = 200  # steps
    log_every: int = 20  # steps
    seed: int = 0


class Networks(NamedTuple):
    """Everything with weights that one step touches."""

    model: HairSegmenter
    average: HairSegmenter  # exponential moving average of the model: what is measured and kept
    optimizer: torch.optim.Optimizer


class HairFaces(NamedTuple):
    """Faces and where their hair is."""

    images: Tensor  # [N, 3, 256, 256] uint8
    hair: Tensor  # [N, 1, 256, 256] uint8

    def select(self, index: Tensor) -> "HairFaces":
        """The faces of an index or a mask [N]."""
        return HairFaces(self.images[index], self.hair[index])


def load_split(config: HairTraining, cache: str = ".cache") -> tuple[HairFaces, HairFaces]:
    """The faces that have a map: those to train on, and the held-out 5 %.

    Raises:
        FileNotFoundError, ValueError: the data or the maps are missing or broken, or no face is left of either part.
    """
    faces = load_faces(config.data, _SIDE, chips=False, cache=cache)
    maps = read_maps(config.maps, faces.names, "train.label_hair")
    known = torch.tensor([drawn is not None for drawn in maps])
    hair = torch.from_numpy(np.stack([drawn for drawn in maps if drawn is not None]))[:, None]
    if hair.shape[1:] != (1, _SIDE, _SIDE):
        raise ValueError(f"{config.maps}: maps of {hair.shape[-1]} px are not of hair; make them with train.label_hair")
    unseen = held_out(faces.names)[known]
    if unseen.all() or not unseen.any():
        raise ValueError(f"{', '.join(config.data)}: too few faces with a map to train on most and hold out some")
    labelled = HairFaces(faces.images[known], hair)
    return labelled.select(~unseen), labelled.select(unseen)


def build_networks(config: HairTraining) -> Networks:
    """The segmenter on the weights of V's backbone, its average and its optimizer."""
    torch.manual_seed(config.seed)
    if config.classifier:
        backbone = load_checkpoint(AgeClassifier, ClassifierConfig, config.classifier)
    else:
        backbone = AgeClassifier()
        imagenet_weights(backbone)
    model = HairSegmenter(config.model)
    model.stem.load_state_dict(backbone.stem.state_dict())
    blocks = iter(backbone.blocks)
    for block in (block for stage in model.stages for block in stage):
        block.load_state_dict(next(blocks).state_dict())
    model = model.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).requires_grad_(False).eval()
    return Networks(model, average, torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay))


def compute_hair_loss(logits: Tensor, hair: Tensor) -> Tensor:
    """Cross-entropy with what the parser says; a scalar.

    Args:
        logits, hair: [N, 1, S, S], hair in 0..1.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), hair)


def draw_batch(faces: HairFaces, config: HairTraining, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augmented squares [N, 3, R, R] in [-1, 1] and their hair [N, 1, R, R] in 0..1."""
    some = faces.select(torch.randint(len(faces.images), (config.batch,), generator=random))
    images = to_unit(random_jpeg(some.images, 0.25, random))
    both = torch.cat([images, to_unit(some.hair)], dim=1)  # moved together
    images, hair = random_affine(both, config.model.resolution, random).split([3, 1], dim=1)
    images = random_colour(random_blur(images, 0.3, random), random).clamp(-1, 1)
    return images.contiguous(memory_format=torch.channels_last), (hair + 1) / 2


@torch.inference_mode()
def measure(model: HairSegmenter, test: HairFaces) -> dict[str, float]:
    """On held-out faces, against the parser: intersection over union at 0.5, and the mean absolute difference."""
    shared = united = difference = 0.0
    side = model.config.resolution
    for images, hair in zip(test.images.split(32), test.hair.split(32), strict=True):
        small, right = (F.interpolate(x, (side, side), mode="area") for x in (to_unit(images), hair.float() / 255))
        found, right = model.predict(small), right.squeeze(1)
        shared += ((found > 0.5) & (right > 0.5)).sum().item()
        united += ((found > 0.5) | (right > 0.5)).sum().item()
        difference += (found - right).abs().mean(dim=(1, 2)).sum().item()
    return {
        "images": len(test.images),
        "intersection_over_union": shared / max(united, 1),
        "mean_absolute_difference": difference / len(test.images),
    }


def train_hair_segmenter(
    config: HairTraining,
    out: Path,
    minutes: float = float("inf"),  # stop, saved, after this wall time
    resume: bool = False,  # go on from the newest state in `out`
    cache: str = ".cache",  # folder for decoded data
) -> dict[str, float]:
    """Train on the CPU until the images or the minutes are over; return the measures on the held-out 5 %.

    Writes the averaged weights and metrics.json to `out`.

    Raises:
        FileExistsError: `out` holds an unfinished run and `resume` is off.
        FileNotFoundError, ValueError: the data or the maps are missing or broken.
    """
    began = time.monotonic()
    newest = find_state(out)
    if newest is not None and not resume:
        raise FileExistsError(f"{out} holds an unfinished run: go on with --resume, or name another --out")
    train, test = load_split(config, cache)
    nets = build_networks(config)
    draws = torch.Generator().manual_seed(config.seed)
    random = {"draws": draws}
    step, images = load_state(newest, nets, STATE, random) if newest is not None else (0, 0)
    steps = config.images // config.batch
    log = RunLog(out, images, steps * config.batch)
    while step < steps and time.monotonic() - began < 60 * minutes:
        for group in nets.optimizer.param_groups:
            group["lr"] = config.lr * cosine_rate(step, steps)
        pictures, hair = draw_batch(train, config, draws)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            loss = compute_hair_loss(nets.model(pictures), hair)
        nets.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nets.optimizer.step()
        update_average(nets.average, nets.model, min(config.ema, (step + 1) / (step + 10)))
        step, images = step + 1, images + config.batch
        if step % config.log_every == 0:
            log.write_losses({"hair": loss.item()}, images)
        log.write_progress(images)
        if step % config.save_every == 0:
            save_state(out, nets, step, images, STATE, random)
        if step % config.measure_every == 0:
            print(step, round(time.monotonic() - began), json.dumps(measure(nets.average, test)), flush=True)
    log.close()
    save_state(out, nets, step, images, STATE, random)
    save_checkpoint(nets.average, out, half=True)
    result = measure(load_checkpoint(HairSegmenter, HairSegmenterConfig, out), test)
    with written_whole(out / "metrics.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
    if step >= steps:
        remove_states(out)
    return result


def main() -> None:
    """Command line."""
    given = training_parser(__doc__, HairTraining, "folder for the checkpoint").parse_args()
    keep_freed_memory()
    config = load_config(HairTraining, given.config)
    print(json.dumps(train_hair_segmenter(config, given.out, given.minutes, given.resume, given.cache), indent=2))


if __name__ == "__main__":
    main()
