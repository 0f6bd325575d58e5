"""What a run tells: a progress bar, TensorBoard, and pictures of held-out faces."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agetransformer.classifier import AgeClassifier
from agetransformer.networks import Generator
from train.data import Faces
from train.samples import SAMPLE_AGES, measure_samples, save_samples


class RunLog:
    """The log of one run, from `images` on, in `out`/tensorboard and `out`/samples."""

    def __init__(self, out: Path, images: int, total: int, ages: tuple[int, ...] = SAMPLE_AGES):
        self.out = out
        self.ages = ages  # what the pictures show
        # What a run that was cut short logged beyond its state goes; what it logged at the state itself stays.
        self.writer = SummaryWriter(out / "tensorboard", purge_step=images + 1)
        self.bar = tqdm(total=total, initial=images, unit="image", mininterval=5)

    def write_progress(self, images: int) -> None:
        """So many images seen."""
        self.bar.update(images - self.bar.n)

    def write_losses(self, losses: dict[str, float], images: int) -> None:
        """The weighted terms, by name."""
        self.bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()}, refresh=False)
        for name, value in losses.items():
            self.writer.add_scalar(f"loss/{name}", value, images)

    def write_samples(
        self, generator: Generator, classifier: AgeClassifier, samples: Faces, images: int, bf16: bool = True
    ) -> None:
        """Held-out faces at every age: a picture, V's readings and the mean change."""
        edits = save_samples(generator, samples, self.ages, self.out / "samples" / f"{images:08d}.png", bf16)
        for name, value in measure_samples(classifier, samples, edits, self.ages).items():
            self.writer.add_scalar(f"sample/{name}", value, images)
            self.bar.write(f"{images} {name} {value:.3f}")

    def close(self) -> None:
        """Write out what is pending."""
        self.writer.close()
        self.bar.close()
