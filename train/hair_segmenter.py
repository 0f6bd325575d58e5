"""Train the hair segmenter.

python -m train.hair_segmenter --config train/configs/hair.yaml --out runs/hair-segmenter [--minutes 20] [--resume]

What hair and beards are, it learns from the maps of `python -m train.label_hair` and `python -m train.label_beards`.
"""

import copy
import json
import time
from dataclasses import dataclass, field, replace
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
from train.augment import (
    random_affine,
    random_blur,
    random_colour,
    random_jpeg,
    random_place,
    relight,
    whiten_beards,
)
from train.averaging import update_average
from train.classifier import imagenet_weights
from train.config import load_config, require_at_least_one
from train.data import held_out, load_faces, to_unit
from train.deadline import Deadline
from train.face_maps import read_maps
from train.hair_mistakes import read_mistakes
from train.memory import keep_freed_memory
from train.neighbours import add_neighbours
from train.options import failing_in_a_sentence, training_parser
from train.runlog import RunLog
from train.schedule import cosine_rate
from train.state import Saved, load_state, remove_states, save_state, state_to_resume

STATE = Saved(("model", "average"), ("optimizer",))
_SIDE = 256  # px: of faces and maps before the augmentation
_SURELY, _ENOUGH = 160, 0.002  # levels: hair by its map; of the square: so much of it has a colour to tell
_PALE_LIGHT, _PALE_COLOUR = 125, 0.22  # levels, and HSV saturation: pale hair is lighter, and has less


@dataclass
class HairTraining:
    """Everything that a run of this file depends on."""

    data: tuple[str, ...] = ()  # archives of FFHQ-aligned faces
    maps: str = ""  # file of train.label_hair
    beards: str = ""  # file of train.label_beards
    bearded: float = 0.25  # share of the faces drawn that have a beard, about that beside `mended` or `pale`
    mistakes: str = ""  # the table that train.label_hair heeded, for `mended`
    mended: float = 0.0  # about which share of the faces drawn is in it; 0: as many as there are
    pale: float = 0.0  # about which share of the faces drawn has white or light grey hair; 0: as many as there are
    whitened: float = 0.0  # share of the beards that turn grey or white first
    beside: float = 0.0  # share of the faces that get another one beside them
    relit: float = 0.0  # share of the faces in other light
    shifted: float = 0.0  # of the side: so far faces are moved, and mirrored beyond the edge
    classifier: str = ""  # V to start from; empty: ImageNet weights
    start: str = ""  # segmenter to start from instead, of any resolution
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
    """Faces and where their hair and beards are."""

    images: Tensor  # [N, 3, 256, 256] uint8
    parts: Tensor  # [N, 2, 256, 256] uint8: hair, beard
    known: Tensor  # [N] bool: whether the beard is
    mended: Tensor  # [N] bool: whether somebody said by eye what of the hair is none

    def select(self, index: Tensor) -> "HairFaces":
        """The faces of an index or a mask [N]."""
        return HairFaces(*(part[index] for part in self))

    @property
    def bearded(self) -> Tensor:
        """[N] bool."""
        return self.parts[:, 1].amax(dim=(1, 2)) > 127


def load_split(config: HairTraining, cache: str = ".cache") -> tuple[HairFaces, HairFaces]:
    """The faces that have a map of hair: those to train on, and the held-out 5 %.

    Raises:
        FileNotFoundError, ValueError: the data, the maps or the table of mistakes are missing or broken, or no face is
            left of either part.
        ValueError: `mended` without a table that names a face of the data.
    """
    faces = load_faces(config.data, _SIDE, chips=False, cache=cache)
    hair = read_maps(config.maps, faces.names, "train.label_hair")
    beards = read_maps(config.beards, faces.names, "train.label_beards")
    for path, drawn in ((config.maps, hair), (config.beards, beards)):
        side = next(len(one) for one in drawn if one is not None)
        if side != _SIDE:
            raise ValueError(f"{path}: maps of {side} px are of something else; see train/configs/hair.yaml")
    kept = torch.tensor([drawn is not None for drawn in hair])
    none: np.ndarray = np.zeros((_SIDE, _SIDE), np.uint8)
    both = [(one, none if beard is None else beard) for one, beard in zip(hair, beards, strict=True) if one is not None]
    known = torch.tensor([beard is not None for beard in beards])[kept]
    mistakes = read_mistakes(Path(config.mistakes)) if config.mistakes else {}
    mended = torch.tensor([Path(name).stem in mistakes for name in faces.names])[kept]
    if config.mended > 0 and not mended.any():
        raise ValueError(f"mended: {config.mistakes or 'no table (mistakes)'} names none of the faces; set it to 0")
    unseen = held_out(faces.names)[kept]
    if unseen.all() or not unseen.any():
        raise ValueError(f"{', '.join(config.data)}: too few faces with a map to train on most and hold out some")
    labelled = HairFaces(faces.images[kept], torch.from_numpy(np.array(both)), known, mended)
    return labelled.select(~unseen), labelled.select(unseen)


