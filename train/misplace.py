"""Drawn detail on real faces: a D that sees the same photo with and without it learns what a stroke is."""

from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

FINE = 1 / 96  # of the side: the Gaussian's standard deviation; coarser than it, a change is shading and no stroke


def misplace_edits(edited: Tensor, images: Tensor, real: Tensor) -> Tensor:
    """`real` with the fine detail that the edits of other faces drew, mirrored, so that no wrinkle is where it belongs.

    Args:
        edited, images: edits and their faces [N, 3, H, W] in [-1, 1].
        real: real faces [N, 3, H, W] in [-1, 1].
    Returns:
        [N, 3, H, W] in [-1, 1].
    """
    change = edited.float() - images.float()
    sigma = FINE * images.shape[-1]
    fine = change - gaussian_blur(change, 2 * round(2 * sigma) + 1, sigma)
    return (real + fine.flip(3)).clamp(-1, 1).to(real.dtype)
