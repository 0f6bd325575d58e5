"""AgeEditor: photo -> faces -> encodings -> the same faces at any age -> photo."""

import logging
import math
import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from agetransformer import compositing, hair_map, hub
from agetransformer.checkpoint import CheckpointError, load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.engine import Engine, EngineEncoding
from agetransformer.face_outline import OVAL, mean_outline
from agetransformer.grey_hair import Hair, grey_change, grown_grey, measure_hair
from agetransformer.imageio import load_photo
from agetransformer.networks import Generator, GeneratorConfig

if TYPE_CHECKING:
    from agetransformer.alignment import FaceFinder, FaceGeometry
    from agetransformer.segmentation import PersonSegmenter

logger = logging.getLogger(__name__)

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image

AGES = (20, 69)  # Q of the paper, section 3: the target ages that the generator is trained for
STRONGEST = 1.5  # times the network's change; beyond that it looks painted
_MAX_SIDE = 1024  # px; a larger face keeps its detail in the photo itself, `paste` only adds the change


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo."""

    geometry: "FaceGeometry | None"  # where it is in the photo; None when the photo itself is an aligned square
    image: Image.Image  # FFHQ-aligned square, RGB
    age: float  # apparent age in years, V's estimate

    @property
    def position(self) -> "FaceGeometry":
        """`geometry` of a face that was found in a photo; ValueError for one that was given as an aligned square."""
        if self.geometry is None:
            raise ValueError("this face was given as an aligned square and has no place in a photo")
        return self.geometry


@dataclass(frozen=True, eq=False)
class FaceEncoding:
    """What is needed to see a face at any age; made once, decoded many times."""

    face: Face
    reduced: Tensor  # [1, 3, R, R] float32 in [-1, 1] on the CPU: the face at the network's resolution
    encoding: EngineEncoding
    hair: Hair | None = None  # None: none was found, or not looked for


class AgeEditor:
    """Generator, age classifier and face finder behind one door; holds no state of any photo.

    Methods may be called from several threads.
    """

    def __init__(
        self, generator: Generator, classifier: AgeClassifier, *, name: str, card: str = "", device: str = "auto"
    ):
        """
        Args:
            name: of the checkpoint with its revision, for the disclosure in the results.
            card: model card that `save_pretrained` writes beside the weights.
            device: "auto" (a GPU when there is one), "cpu" or "cuda".
        Raises:
            ValueError: unknown device, or no such device here.
        """
        self.name, self.card = name, card
        self.device = _device(device)
        self.generator = generator.cpu().eval()
        self.engine = Engine(self.generator, str(self.device))
        self.classifier = classifier.eval().to(self.device)
        self._finder: FaceFinder | None = None
        self._segmenter: PersonSegmenter | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(
        cls, source: str | Path | None = None, *, revision: str | None = None, device: str = "auto"
    ) -> "AgeEditor":
        """Load a generator, with the embedded age classifier.

        Args:
            source: None for the embedded checkpoint, a checkpoint folder, or "owner/repo" on the Hub.
            revision: commit, branch or tag on the Hub.
        Raises:
            CheckpointError: it cannot be had; the message says why and what to do.
        """
        checkpoint = hub.resolve(source, revision)
        generator = load_checkpoint(Generator, GeneratorConfig, checkpoint.folder)
        classifier = load_checkpoint(AgeClassifier, ClassifierConfig, hub.CLASSIFIER_FOLDER)
        card = checkpoint.folder / hub.CARD_NAME
        text = card.read_text(encoding="utf-8") if card.is_file() else ""
        return cls(generator, classifier, name=str(checkpoint), card=text, device=device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the generator's checkpoint folder: config, weights, model card."""
        return hub.save_pretrained(self.generator, folder, self.card)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | bool | None = None) -> str:
        """Upload the generator's checkpoint folder to owner/repo on the Hub; returns the new commit's full hash.

        Raises:
            CheckpointError: there is no model card, the Hub cannot be reached, or it refused.
        """
        with tempfile.TemporaryDirectory() as folder:
            return hub.push_to_hub(self.save_pretrained(folder), repo_id, private=private, token=token)

    @property
    def resolution(self) -> int:
        """Side of the square that the network works on, in pixels."""
        return self.generator.config.resolution

    def find_faces(self, photo: Photo) -> list[Face]:
        """All faces of a photo, largest first; [] when there is none.

        Raises:
            PhotoError: the photo cannot be read.
        """
        from agetransformer import alignment  # here, because MediaPipe takes seconds to load

        image = load_photo(photo)
        with self._lock:  # MediaPipe serves one caller at a time
            if self._finder is None:
                self._finder = alignment.FaceFinder()
                weakref.finalize(self, self._finder.close)  # at exit too: MediaPipe cannot be torn down later
            geometries = self._finder.find(image)
        pixels = np.asarray(image)
        faces = []
        for geometry in geometries:
            side = min(_MAX_SIDE, max(self.resolution, round(geometry.side)))
            square = Image.fromarray(alignment.align(pixels, geometry, side))
            faces.append(Face(geometry, square, self.estimate_age(square)))
        return faces

    def face_from_aligned(self, image: Photo) -> Face:
        """A face from a square that is FFHQ-aligned already.

        Raises:
            PhotoError: the picture cannot be read.
            ValueError: it is not square.
        """
        square = load_photo(image)
        if square.width != square.height:
            raise ValueError(f"an aligned face is a square, but this picture is {square.width} x {square.height}")
        return Face(None, square, self.estimate_age(square))

    @torch.inference_mode()
    def estimate_age(self, square: Image.Image) -> float:
        """Apparent age in years of the face in an FFHQ-aligned square."""
        return self.classifier.predict(_to_tensor(square).to(self.device)).item()

    @torch.inference_mode()
    def encode(self, face: Face, hair: bool = True) -> FaceEncoding:
        """The half of the work that does not depend on the target age.

        Args:
            hair: look for the hair too, so that it can turn grey.
        """
        side = self.resolution
        small = face.image.resize((side, side), Image.Resampling.LANCZOS)
        reduced = _to_tensor(small)
        return FaceEncoding(face, reduced, self.engine.encode(reduced), self._find_hair(face, small) if hair else None)

    def _find_hair(self, face: Face, small: Image.Image) -> Hair | None:
        """The hair of a face's square at the network's resolution."""
        pixels = np.asarray(small)
        try:
            person = self._find_person(pixels)
        except (ImportError, CheckpointError, RuntimeError) as error:
            if face.geometry is not None:
                raise
            logger.warning("hair stays as it is: %s", error)  # an aligned square needs no MediaPipe for anything else
            return None
        outline = mean_outline()
        if face.geometry is not None:
            outline = face.geometry.landmarks_in_square[list(OVAL)]
        mask = hair_map.map_hair(pixels, outline, person)
        if not mask.any():
            return None
        return measure_hair(pixels.astype(np.float32) / 255, mask, hair_map.face_region(outline, len(pixels)))

    def _find_person(self, pixels: np.ndarray) -> np.ndarray:
        """`PersonSegmenter.segment`."""
        from agetransformer.segmentation import PersonSegmenter  # here, because MediaPipe takes seconds to load

        with self._lock:
            if self._segmenter is None:
                self._segmenter = PersonSegmenter()
                weakref.finalize(self, self._segmenter.close)
            return self._segmenter.segment(pixels)

    @torch.inference_mode()
    def decode(
        self, encoding: FaceEncoding, ages: Sequence[float], strength: float = 1.0, hair: bool = True
    ) -> list[Image.Image]:
        """The face at each age, as whole aligned squares of the size of `face.image`.

        What the network changes at its own resolution is enlarged and added to the face's own pixels; so is what the
        hair changes by turning grey (`agetransformer.grey_hair`, no part of the network).

        Args:
            ages: years within 20..69, fractions allowed.
            strength: how much of the change is added, 0..1.5; 1 is what the network says, 0 the face as it is.
            hair: whether the hair turns grey, where `encode` found it.
        Raises:
            ValueError: an age outside 20..69, or a strength outside 0..1.5.
        """
        targets = [check_age(age) for age in ages]
        strength = check_strength(strength)
        if not targets:
            return []
        edited = self.engine.decode(encoding.encoding, torch.tensor(targets))
        changes = (edited - encoding.reduced).permute(0, 2, 3, 1).numpy() * (127.5 * strength)
        if hair and encoding.hair is not None:
            pixels = (encoding.reduced[0].permute(1, 2, 0).numpy() + 1) / 2
            for change, target in zip(changes, targets, strict=True):
                if (share := grown_grey(encoding.face.age, target)) > 0:
                    change += grey_change(pixels, encoding.hair, share) * (255 * strength)
        original = np.asarray(encoding.face.image).astype(np.float32)
        images = (np.rint(original + _resize(change, len(original))).clip(0, 255) for change in changes)
        return [Image.fromarray(image.astype(np.uint8)) for image in images]

    def masked(self, face: Face, image: Image.Image, hair: bool = True) -> Image.Image:
        """Of a decoded square what `paste` takes: the change of the face and, unless told otherwise, of the hair."""
        return Image.fromarray(compositing.blend(*_squares(face, image, hair)))

    def paste(self, photo: Photo, face: Face, image: Image.Image, hair: bool = True) -> Image.Image:
        """Put a decoded face into its photo at full resolution; outside the face's square every pixel stays.

        Args:
            photo: the one that `face` was found in, or one in which other faces of it were pasted already.
            image: an edited square of the size of `face.image`.
            hair: take the change of the hair too, softly up to the square's border; otherwise of the face alone.
        Raises:
            PhotoError: the photo cannot be read.
            ValueError: the square or the photo does not belong to the face.
        """
        picture = load_photo(photo)
        if face.geometry is None:
            return Image.fromarray(self.paste_pixels(np.asarray(picture), face, image, hair))
        return compositing.paste_image(picture, face.geometry, *_squares(face, image, hair))

    def paste_pixels(self, photo: np.ndarray, face: Face, image: Image.Image, hair: bool = True) -> np.ndarray:
        """`paste` for a photo that is an array, [H, W, 3] uint8, to a new one; quicker where many ages are written.

        Raises:
            ValueError: the square or the photo does not belong to the face.
        """
        original, edited, mask = _squares(face, image, hair)
        if face.geometry is not None:
            return compositing.paste(photo, face.geometry, original, edited, mask)
        if photo.shape != original.shape:
            raise ValueError("this face was given as an aligned square; pass that square as the photo")
        return compositing.blend(original, edited, mask)

    def warm_up(self, photo: Photo) -> None:
        """Load the face finder and run each network once, so that the first edit takes no longer than the next.

        Args:
            photo: any; one with a face, or the landmarks are not run.
        Raises:
            PhotoError: the photo cannot be read.
        """
        if self.device.type != "cpu":  # a GPU may be lent for the length of a call only
            empty = Image.new("RGB", (self.resolution, self.resolution))
            self.find_faces(empty)
            self._find_person(np.asarray(empty))
            return
        image = load_photo(photo)
        faces = self.find_faces(image)
        face = faces[0] if faces else self.face_from_aligned(image.resize((self.resolution, self.resolution)))
        (edited,) = self.decode(self.encode(face), AGES[:1])
        self.masked(face, edited)

    def close(self) -> None:
        """Free MediaPipe's models; they come back when they are needed."""
        with self._lock:
            for model in (self._finder, self._segmenter):
                if model is not None:
                    model.close()
            self._finder = self._segmenter = None