def build_networks(config: HairTraining, device: torch.device | str = "cpu") -> Networks:
    """The segmenter on the weights of another or of V's backbone, its average and its optimizer.

    Raises:
        ValueError: it is to start from both.
    """
    if config.start and config.classifier:
        raise ValueError("start and classifier: a segmenter starts from one of them; leave the other empty")
    torch.manual_seed(config.seed)
    model = HairSegmenter(config.model)
    if config.start:
        model.load_state_dict(load_checkpoint(HairSegmenter, HairSegmenterConfig, config.start).state_dict())
    else:
        _load_backbone(model, config.classifier)
    model = model.to(device=device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).requires_grad_(False).eval()
    return Networks(model, average, torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay))


def _load_backbone(model: HairSegmenter, classifier: str) -> None:
    """Give a segmenter the stages of V, or of ImageNet's where that is empty."""
    if classifier:
        backbone = load_checkpoint(AgeClassifier, ClassifierConfig, classifier)
    else:
        backbone = AgeClassifier()
        imagenet_weights(backbone)
    model.stem.load_state_dict(backbone.stem.state_dict())
    blocks = iter(backbone.blocks)
    for block in (block for stage in model.stages for block in stage):
        block.load_state_dict(next(blocks).state_dict())


def compute_hair_loss(logits: Tensor, parts: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy with what the maps say; a scalar.

    Args:
        logits, parts: [N, 2, S, S], parts in 0..1.
        known: [N] bool, whether the beard is.
    """
    loss = F.binary_cross_entropy_with_logits(logits.float(), parts, reduction="none").mean(dim=(2, 3))
    return loss[:, 0].mean() + (loss[:, 1] * known).mean()


def draw_batch(
    faces: HairFaces, weights: Tensor, config: HairTraining, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Augmented squares [N, 3, R, R] in [-1, 1], their parts [N, 2, R, R] in 0..1, and whether the beard is known [N].

    Args:
        weights: how often each face is drawn, [F].
    """
    some = faces.select(torch.multinomial(weights, config.batch, replacement=True, generator=random))
    images = to_unit(random_jpeg(some.images, 0.25, random))
    if config.whitened > 0:
        images = whiten_beards(images, some.parts[:, 1:] / 255, config.whitened, random)
    if config.beside > 0:
        images = add_neighbours(images, some.parts / 255, config.beside, random)
    if config.relit > 0:
        images = relight(images, config.relit, random)
    both = torch.cat([images, to_unit(some.parts)], dim=1)  # moved together
    both = random_affine(both, config.model.resolution, random)
    if config.shifted > 0:
        both = random_place(both, config.shifted, random)
    images, parts = both.split([3, 2], dim=1)
    images = random_colour(random_blur(images, 0.3, random), random).clamp(-1, 1)
    return images.contiguous(memory_format=torch.channels_last), (parts + 1) / 2, some.known


def draw_weights(faces: HairFaces, config: HairTraining) -> Tensor:
    """How often to draw each face, [F], so that the shares of a config have a beard, a mended map and pale hair if none
    depends on another. A share that none or all have, and 0 of the last two, asks for nothing.

    Raises:
        ValueError: `pale`, and nobody's hair is.
    """
    weights = _share_weights(faces.bearded, config.bearded)
    if config.mended > 0:
        weights = weights * _share_weights(faces.mended, config.mended)
    if config.pale > 0:
        pale = find_pale(faces)
        if not pale.any():
            raise ValueError("pale: no face of the data has white or light grey hair; set it to 0")
        weights = weights * _share_weights(pale, config.pale)
    return weights


def find_pale(faces: HairFaces) -> Tensor:
    """[N] bool: whose hair is light and has no colour; in a black and white photo blond hair is so too."""
    return torch.tensor([_is_pale(image, parts[0]) for image, parts in zip(faces.images, faces.parts, strict=True)])


def _is_pale(image: Tensor, hair: Tensor) -> bool:
    """Whether hair [S, S] uint8 of a picture [3, S, S] uint8 is light and has no colour."""
    pixels = image[:, hair > _SURELY].float()
    if pixels.shape[1] < _ENOUGH * hair.numel():
        return False
    most = pixels.amax(dim=0)
    saturation = (most - pixels.amin(dim=0)) / most.clamp(min=1)
    return bool(pixels.mean(dim=0).median() > _PALE_LIGHT and saturation.median() < _PALE_COLOUR)


def _share_weights(has: Tensor, share: float) -> Tensor:
    """How often to draw each, [F], so that so many of them have something [F] bool."""
    if not has.any() or has.all():
        return torch.ones(len(has))
    return torch.where(has, share / has.sum(), (1 - share) / (~has).sum())


@torch.inference_mode()
def measure(model: HairSegmenter, test: HairFaces) -> dict[str, float]:
    """On held-out faces, against the maps.

    Of hair, intersection over union at 0.5 and the mean absolute difference; of beards, the first among the bearded,
    and for which share of those without one more than 1 % of the square is called beard.
    """
    side, device = model.config.resolution, next(model.parameters()).device
    found, right = [], []
    for images, parts in zip(test.images.split(32), test.parts.split(32), strict=True):
        found.append(model.predict(F.interpolate(to_unit(images.to(device)), (side, side), mode="area")).cpu())
        right.append(F.interpolate(parts.float() / 255, (side, side), mode="area"))
    (hair, beard), (true_hair, true_beard) = torch.cat(found).unbind(dim=1), torch.cat(right).unbind(dim=1)
    bearded, shaved = test.known & test.bearded, test.known & ~test.bearded
    mistaken = (beard[shaved] > 0.5).float().mean(dim=(1, 2)) > 0.01
    return {
        "images": len(test.images),
        "intersection_over_union": _overlap(hair, true_hair),
        "mean_absolute_difference": (hair - true_hair).abs().mean().item(),
        "bearded": int(bearded.sum()),
        "beard_intersection_over_union": _overlap(beard[bearded], true_beard[bearded]),
        "shaved": int(shaved.sum()),
        "shaved_called_bearded": mistaken.sum().item() / max(len(mistaken), 1),
    }


def _overlap(found: Tensor, right: Tensor) -> float:
    """Intersection over union at 0.5 of maps [N, S, S]."""
    one, other = found > 0.5, right > 0.5
    return (one & other).sum().item() / max((one | other).sum().item(), 1)


def train_hair_segmenter(
    config: HairTraining,
    out: Path,
    minutes: float = float("inf"),  # stop, saved, after this wall time
    resume: bool = False,  # go on from the newest state in `out`
    device: str = "cpu",
    cache: str = ".cache",  # folder for decoded data
) -> dict[str, float]:
    """Train until the images or the minutes are over, or a signal comes; return the measures on the held-out 5 %.

    Writes the averaged weights and metrics.json to `out`.

    Raises:
        FileExistsError: `out` holds an unfinished run and `resume` is off, or finished weights.
        FileNotFoundError: it holds no unfinished run, and `resume` is on.
        FileNotFoundError, ValueError: the data, the maps or the table of mistakes are missing or broken.
        ValueError: a setting of 0 that counts steps or faces, or `mended` or `pale` of no face.
    """
    began, deadline = time.monotonic(), Deadline(minutes)
    require_at_least_one(config, "images", "batch", "save_every", "measure_every", "log_every")
    newest = state_to_resume(out, resume)
    train, test = load_split(config, cache)
    nets = build_networks(config if newest is None else replace(config, start=""), device)
    draws, weights = torch.Generator().manual_seed(config.seed), draw_weights(train, config)
    random = {"draws": draws}
    step, images = load_state(newest, nets, STATE, random) if newest is not None else (0, 0)
    steps = config.images // config.batch
    log = RunLog(out, images, steps * config.batch)
    with deadline.heeding_signals():
        while step < steps and not deadline.is_over(step):
            for group in nets.optimizer.param_groups:
                group["lr"] = config.lr * cosine_rate(step, steps)
            pictures, parts, known = (drawn.to(device) for drawn in draw_batch(train, weights, config, draws))
            with torch.autocast(pictures.device.type, torch.bfloat16, enabled=config.bf16):
                loss = compute_hair_loss(nets.model(pictures), parts, known)
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
    keep_freed_memory(given.device)
    with failing_in_a_sentence("train.hair_segmenter"):
        config = load_config(HairTraining, given.config)
        result = train_hair_segmenter(config, given.out, given.minutes, given.resume, given.device, given.cache)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
