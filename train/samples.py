"""What a run looks like: fixed held-out faces at 25, 35, 45, 55 and 65, as a PNG and as numbers."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import save_image

from agetransformer.classifier import AgeClassifier
from agetransformer.networks import Generator
from train.attributes import AGE, Attribute
from train.data import Faces, to_unit
from train.losses import background_prior

SAMPLE_AGES = AGE.samples


def choose_samples(test: Faces, count: int = 8, attribute: Attribute = AGE) -> Faces:
    """`count` held-out faces within the targets' range (for age: adults), spread evenly over the attribute.

    Above 362 px they are fewer, 1024 x 1024 pixels in all at most.
    """
    youngest, oldest = attribute.targets[0], attribute.targets[-1]
    count = min(count, max(1, 1024**2 // test.images.shape[-1] ** 2))  # the picture stays under 16 MB
    adults = ((test.ages >= youngest) & (test.ages <= oldest)).nonzero().squeeze(1)
    if len(adults) == 0:
        adults = torch.arange(len(test))
    order = adults[test.ages[adults].argsort()]
    chosen = order[torch.linspace(0, len(order) - 1, min(count, len(order))).long()]
    mask = torch.zeros(len(test), dtype=torch.bool)
    mask[chosen] = True
    return test.select(mask)


@torch.no_grad()
def save_samples(generator: Generator, samples: Faces, ages: tuple[int, ...], path: Path, bf16: bool = True) -> Tensor:
    """Edit every sample at every age, write the grid (a row a face, the input first), return [N, A, 3, S, S]."""
    device = next(generator.parameters()).device
    images = to_unit(samples.images).to(device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        encoding = generator.encode(images)
        edits = [generator.decode(encoding, images.new_full((len(images),), float(age))) for age in ages]
    grid = torch.stack([images, *(edit.float() for edit in edits)], dim=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image((grid.flatten(0, 1).clamp(-1, 1) + 1) / 2, path, nrow=len(ages) + 1, padding=2)
    return grid[:, 1:]


@torch.no_grad()
def measure_samples(
    classifier: AgeClassifier, samples: Faces, edits: Tensor, ages: tuple[int, ...]
) -> dict[str, float]:
    """V's reading at each age in years; the mean change of face and background in levels of 255."""
    images = to_unit(samples.images).to(edits.device)
    result = {f"age_{age}": classifier.predict(edits[:, i]).mean().item() for i, age in enumerate(ages)}
    change = (edits - images[:, None]).abs().mean(dim=(0, 1, 2)) * 127.5
    outside = background_prior(images.shape[-1], images.device)
    result["change_face"] = ((change * (1 - outside)).sum() / (1 - outside).sum()).item()
    result["change_background"] = ((change * outside).sum() / outside.sum()).item()
    return result
