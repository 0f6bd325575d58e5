"""AgeEditor: photo -> faces -> encodings -> the same faces at any age -> photo."""

import copy
import math
import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from agetransformer import compositing, hub, openvino_models
from agetransformer.calibration import MOST, READINGS, calibrated_share, expected_reading, first_pass
from agetransformer.checkpoint import fits_half, load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.detail import kept_detail
from agetransformer.drawn_shade import corners_mask, forehead_mask, without_drawn_shade
from agetransformer.efficientnet import fold_norms
from agetransformer.engine import Engine, EngineEncoding
from agetransformer.exposure import expose, missing_exposure
from agetransformer.eyes import eyes_mask, with_clear_eyes
from agetransformer.face_outline import (
    BROWS,
    INNER,
    LIPS,
    MOUTH,
    NOSE,
    NOSE_END,
    OVAL,
    UPPER_LIP,
    chin,
    fill_eyes,
    fill_outline,
    mean_outline,
)
from agetransformer.faces import (
    SURROUNDINGS,
    EditedFace,
    Face,
    HairChange,
    hair_within,
    see_neighbour,
    surroundings_side,
)
from agetransformer.frown import frown_mask, without_frown
from agetransformer.hair_colour import Hair, hair_change, measure_hair
from agetransformer.hair_masks import (
    blurred,
    doubt_skin,
    fit_mask,
    own_part,
    rising,
    share_of_beard,
    whole_beard,
    without_haze,
)
from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
from agetransformer.imageio import load_photo
from agetransformer.lips import (
    chalk_masks,
    chalk_room,
    lips_mask,
    without_chalk,
    without_fuller_lips,
    without_white_lips,
)
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.openvino_classifier import OpenVinoClassifier
from agetransformer.openvino_segmenter import OpenVinoSegmenter
from agetransformer.shade import colour_around, soften_ageing, without_glow
from agetransformer.shading import LUMA, luma
from agetransformer.spots import spots_gone, spots_mask, without_spots
from agetransformer.toning import Toning, find_toning

if TYPE_CHECKING:
    from agetransformer.alignment import FaceFinder, FaceGeometry

Photo = str | os.PathLike[str] | bytes | BinaryIO | Image.Image

AGES = (20, 69)  # Q of the paper, section 3: the target ages that the generator is trained for
MOST_FACES = 32  # that are found in a photo
_RULED_FROM = 3.0  # years away from its own age a face has all of the rules, nearer by less: or a film would jump
STRONGEST = 1.5  # that may be asked for; of the network's change no more is added, or it looks painted,
_STRONGER = 1.2  # unless this times what V asks for is more, or the slider's upper part would do nothing
_RING = 5  # px: so wide around a pixel of a healed spot finer detail goes with it
_LIDS, _BARE_EDGE = 1.15, 1 / 96  # times brow and eye: with the lower lid; of the square: the Gaussian of its edge
_MOUSTACHE = 0.03  # of a face's square: moustaches begin so far above the nose's end
_CHEEKS = 0.08  # of it: below where they begin the rest of a beard on the cheeks begins, softly
_BEYOND_LIP = 0.03  # of a face's square: so far beyond the upper lip's skin they reach
_WIDER_MOUTH = 1.15  # times what is inside of the lips: no tooth is a beard
_SURE_BEARD = 0.7  # of 0..1: so likely a beard is sure; the maps that the segmenter learnt from were not
_LEAST_HAIR = 0.5  # of 0..1: where no pixel is so likely hair, there is none
_MAX_SIDE = 1024  # px; a larger face keeps what is finer in the photo itself, `paste` only adds the change