def _squares(face: Face, image: Image.Image, hair: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A face's square before and after an edit [S, S, 3] uint8, and how much of the change is taken [S, S]."""
    _check_size(face, image)
    side = face.image.width
    mask = (compositing.head_mask if hair else compositing.face_mask)(face.geometry, side)
    return np.asarray(face.image), np.asarray(image.convert("RGB")), mask


def check_age(age: float) -> float:
    """A target age in years, or ValueError with a sentence."""
    value = float(age)
    if not (math.isfinite(value) and AGES[0] <= value <= AGES[1]):
        raise ValueError(f"age {value:g} is outside {AGES[0]}..{AGES[1]}, the ages that the network is trained for")
    return value


def check_strength(strength: float) -> float:
    """How much of a change is added, or ValueError with a sentence."""
    value = float(strength)
    if not (math.isfinite(value) and 0 <= value <= STRONGEST):
        raise ValueError(f"strength {value:g} is outside 0..{STRONGEST:g}; 1 is the change as the network makes it")
    return value


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {name!r} is unknown; use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("no CUDA device is available here; use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def _to_tensor(image: Image.Image) -> Tensor:
    """RGB [H, W] -> [1, 3, H, W] float32 in [-1, 1], contiguous."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)


def _resize(change: np.ndarray, side: int) -> np.ndarray:
    """[R, R, 3] float32 -> [side, side, 3]; antialiased when it shrinks."""
    interpolation = cv2.INTER_AREA if side < len(change) else cv2.INTER_CUBIC
    return cv2.resize(change, (side, side), interpolation=interpolation)


def _check_size(face: Face, image: Image.Image) -> None:
    if image.size != face.image.size:
        raise ValueError(f"the edited square is {image.size}, but the face's square is {face.image.size}")
