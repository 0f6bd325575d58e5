"""What changed between a photo and its edit: sharpness, background, colour. Images are [H, W, 3] uint8 RGB."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.color import rgb2lab

COLOUR_BIN = 0.1  # width of the histogram bins of `colour_change`, in Lab units
COLOUR_BINS = 2560  # up to 256

# The mean of dlib's jaw line (points 0..16) in FFHQ faces, as fractions of the side: where no landmarks are found.
FFHQ_OVAL = ((0.5, 0.53), 0.285, 0.41)  # centre, horizontal and vertical radius


def face_oval(landmarks: np.ndarray | None, size: int) -> np.ndarray:
    """The face as a region: dlib's jaw line below, half an ellipse over the forehead above.

    Args:
        landmarks: [68, 2] pixels of a size x size image; None takes the fixed oval of the FFHQ frame.
    Returns:
        [size, size] bool, true inside the face.
    """
    mask = Image.new("1", (size, size))
    draw = ImageDraw.Draw(mask)
    if landmarks is None:
        (x, y), width, height = FFHQ_OVAL
        draw.ellipse([size * v for v in (x - width, y - height, x + width, y + height)], fill=1)
        return np.array(mask)
    right, chin, left = landmarks[0], landmarks[8], landmarks[16]
    brows = (landmarks[21] + landmarks[22]) / 2
    hairline = brows + (brows - chin) / 2  # the forehead is a third of the face's height
    centre = (right + left) / 2
    t = np.linspace(0, np.pi, 32)[1:-1, None]
    forehead = centre + np.cos(t) * (left - centre) + np.sin(t) * (hairline - centre)
    draw.polygon([tuple(point) for point in np.concatenate([landmarks[:17], forehead]).tolist()], fill=1)
    return np.array(mask)


def laplacian_variance(image: np.ndarray, mask: np.ndarray) -> float:
    """Variance of the Laplacian of the luma inside the mask [H, W]: the usual measure of sharpness."""
    luma = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return float(ndimage.laplace(luma)[mask].var())


def background_change(image: np.ndarray, edited: np.ndarray, face: np.ndarray) -> float:
    """Mean absolute difference outside the face [H, W], of 255."""
    difference = np.abs(image.astype(np.int16) - edited)
    return float(difference[~face].mean())


def colour_change(lab: np.ndarray, edited_lab: np.ndarray) -> np.ndarray:
    """Histogram [COLOUR_BINS] of the absolute changes of a and b over all pixels of two Lab images [H, W, 3].

    Lab's a and b run over about 256 units, so a unit here is one of 255.
    """
    change = np.abs(edited_lab[..., 1:] - lab[..., 1:]).ravel()
    index = np.minimum((change / COLOUR_BIN).astype(np.int64), COLOUR_BINS - 1)
    return np.bincount(index, minlength=COLOUR_BINS)


def percentile(histogram: np.ndarray, percent: float) -> float:
    """The percentile of a histogram of `colour_change`, to the lower edge of its bin."""
    total = np.cumsum(histogram)
    return float(np.searchsorted(total, total[-1] * percent / 100) * COLOUR_BIN)


def to_lab(image: np.ndarray) -> np.ndarray:
    """uint8 sRGB -> CIE Lab (D65) [H, W, 3] float32."""
    return rgb2lab(image.astype(np.float32) / 255)