@dataclass(frozen=True, eq=False)
class FaceEncoding:
    """What is needed to see a face at any age; made once, decoded many times."""

    face: Face
    reduced: Tensor  # [1, 3, R, R] float32 in [-1, 1] on the CPU: the face as the network saw it
    encoding: EngineEncoding
    hair: tuple[Hair, ...] = ()  # of the head, and the beard; what was found
    exposure: float = 1.0  # how many times brighter than it is the network saw the face
    toning: Toning | None = None  # of a photo in black and white or sepia; None: it is in colour
    hair_found: bool = True  # whether hair was looked for

    @cached_property
    def mask(self) -> Tensor:
        """[R, R] float32 in 0..1: what of a change is added."""
        return torch.from_numpy(compositing.face_mask(self.face.geometry, self.reduced.shape[-1]))

    @cached_property
    def light(self) -> np.ndarray:
        """[R, R] float32: the face's luma in levels of 255, as it is in the photo, or as bright as the network saw."""
        return luma(self.reduced)[0].add(1).mul(127.5 / self.exposure).numpy()

    @cached_property
    def hair_mask(self) -> Tensor:
        """[R, R] float32 in 0..1: how much of each pixel changes its colour with hair and beard."""
        masks = [HairChange(np.repeat(part.mask[..., None], 3, axis=2), part.left, part.top) for part in self.hair]
        return torch.from_numpy(hair_within(masks, self.reduced.shape[-1])[..., 0].clip(max=1))

    @cached_property
    def spots(self) -> Tensor:
        """[R, R] float32 in 0..1: where the face may have age spots; nowhere where no landmarks are known."""
        if self.face.geometry is None:
            return torch.zeros(self.reduced.shape[-2:])
        hair = self.hair_mask.numpy() if self.hair_found else None
        return spots_mask(self.reduced[0], self.face.geometry.landmarks_in_square, hair)

    @cached_property
    def places(self) -> "_Places | None":
        """Where some changes are held back; None where no landmarks are known."""
        geometry = self.face.geometry
        return None if geometry is None else _Places.of(geometry.landmarks_in_square, self.reduced[0])


