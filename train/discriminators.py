"""The discriminators to train a generator against: the paper's, the two of its ablation (Figure 7), and ours.

All take images [N, 3, H, W] in [-1, 1], the ages [N] that they show (of an edited image: its target age) and the traits
[N] of the people (`Faces.traits`; an edit keeps them), and return scores [N, 1, h, w], of
"features" [N, 4, h, w]; LSGAN: 1 is real, 0 is made.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from agetransformer.checkpoint import load_checkpoint
from agetransformer.networks import PatchDiscriminator
from train.feature_discriminator import FeatureDiscriminator, FeatureDiscriminatorConfig

GROUPS_FROM = (35, 45, 55)  # years: the groups 20-34, 35-44, 45-54, 55-69 of the projection
OLD_FROM = 45  # years: the younger and the older of two discriminators part here


class SingleDiscriminator(PatchDiscriminator):
    """The method's own: real or not, at whatever age."""

    def forward(self, images: Tensor, ages: Tensor, traits: Tensor) -> Tensor:
        """See the top of this file; neither ages nor traits matter."""
        return super().forward(images)


class ProjectionDiscriminator(PatchDiscriminator):
    """Conditional on the age group by projection (Miyato & Koyama 2018): psi(phi(x)) + <v_group, phi(x)>.

    phi is everything before the last convolution psi. The inner product is taken with phi's mean over the window that
    psi sees, so each score still belongs to one patch.
    """

    def __init__(self):
        super().__init__()
        psi = self.layers[-1]
        self.window = (psi.kernel_size, psi.stride, psi.padding)
        self.groups = spectral_norm(nn.Embedding(len(GROUPS_FROM) + 1, psi.in_channels))

    def forward(self, images: Tensor, ages: Tensor, traits: Tensor) -> Tensor:
        """See the top of this file."""
        phi = self.layers[:-1](images)
        v = self.groups(age_group(ages))[:, :, None, None]
        # A 1x1 inner product and the mean over a window commute, and one channel is cheaper to average.
        inner = (phi * v.to(phi.dtype)).sum(dim=1, keepdim=True)
        return self.layers[-1](phi) + F.avg_pool2d(inner, *self.window)


class PairDiscriminator(nn.Module):
    """Two discriminators: one sees ages below 45 only, the other ages from 45 on only."""

    def __init__(self):
        super().__init__()
        self.young = PatchDiscriminator()
        self.old = PatchDiscriminator()

    def forward(self, images: Tensor, ages: Tensor, traits: Tensor) -> Tensor:
        """See the top of this file."""
        is_old = ages >= OLD_FROM
        parts = []
        for network, mask in ((self.young, ~is_old), (self.old, is_old)):
            if mask.any():
                parts.append((mask.nonzero().squeeze(1), network(images[mask])))
        index, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        if len(parts) == 1:  # a gradient of zero for the idle one: Adam counts the same steps for both
            scores = scores + 0 * sum(parameter.sum() for parameter in self.parameters()).to(scores.dtype)
        return scores[index.argsort()]


DISCRIMINATORS = {
    "single": SingleDiscriminator,
    "projection": ProjectionDiscriminator,
    "pair": PairDiscriminator,
    "features": FeatureDiscriminator,
}


def build_discriminator(kind: str, start: str = "") -> nn.Module:
    """
    Args:
        start: checkpoint folder of one of the kind "features" to start from; empty: random weights.
    Raises:
        CheckpointError: there is no such checkpoint in `start`.
        ValueError: no such kind, or one that is never saved as a checkpoint.
    """
    if kind not in DISCRIMINATORS:
        raise ValueError(f"discriminator: expected one of {', '.join(DISCRIMINATORS)}, found '{kind}'")
    if not start:
        return DISCRIMINATORS[kind]()
    if kind != "features":
        raise ValueError(f"start_discriminator: only discriminator: 'features' starts from a checkpoint, not '{kind}'")
    return load_checkpoint(FeatureDiscriminator, FeatureDiscriminatorConfig, start)


def age_group(ages: Tensor) -> Tensor:
    """Ages [N] -> their group [N] int64: 0 below 35, 1 below 45, 2 below 55, 3."""
    return torch.stack([ages >= edge for edge in GROUPS_FROM]).sum(dim=0)
