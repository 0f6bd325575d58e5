"""Networks whose passes are recorded: on a GPU their many small kernels take longer to launch than to run.

A recording is a CUDA graph of the pass forward and one of the pass back, for one shape of inputs. Its results and
gradients are the same memory at each pass: one pass a step, back before the next, gradients set to None in between.
Elsewhere, on a CPU or without a gradient, networks run as they are.
"""

import gc
from collections.abc import Callable

import torch
from torch import Tensor, nn

from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import Generator
from train.forward import edit_at

Pass = Callable[[Tensor], tuple[Tensor, ...]]


class RecordedClassifier(nn.Module):
    """A frozen V; where a gradient of its chips is asked for, recordings run in its stead, one for each shape."""

    def __init__(self, classifier: AgeClassifier, bf16: bool = True):
        """
        Args:
            classifier: in eval mode; none of its weights wants a gradient.
            bf16: whether its convolutions are recorded in bfloat16.
        """
        super().__init__()
        self.classifier = classifier
        self.bf16 = bf16
        self._passes: dict[torch.Size, Pass] = {}

    @property
    def config(self) -> ClassifierConfig:
        """V's own."""
        return self.classifier.config

    def predict(self, faces: Tensor) -> Tensor:
        """See `AgeClassifier.predict`."""
        return self.classifier.predict(faces)

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `AgeClassifier.forward`."""
        if chips.device.type != "cuda" or not (torch.is_grad_enabled() and chips.requires_grad):
            return self.classifier(chips)
        chips = chips.float()
        if chips.shape not in self._passes:
            self._passes[chips.shape] = self._record(chips)
        age, *gender = self._passes[chips.shape](chips)
        return age, gender[0] if gender else None

    def _record(self, chips: Tensor) -> Pass:
        def read(chips: Tensor) -> tuple[Tensor, ...]:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.bf16, cache_enabled=False):
                return tuple(logits for logits in self.classifier(chips) if logits is not None)

        sample = torch.zeros_like(chips).requires_grad_()
        with torch.autocast("cuda", enabled=False):  # around a recording, PyTorch refuses its cache
            return torch.cuda.make_graphed_callables(read, (sample,))


class RecordedEdits:
    """`edit_at` of a generator in training, whose weights get the gradient; the recording is of the newest shape."""

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.bfloat16):
        """
        Args:
            generator: its weights may change, in place.
            dtype: the precision of the convolutions.
        """
        self.generator = generator
        self.dtype = dtype
        self._shape: torch.Size | None = None
        self._recorded: nn.Module | None = None

    def __call__(self, images: Tensor, *ages: Tensor) -> list[Tensor]:
        """See `edit_at`."""
        if images.device.type != "cuda" or not torch.is_grad_enabled():
            return edit_at(self.generator, images, *ages, dtype=self.dtype)
        if self._recorded is None or images.shape != self._shape:
            self._recorded = None  # its memory goes before the next one's comes: it is part of a cycle
            gc.collect()
            self._recorded, self._shape = self._record(images, ages), images.shape
        return list(self._recorded(images, *ages))

    def _record(self, images: Tensor, ages: tuple[Tensor, ...]) -> nn.Module:
        edits = _Edits(self.generator, self.dtype)
        samples = (images.clone(), *(each.clone() for each in ages))
        # Unused: biases before an instance norm.
        return torch.cuda.make_graphed_callables(edits, samples, allow_unused_input=True)


class _Edits(nn.Module):
    """`edit_at` as a module, by whose parameters PyTorch knows what else gets a gradient."""

    def __init__(self, generator: Generator, dtype: torch.dtype):
        super().__init__()
        self.generator = generator
        self.dtype = dtype

    def forward(self, images: Tensor, *ages: Tensor) -> tuple[Tensor, ...]:
        return tuple(edit_at(self.generator, images, *ages, dtype=self.dtype))
