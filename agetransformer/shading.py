"""How a generator's change is added to the image: plainly, or so that what darkens keeps its hue."""

from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # BT.601
_BLACK = 0.04  # of the range 2: no pixel is so dark that its factor becomes noise


def luma(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> Y of BT.601, [N, H, W] float32; also of a difference of images."""
    red, green, blue = images.float().unbind(dim=1)
    return (LUMA[0] * red).add(green, alpha=LUMA[1]).add(blue, alpha=LUMA[2])


def share_of_light(change: Tensor, light: Tensor) -> Tensor:
    """What a change of luma is of the light that there is, luma in [-1, 1]; negative where it takes some."""
    return change / ((light + 1).clamp(min=0) + _BLACK)


def ramp(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on."""
    return ((values - low) / (high - low)).clamp(0, 1)


def add_change(images: Tensor, change: Tensor, shading: bool) -> Tensor:
    """Images [1 or N, 3, H, W] in [-1, 1] and a change of them [N, 3, H, W] -> images [N, 3, H, W], not clamped.

    Added plainly, a change of lightness leaves R - Y and B - Y as they are, so a fold in warm skin comes out darker and
    more saturated: red, as if it bled. In a shadow all channels lose the same share of their light. With `shading`,
    where the change darkens by a share of the light, the image's colour differences lose that share too; what the
    change itself does to the colour is added to that. The lightness is the same in both, and what brightens is added
    plainly.
    """
    changed = images + change
    if not shading:
        return changed
    lightness = luma(images)[:, None]
    lost = share_of_light(luma(change)[:, None], lightness).clamp(-1, 0)
    return changed.addcmul_(lost.to(changed.dtype), images - lightness.to(images.dtype))
