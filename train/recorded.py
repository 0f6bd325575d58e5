"""A frozen classifier whose passes are recorded: on a GPU its many small kernels take longer to launch than to run."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from agetransformer.classifier import AgeClassifier, ClassifierConfig

Pass = Callable[[Tensor], tuple[Tensor, ...]]


class RecordedClassifier(nn.Module):
    """A frozen V, in whose stead CUDA graphs run where a gradient of its chips is asked for.

    A pass forward and one back are recorded for each shape of chips when it comes first. Their results stand until the
    next pass of that shape: one pass a step, and back before the next. Elsewhere, on a CPU or without a gradient, V
    runs as it is.
    """

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
