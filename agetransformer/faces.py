"""A face of a photo, and the same face at another age."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from agetransformer.compositing import add_change, face_mask, own_share
from agetransformer.detail import finer_detail
from agetransformer.face_outline import OVAL

if TYPE_CHECKING:
    from agetransformer.alignment import FaceGeometry


# Left, top and side of the square in which a face's hair is looked for, in sides of the face's own: down to the chest.
SURROUNDINGS = (-0.5, -0.35, 2.0)


class MissingLibrariesError(RuntimeError):
    """A system library that finding faces needs is missing; the message says which, and where they are listed."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a photo."""

    geometry: "FaceGeometry | None"  # where it is in the photo; None when the photo itself is an aligned square
    image: Image.Image  # FFHQ-aligned square, RGB
    age: float  # apparent age in years, V's estimate
    surroundings: Image.Image | None = None  # the square `SURROUNDINGS`, RGB, `surroundings_side` pixels
    neighbours: "tuple[Neighbour, ...]" = ()  # the photo's other faces; none in videos, where one face is followed
    photo_size: tuple[int, int] | None = None  # width and height of the photo, in pixels; None: not known

    @property
    def position(self) -> "FaceGeometry":
        """`geometry` of a face that was found in a photo; ValueError for one that was given as an aligned square."""
        if self.geometry is None:
            raise ValueError("this face was given as an aligned square and has no place in a photo")
        return self.geometry

    def scaled(self, scale: np.ndarray, least_side: int = 1) -> "Face":
        """The same face in a smaller photo; its square shrinks along.

        Args:
            scale: [2] width and height of that photo over those of this one, up to 1.
            least_side: pixels that the square keeps, where it has them.
        """
        geometry, side = self.geometry, round(self.image.width * scale[0])
        if geometry is not None:
            landmarks = (geometry.landmarks * scale).astype(np.float32)
            geometry = replace(geometry, landmarks=landmarks, quad=geometry.quad * scale)
            side = math.ceil(geometry.side)
        side = min(self.image.width, max(least_side, side))
        image = self.image.resize((side, side), Image.Resampling.LANCZOS)
        return replace(self, geometry=geometry, image=image, photo_size=None)


@dataclass(frozen=True)
class Neighbour:
    """Another face of the photo, as a face sees it."""

    x: float  # where its middle is: 0..1 is this face's square, from left to right
    y: float  # and from top to bottom
    size: float  # of its square, as a multiple of this face's


def see_neighbour(face: "FaceGeometry", other: "FaceGeometry") -> Neighbour:
    """The other face as the first one sees it."""
    x, y = face.in_square(other.landmarks[list(OVAL)]).mean(axis=0)
    return Neighbour(float(x), float(y), other.side / face.side)


def surroundings_side(side: int) -> int:
    """How wide a face's surroundings are where its square has `side` pixels."""
    return round(SURROUNDINGS[2] * side)


@dataclass(frozen=True, eq=False)
class HairChange:
    """What a face's hair, or its beard, changes by, in a square of its own."""

    values: np.ndarray  # [H, H, 3] float32 in levels of 255
    left: float  # of its upper left pixel, in pixels of the face's square at the network's resolution; may be negative
    top: float


@dataclass(frozen=True, eq=False)
class EditedFace:
    """A face at another age: what changes, at the network's resolution of R pixels to the face's square."""

    face: Face
    age: float  # years
    change: np.ndarray  # [R, R, 3] float32 in levels of 255: what the network adds to the square
    hair: "tuple[HairChange, ...]" = ()  # what hair and beard add by their colour
    kept: np.ndarray | None = None  # [R, R] float32 in 0..1: what stays of finer detail; None is all

    @property
    def image(self) -> Image.Image:
        """The face's square at that age, all of it as the network makes it; RGB, of the size of `face.image`."""
        return Image.fromarray(self._add(np.asarray(self.face.image), self._change()))

    @property
    def masked(self) -> Image.Image:
        """The same with the network's change on the face alone, as it is pasted into a photo."""
        return Image.fromarray(self.put_on(np.asarray(self.face.image)))

    def put_on(self, square: np.ndarray) -> np.ndarray:
        """The same on any picture of the face's square, [S, S, 3] uint8 of the size of `face.image`, to a new one."""
        return self._add(square, self._change_of_face())

    def placed_changes(self) -> "list[tuple[np.ndarray, FaceGeometry]]":
        """What `compositing.paste` takes: the change of the face and, where there are any, those of hair and beard."""
        geometry, side = self.face.position, self.face.image.width
        changes, scale = [(self._change_of_face(), geometry)], len(self.change)
        for hair in self.hair:
            place = (hair.left / scale, hair.top / scale, len(hair.values) / scale)
            changes.append((_resize(hair.values, max(1, round(side * place[2]))), geometry.part(*place)))
        return changes

    def _change_of_face(self) -> np.ndarray:
        """[S, S, 3]: what the network changes on the face alone, S pixels as `face.image`."""
        face, side = self.face, self.face.image.width
        mask = face_mask(face.geometry, side)
        if face.neighbours:  # cheek to cheek, each keeps its own
            others = [(one.x, one.y, one.size) for one in face.neighbours]
            mask = mask * own_share(
                face.position.in_square(face.position.landmarks[list(OVAL)]).mean(axis=0), others, side
            )
        return self._change() * mask[..., None]

    def _change(self) -> np.ndarray:
        """[S, S, 3]: what the network changes, and what goes of the detail that is finer than it sees."""
        side = self.face.image.width
        change = _resize(self.change, side)
        if self.kept is None or side <= len(self.change):
            return change
        lost = cv2.merge(3 * [_resize(1 - self.kept, side)])
        gone = cv2.multiply(lost, finer_detail(self.face.image, len(self.change)))
        return cv2.subtract(change, gone, dst=change)

    def _add(self, square: np.ndarray, change: np.ndarray) -> np.ndarray:
        """A picture of the face's square with a change of it [S, S, 3] and those of hair and beard."""
        if self.hair:
            change = change + _resize(hair_within(self.hair, len(self.change)), len(change))
        return add_change(square, change)


def hair_within(hair: Sequence[HairChange], side: int) -> np.ndarray:
    """[side, side, 3] float32 in levels of 255: what hair and beard change inside of the face's square of that side."""
    within = np.zeros((side, side, 3), np.float32)
    for one in hair:
        top, left, extent = round(one.top), round(one.left), len(one.values)
        part = within[max(0, top) : max(0, top + extent), max(0, left) : max(0, left + extent)]
        hidden = max(0, -top), max(0, -left)  # above and left of the square
        part += one.values[hidden[0] :, hidden[1] :][: part.shape[0], : part.shape[1]]
    return within


def _resize(change: np.ndarray, side: int) -> np.ndarray:
    """[R, R, ...] float32 -> [side, side, ...]; antialiased when it shrinks."""
    if side == len(change):
        return change
    interpolation = cv2.INTER_AREA if side < len(change) else cv2.INTER_CUBIC
    return cv2.resize(change, (side, side), interpolation=interpolation)