class AgeEditor:
    """Generator, age classifier and face finder behind one door; holds no state of any photo.

    Methods may be called from several threads.
    """

    def __init__(
        self,
        generator: Generator,
        classifier: AgeClassifier,
        segmenter: HairSegmenter,
        *,
        name: str,
        card: str = "",
        device: str = "auto",
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
        self.classifier = _age_reader(classifier.eval(), self.device)
        self.segmenter = _hair_finder(segmenter.eval(), self.device)
        self._finder: FaceFinder | None = None
        self._closing: weakref.finalize | None = None  # of the finder, at exit too: MediaPipe cannot be torn down later
        self._inherited: FaceFinder | None = None  # of the process that this one was forked from
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_in_child)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    @classmethod
    def from_pretrained(
        cls, source: str | Path | None = None, *, revision: str | None = None, device: str = "auto"
    ) -> "AgeEditor":
        """Load a generator, with the embedded age classifier and hair segmenter.

        Args:
            source: None for the embedded checkpoint, a checkpoint folder, or "owner/repo" on the Hub.
            revision: commit, branch or tag on the Hub.
            device: "auto" (a GPU when there is one), "cpu" or "cuda".
        Raises:
            CheckpointError: it cannot be had; the message says why and what to do.
            ValueError: unknown device, or no such device here.
        """
        checkpoint = hub.resolve(source, revision)
        generator = load_checkpoint(Generator, GeneratorConfig, checkpoint.folder)
        classifier = load_checkpoint(AgeClassifier, ClassifierConfig, hub.CLASSIFIER_FOLDER)
        segmenter = load_checkpoint(HairSegmenter, HairSegmenterConfig, hub.HAIR_SEGMENTER_FOLDER)
        card = checkpoint.folder / hub.CARD_NAME
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        return cls(generator, classifier, segmenter, name=str(checkpoint), card=text, device=device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the generator's checkpoint folder as it was: config, weights in their precision, model card."""
        return hub.save_pretrained(self.generator, folder, self.card, half=fits_half(self.generator))

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

    def find_faces(self, photo: Photo | np.ndarray, most: int = MOST_FACES) -> list[Face]:
        """The faces of a photo with their surroundings, largest first; [] when there is none.

        Args:
            photo: as `load_photo` takes it, or its upright RGB pixels [H, W, 3] uint8.
            most: only so many of the largest; `Face.neighbours` are of all that were found.
        Raises:
            PhotoError: the photo cannot be read.
            CheckpointError, MissingLibrariesError: what MediaPipe needs is missing; the message says what.
        """
        from agetransformer import alignment  # here, because MediaPipe takes seconds to load

        pixels = photo if isinstance(photo, np.ndarray) else np.asarray(load_photo(photo))
        with self._lock:  # MediaPipe serves one caller at a time
            if self._finder is None:
                self._finder = alignment.FaceFinder(max_faces=MOST_FACES)
                self._closing = weakref.finalize(self, _close_aside, self._finder)
            geometries = self._finder.find(pixels)
        return [
            replace(
                self.cut_face(pixels, own),
                neighbours=tuple(see_neighbour(own, other) for other in geometries if other is not own),
            )
            for own in geometries[:most]
        ]

    def cut_face(
        self, photo: np.ndarray, geometry: "FaceGeometry", side: int | None = None, age: float | None = None
    ) -> Face:
        """A face that is known to be in a photo, with its surroundings.

        Args:
            photo: [H, W, 3] uint8 RGB.
            side: of its square in pixels; None is the one that it has in the photo, within the network's and 1024.
            age: in years, where that is known; None asks V.
        """
        from agetransformer.alignment import align, glance

        side = side or min(_MAX_SIDE, max(self.resolution, round(geometry.side)))
        square = Image.fromarray(align(photo, geometry, side))
        around = glance(photo, geometry.part(*SURROUNDINGS), surroundings_side(self.resolution))
        age = self.estimate_age(square) if age is None else age
        return Face(geometry, square, age, Image.fromarray(around), photo_size=(photo.shape[1], photo.shape[0]))

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
        exposed = expose(square, missing_exposure(square))
        return self.classifier.predict(_to_tensor(exposed).to(self.device)).item()

    @torch.inference_mode()
    def encode(self, face: Face, hair: bool = True) -> FaceEncoding:
        """The half of the work that does not depend on the target age.

        The network sees a face in the dark brightened (`agetransformer.exposure`), and what it changes is dimmed again.

        Args:
            hair: look for hair and beard too, so that their colour can change.
        """
        side = self.resolution
        small = face.image.resize((side, side), Image.Resampling.LANCZOS)
        exposure = missing_exposure(small)
        reduced = _to_tensor(expose(small, exposure))
        found = self._find_hair(face, small, exposure) if hair else ()
        toning = find_toning(np.asarray(small), exposure)
        return FaceEncoding(face, reduced, self.engine.encode(reduced), found, exposure, toning, hair)

    def _find_hair(self, face: Face, small: Image.Image, exposure: float) -> tuple[Hair, ...]:
        """Hair and beard in a face's surroundings, or where there are none in its square at the network's resolution.

        Of white beards and dark moustaches all is found only where the face's landmarks are known.

        Args:
            small: that square.
            exposure: how many times brighter the segmenter sees them.
        """
        picture, place = small, (0.0, 0.0, 1.0)  # left, top and side, in sides of the face's square
        if face.surroundings is not None:
            picture, place = face.surroundings, SURROUNDINGS
            if picture.width != surroundings_side(small.width):  # another editor's, with another resolution
                picture = picture.resize((surroundings_side(small.width),) * 2, Image.Resampling.LANCZOS)
        corner, squares = np.array(place[:2]), place[2]
        seen = 32 * round(self.segmenter.config.resolution * squares / 32)
        resized = expose(picture.resize((seen, seen), Image.Resampling.BILINEAR), exposure)
        head, beard = self.segmenter.predict(_to_tensor(resized).to(self.device))[0].cpu().numpy()
        pixels, outline = np.asarray(picture), mean_outline()
        if face.geometry is not None:
            outline = face.geometry.landmarks_in_square[list(OVAL)]
        outline = (outline - corner) / squares
        others = [(*((one.x, one.y) - corner) / squares, one.size) for one in face.neighbours]
        head = without_haze(own_part(doubt_skin(head, np.asarray(resized), outline), outline, others))
        beard = own_part(rising(beard, 0, _SURE_BEARD), outline, others)
        hair, beard = (fit_mask(part, pixels) for part in (head, beard))
        skin = fill_outline(outline, len(pixels), INNER) & (hair < _LEAST_HAIR)
        brows: np.ndarray = np.zeros(pixels.shape[:2], bool)
        changing: list[np.ndarray | None] = [None, None]  # of hair and beard, how much of what they change
        if face.geometry is not None:
            landmarks = (face.geometry.landmarks_in_square - corner) / squares

            def inside(line: Sequence[int], scale: float = 1.0) -> np.ndarray:
                return fill_outline(landmarks[list(line)], len(pixels), scale)

            crop = compositing.crop_mask(len(pixels))
            brows = inside(BROWS[0]) | inside(BROWS[1])
            skin &= ~inside(LIPS)
            bearded = inside(OVAL) & ~inside(MOUTH, _WIDER_MOUTH) & ~inside(NOSE) & (crop == 1)
            top = landmarks[NOSE_END, 1] - _MOUSTACHE / squares
            bearded[: round(top * len(pixels))] = False
            reach = np.ones((2 * round(_BEYOND_LIP * small.width) + 1,) * 2, np.uint8)
            moustache = cv2.dilate(inside(UPPER_LIP).astype(np.uint8), reach).astype(bool) & bearded
            beard = beard * crop
            rows = (np.arange(len(pixels)) + 0.5) / len(pixels)
            below = rising(rows, top, top + _CHEEKS / squares).astype(np.float32)
            where = np.maximum(bearded * below[:, None], moustache)
            beard = whole_beard(
                beard, pixels, skin & (beard < _LEAST_HAIR), where, moustache, inside(LIPS), small.width
            )
            around_mouth = moustache | (bearded & fill_outline(chin(landmarks), len(pixels)))
            bare = blurred(fill_eyes(landmarks, len(pixels), _LIDS).astype(np.float32), _BARE_EDGE * small.width)
            changing[0] = crop * (1 - bare * (1 - hair))
            if beard.max() >= _LEAST_HAIR:
                changing[1] = share_of_beard(beard, around_mouth, small.width)
        beard = np.minimum(beard, 1 - hair)
        skin &= beard < _LEAST_HAIR
        face_at = (float(-corner[0]) * small.width, float(-corner[1]) * small.width)
        found = zip((hair, beard), changing, (False, True), strict=True)
        return tuple(
            measure_hair(pixels, part, skin, brows, small.width, face_at, is_beard, changed, exposure)
            for part, changed, is_beard in found
            if part.max() >= _LEAST_HAIR
        )

    @torch.inference_mode()
    def decode(
        self,
        encoding: FaceEncoding,
        ages: Sequence[float],
        strength: float = 1.0,
        hair: bool = True,
        shares: Sequence[float] | None = None,
    ) -> list[EditedFace]:
        """The face at each age; `EditedFace.image` is its aligned square, `paste` puts it into its photo.

        What the network changes at its own resolution, without what no face does as it grows older or younger
        (`agetransformer.shade`, `drawn_shade`, `eyes`, `frown` and `lips`), is enlarged and added to the face's own
        pixels; so is what hair changes by turning grey, or brown again (`agetransformer.hair_colour`, a rule). Of who
        grows younger age spots go (`agetransformer.spots`, where landmarks are known) and detail that is finer than the
        network sees (`agetransformer.detail`). In a photo of one tone all of it is of that (`agetransformer.toning`).

        Args:
            ages: years within 20..69, fractions allowed.
            strength: how much of the change is added, 0..1.5; 1 is what the age asks for, 0 the face as it is. Where V
                asks for more than the network's change (`calibrate`), the most is 1.2 to 1.5; of the hair's colour, 1.
            hair: whether hair and beard change their colour, where `encode` found them.
            shares: what `calibrate` says of these ages; None asks it.
        Raises:
            ValueError: an age outside 20..69, or a strength outside 0..1.5.
        """
        targets = [check_age(age) for age in ages]
        strength = check_strength(strength)
        if not targets:
            return []
        edits = self._edits(encoding, targets, hair)
        shares = self._calibrate(edits) if shares is None else shares
        first = [max(edits.first(index, share), 1.0) for index, share in enumerate(shares)]
        asked = [min(strength, max(STRONGEST / share, _STRONGER)) for share in first]
        change = torch.stack([asked[index] * edits.change(index, share) for index, share in enumerate(shares)])
        all_of_it = min(strength, 1.0)  # twice the way from white to brown is black, and from a spot to skin it shines
        faces = []
        for index, (one, target) in enumerate(zip(change, targets, strict=True)):
            kept, gap, healed = None, encoding.face.age - target, None
            if (gone := all_of_it * spots_gone(encoding.face.age, target)) > 0:
                one, healed = without_spots(one, encoding.reduced[0], encoding.spots, gone)
            added = np.ascontiguousarray(one.permute(1, 2, 0).numpy() * (127.5 / encoding.exposure))
            if encoding.toning is not None:
                added = encoding.toning.colour_change(added, encoding.light)
            hairs = tuple(replace(part, values=all_of_it * part.values) for part in edits.hair[index])
            if gap > 0:
                kept = 1 - min(1.0, gap / _RULED_FROM) * (1 - kept_detail(encoding.reduced[0], one))
                if healed is not None:  # a spot's edge is finer than the network sees, and its ring would stay
                    kept *= 1 - cv2.dilate(healed.numpy(), np.ones((_RING, _RING), np.uint8))
            faces.append(EditedFace(encoding.face, target, added, hairs, kept))
        return faces

    @torch.inference_mode()
    def calibrate(self, encoding: FaceEncoding, ages: Sequence[float], hair: bool = True) -> list[float]:
        """How much of the network's change V asks for at each age, 0.5..1.9 (`agetransformer.calibration`).

        Args:
            hair: whether V sees hair and beard of the colour that they have at that age.
        Raises:
            ValueError: an age outside 20..69.
        """
        targets = [check_age(age) for age in ages]
        if not targets:
            return []
        return self._calibrate(self._edits(encoding, targets, hair))

    def _edits(self, encoding: FaceEncoding, targets: Sequence[float], hair: bool) -> "_Edits":
        """What the network makes of a face at each age, in one pass."""
        return _Edits(
            self.engine,
            encoding,
            targets,
            self.engine.decode(encoding.encoding, torch.tensor(targets)),
            [_recolour(encoding, target) if hair else () for target in targets],
        )

    def _calibrate(self, edits: "_Edits") -> list[float]:
        """`calibrate` of faces that are decoded already."""
        own, targets = edits.encoding.face.age, edits.targets
        shares, moving = [1.0] * len(targets), list(range(len(targets)))
        for _ in range(READINGS):
            shown = torch.stack([edits.shown(index, shares[index]) for index in moving])
            for index, age in zip(moving.copy(), self.classifier.predict(shown.to(self.device)).tolist(), strict=True):
                share = calibrated_share(own, expected_reading(targets[index]), age, shares[index])
                if share == shares[index]:
                    moving.remove(index)
                shares[index] = share
            if not moving:
                break
        return shares

    def paste(self, photo: Photo, edited: EditedFace) -> Image.Image:
        """Put a decoded face into its photo at full resolution; outside the face and its hair every pixel stays.

        Args:
            photo: the one that the face was found in, or one in which other faces of it were pasted already.
        Raises:
            PhotoError: the photo cannot be read.
            ValueError: the photo does not belong to the face.
        """
        picture = load_photo(photo)
        if edited.face.geometry is None:
            return Image.fromarray(self.paste_pixels(np.asarray(picture), edited))
        _check_size(picture.size, edited.face)
        return compositing.paste_image(picture, edited.placed_changes())

    def paste_pixels(self, photo: np.ndarray, edited: EditedFace) -> np.ndarray:
        """`paste` for a photo that is an array, [H, W, 3] uint8, to a new one; quicker where many ages are written.

        Raises:
            ValueError: the photo does not belong to the face.
        """
        if edited.face.geometry is not None:
            _check_size((photo.shape[1], photo.shape[0]), edited.face)
            return compositing.paste(photo, edited.placed_changes())
        if photo.shape[:2] != edited.face.image.size:
            raise ValueError("this face was given as an aligned square; pass that square as the photo")
        return edited.put_on(photo)

    def warm_up(self, photo: Photo, networks: bool = True) -> None:
        """Load the face finder and run each network once, so that the first edit takes no longer than the next.

        Args:
            photo: any; one with a face, or the landmarks are not run.
            networks: off: the face finder alone, and not on the photo, where a GPU is lent for a call's length only.
        Raises:
            PhotoError: the photo cannot be read.
        """
        if not networks:
            self.find_faces(Image.new("RGB", (self.resolution, self.resolution)))  # no face, so nobody reads its age
            return
        image = load_photo(photo)
        faces = self.find_faces(image, most=1)
        if not faces:
            image = image.resize((self.resolution, self.resolution))
            faces = [self.face_from_aligned(image)]
        (edited,) = self.decode(self.encode(faces[0]), AGES[-1:])
        self.paste(image, edited)

    def close(self) -> None:
        """Free MediaPipe's models; they come back when they are needed."""
        with self._lock:
            if self._closing is not None and self._finder is not None:
                self._closing.detach()
                self._finder.close()
            self._finder = self._closing = None

    def _begin_in_child(self) -> None:
        """After a fork, as on ZeroGPU: the finder's threads are gone, and neither using nor closing it would return."""
        if self._closing is not None:
            self._closing.detach()
        self._inherited = self._inherited or self._finder  # kept, because its end would wait for them too
        self._finder = self._closing = None
        self._lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class _Places:
    """Where in a face some changes are held back; masks [R, R] in 0..1."""

    lips: Tensor  # with the skin around them
    above_lips: Tensor  # bare skin, up to the nose
    room_above_lips: Tensor  # by how much of the range 2 it may get lighter in full
    eyes: Tensor  # between the lids
    frown: Tensor  # between the brows
    bare: Tensor  # beyond the eyes' outer corners, and the forehead
    around: Tensor  # [3, R, R], the colour of the skin around each pixel

    @classmethod
    def of(cls, landmarks: np.ndarray, face: Tensor) -> "_Places":
        """Of MediaPipe's landmarks [478, 2], fractions of the square's side, and the face [3, R, R] in [-1, 1]."""
        side = face.shape[-1]
        eyes = eyes_mask(landmarks, side)
        return cls(
            lips_mask(landmarks, side),
            *chalk_room(face, *chalk_masks(landmarks, side)),
            eyes,
            frown_mask(landmarks, side),
            torch.maximum(corners_mask(landmarks, eyes), forehead_mask(landmarks, side)),
            colour_around(face),
        )


@dataclass(frozen=True, eq=False)
class _Edits:
    """A face at some ages as the network makes it, in one pass and, where that is not enough, in two."""

    engine: Engine
    encoding: FaceEncoding
    targets: Sequence[float]  # years
    edited: Tensor  # [A, 3, R, R] in [-1, 1]: the first pass
    hair: Sequence[tuple[HairChange, ...]]  # what hair and beard change by at each age
    second: dict[int, Tensor] = field(default_factory=dict)  # [3, R, R]: what the second pass changes, once asked for
    changes: dict[int, tuple[float, Tensor]] = field(default_factory=dict)  # the last share and `change` of each age

    def change(self, index: int, share: float) -> Tensor:
        """[3, R, R]: what is added to the face where V asks for `share` of it."""
        if index not in self.changes or self.changes[index][0] != share:
            first = self.first(index, share)
            change = first * (self.edited[index] - self.encoding.reduced[0])
            if share > first:
                change = change + (share - first) * self._second_change(index)
            self.changes[index] = share, self._ruled(index, change)
        return self.changes[index][1]

    def _ruled(self, index: int, change: Tensor) -> Tensor:
        """A change [3, R, R] without what no face does as it grows older or younger."""
        gap, places = self.targets[index] - self.encoding.face.age, self.encoding.places
        ruled = change
        if gap > 0:
            ruled = soften_ageing(change[None], self.encoding.reduced)[0]
            if places is not None:
                ruled = with_clear_eyes(ruled, places.eyes)
                ruled = without_frown(ruled, self.encoding.reduced[0], places.frown)
                ruled = without_white_lips(ruled, self.encoding.reduced[0], places.lips)
                ruled = without_chalk(ruled, places.above_lips, places.room_above_lips)
                other_colours = torch.maximum(places.lips, self.encoding.hair_mask)
                ruled = without_glow(ruled, self.encoding.reduced[0], places.around, other_colours)
        elif places is not None:
            ruled = without_fuller_lips(change, self.encoding.reduced[0], places.lips)
            ruled = without_drawn_shade(ruled, places.bare)
        return torch.lerp(change, ruled, min(1.0, abs(gap) / _RULED_FROM))

    def shown(self, index: int, share: float) -> Tensor:
        """[3, R, R] in [-1, 1]: the face with so much of the change and its hair, as V and the second pass see it."""
        return self.encoding.reduced[0] + self.encoding.mask * self.change(index, share) + self._grown[index]

    @cached_property
    def _grown(self) -> Tensor:
        """[A, 3, R, R]: what hair and beard change inside of the face's square, as bright as the network sees it."""
        grown = np.stack([hair_within(parts, self.edited.shape[-1]) for parts in self.hair])
        return torch.from_numpy(grown).permute(0, 3, 1, 2) * (self.encoding.exposure / 127.5)

    def first(self, index: int, share: float) -> float:
        """How much of a share is of the first pass."""
        return first_pass(share, self.targets[index] > self.encoding.face.age)

    def _second_change(self, index: int) -> Tensor:
        """[3, R, R]: what a second pass changes of the face with as much of the first as there may be."""
        if index not in self.second:
            face = self.shown(index, MOST)[None].clamp(-1, 1)
            again = self.engine.decode(self.engine.encode(face), torch.tensor([self.targets[index]]))
            self.second[index] = (again - face)[0]
        return self.second[index]


def _close_aside(finder: "FaceFinder") -> None:
    """Close a finder whose editor is collected, in a thread of its own.

    The collector runs anywhere, also where its thread holds a lock that MediaPipe waits for to close.
    """
    if threading.main_thread().is_alive():
        threading.Thread(target=finder.close, name="close-face-finder").start()
    else:  # the process ends, and starts no more threads
        finder.close()


def _age_reader(classifier: AgeClassifier, device: torch.device) -> AgeClassifier | OpenVinoClassifier:
    """The classifier in the form that suits the device."""
    if device.type == "cpu" and openvino_models.available():
        return OpenVinoClassifier(classifier.cpu(), cache=openvino_models.cache_folder())
    return fold_norms(copy.deepcopy(classifier)).to(device)


def _hair_finder(segmenter: HairSegmenter, device: torch.device) -> HairSegmenter | OpenVinoSegmenter:
    """The segmenter in the form that suits the device."""
    if device.type == "cpu" and openvino_models.available():
        return OpenVinoSegmenter(segmenter.cpu(), cache=openvino_models.cache_folder())
    return fold_norms(copy.deepcopy(segmenter)).to(device).to(memory_format=torch.channels_last)


def _recolour(encoding: FaceEncoding, target: float) -> tuple[HairChange, ...]:
    """What hair and beard change by their colour at an age in years; empty where they do not."""
    found = []
    for part in encoding.hair:
        change = hair_change(part, encoding.face.age, target)
        if change is not None and encoding.toning is not None:
            light = cv2.transform(part.pixels.astype(np.float32), np.array([LUMA]))
            change = replace(change, values=encoding.toning.colour_change(change.values, light))
        if change is not None:
            found.append(change)
    return tuple(found)


def _check_size(size: tuple[int, int], face: Face) -> None:
    """ValueError where a photo of this width and height is not the one that the face was found in."""
    if face.photo_size not in (None, size):
        found = "{} x {}".format(*face.photo_size)
        raise ValueError(f"the face was found in a photo of {found} pixels, and this one has {size[0]} x {size[1]}")


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
        raise ValueError(f"strength {value:g} is outside 0..{STRONGEST:g}; 1 is the change that the age asks for")
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
