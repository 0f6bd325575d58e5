"""Faces in a photo -> FFHQ-style oriented squares, and the exact way back.

The square is the one of FFHQ (Karras et al. 2019, "A Style-Based Generator Architecture for GANs", dataset's recreation
script), computed from MediaPipe's 478 landmarks instead of dlib's 68. Coordinates are continuous: x right, y down, the
centre of the first pixel at (0.5, 0.5).
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

from agetransformer.checkpoint import EMBEDDED, CheckpointError
from agetransformer.faces import MissingLibrariesError

DEFAULT_MODEL = EMBEDDED / "face_landmarker" / "face_landmarker.task"

# MediaPipe's landmarks at the places of dlib's 36-41, 42-47 (eye contours) and 48, 54 (mouth corners).
# Eyes and mouth are in the order of the picture: left is left in an unmirrored photo of an upright face.
_LEFT_EYE = [33, 160, 158, 133, 153, 144]
_RIGHT_EYE = [362, 385, 387, 263, 373, 380]
_MOUTH_CORNERS = [61, 291]

_TILE = 128  # px: input side of MediaPipe's face detector
_SMALLEST = 24  # photo px: no side of a photo with a face that can be found is shorter
_LONGEST = 100  # times the shorter side; longer panoramas are not searched
_FINEST_TILE = 448  # photo px of the smallest tile searched: a face of 60 px is 17 px there, where 95 % are still found
_TILE_STRIDE = 0.7  # of a tile: the widest face that the next coarser tiles see too small lies whole in one tile
_SMALL_FACE = 0.3  # of a tile: where a face smaller than this was found, smaller ones may stand beside it
_PROPOSAL_SCORE = 0.35  # in a tile
_SURE_SCORE = 0.7  # in a tile
_FACE_SCORE = 0.6  # upright and well framed
_CONTEXT = 1.9  # side of the crop that is examined, in widths of the detection
_BEYOND = cv2.BORDER_REPLICATE  # finds more faces cut by the border than black, and no mirrored ones
_UPRIGHT = 384  # px: side of that crop once it is upright
_FOLLOWED = 1.2  # side of the crop in which a face is followed to the next frame, in sides of its square


@dataclass(frozen=True, eq=False)
class FaceGeometry:
    """Where a face is in a photo, and its FFHQ-style square."""

    landmarks: np.ndarray  # [478, 2] float32, photo pixels
    quad: (
        np.ndarray
    )  # [4, 2] float64, the square's corners in photo pixels: top left, bottom left, bottom right, top right
    blendshapes: dict[str, float]  # MediaPipe's expression scores, 0..1

    @property
    def side(self) -> float:
        """Side of the square in photo pixels."""
        return float(np.hypot(*(self.quad[3] - self.quad[0])))

    @property
    def landmarks_in_square(self) -> np.ndarray:
        """The landmarks as fractions of the square's side, [478, 2]."""
        return self.in_square(self.landmarks)

    def in_square(self, points: np.ndarray) -> np.ndarray:
        """Points of the photo [K, 2] as fractions of the square's side."""
        to_photo = self.crop_to_photo(1)
        return (points - to_photo[:, 2]) @ np.linalg.inv(to_photo[:, :2]).T

    def part(self, left: float, top: float, side: float) -> "FaceGeometry":
        """The same face with another square: its left, top and side are fractions of this one's side."""
        to_photo = self.crop_to_photo(1)
        corners = np.array([(left, top), (left, top + side), (left + side, top + side), (left + side, top)])
        return replace(self, quad=corners @ to_photo[:, :2].T + to_photo[:, 2])

    def crop_to_photo(self, size: int) -> np.ndarray:
        """Affine map [2, 3] from coordinates in a size x size crop to photo coordinates."""
        return _from_square(self.quad, size)


def ffhq_quad(landmarks: np.ndarray) -> np.ndarray:
    """FFHQ's oriented square from MediaPipe's landmarks [478, 2] -> corners [4, 2]: TL, BL, BR, TR."""
    landmarks = landmarks.astype(np.float64)
    left, right, mouth = (landmarks[points].mean(axis=0) for points in (_LEFT_EYE, _RIGHT_EYE, _MOUTH_CORNERS))
    eyes = (left + right) / 2
    eye_to_eye, eye_to_mouth = right - left, mouth - eyes
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8) / np.hypot(*x)
    return _square(eyes + eye_to_mouth * 0.1, x)


def align(photo: np.ndarray, geometry: FaceGeometry, size: int) -> np.ndarray:
    """Cut the face's square out of the photo, upright; antialiased where it shrinks, reflected beyond the photo.

    Args:
        photo: [H, W, 3] uint8.
        size: side of the crop in pixels.
    Returns:
        [size, size, 3] uint8.
    """
    return _warp(photo, geometry.crop_to_photo(size), (size, size), cv2.BORDER_REFLECT, cv2.INTER_LANCZOS4)


def glance(photo: np.ndarray, geometry: FaceGeometry, size: int) -> np.ndarray:
    """`align`, in less time: averaged, then linear."""
    return _warp(photo, geometry.crop_to_photo(size), (size, size), cv2.BORDER_REFLECT, cv2.INTER_LINEAR)


def unalign(
    crop: np.ndarray, geometry: FaceGeometry, photo_shape: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Warp a crop, or a mask or a difference in a crop's frame, back to where `align` took it from.

    Args:
        crop: [S, S, C] or [S, S], uint8 or float32.
        photo_shape: (H, W, ...) of the photo that the face was found in.
    Returns:
        values [bottom - top, right - left, ...] of the crop's dtype, and box = (left, top, right, bottom), the part of
        the photo that the square reaches. Beyond the square the crop's outermost pixels go on. Floats may overshoot
        their range a little at hard edges.
    Raises:
        ValueError: the square lies outside such a photo.
    """
    (part,) = unalign_parts(crop, geometry, photo_shape, rows=photo_shape[0])
    return part


def unalign_parts(
    crop: np.ndarray, geometry: FaceGeometry, photo_shape: tuple[int, ...], rows: int = 256
) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """`unalign` in parts of so many rows, from top to bottom: all of a large face in float32 would be half a gigabyte.

    Where the photo's face has fewer pixels than the crop, which is averaged then, there is one part.
    """
    height, width = photo_shape[:2]
    left, top = (int(x) for x in np.floor(geometry.quad.min(axis=0)).clip(0))
    right, bottom = (int(x) for x in np.ceil(geometry.quad.max(axis=0)).clip(None, (width, height)))
    if left >= right or top >= bottom:
        raise ValueError(f"the face lies outside a photo of {width} x {height}; pass the photo that it was found in")
    to_crop: np.ndarray = cv2.invertAffineTransform(geometry.crop_to_photo(len(crop)))
    # Lanczos would keep little of a change better, in six times the time; but OpenCV's cubic bends a ramp by
    # up to 6 % of a crop's pixel, which shows where that is many of the photo's.
    interpolation = cv2.INTER_LANCZOS4 if geometry.side > 2 * len(crop) else cv2.INTER_CUBIC
    rows = rows if geometry.side >= len(crop) else height
    for begin in range(top, bottom, rows):
        end, from_here = min(begin + rows, bottom), to_crop.copy()
        from_here[:, 2] += to_crop[:, :2] @ (left, begin)
        values = _warp(crop, from_here, (right - left, end - begin), cv2.BORDER_REPLICATE, interpolation)
        yield values, (left, begin, right, end)


@dataclass(frozen=True, eq=False)
class _Detection:
    """What MediaPipe's detector says of one face, in the pixels of what it was shown."""

    score: float
    centre: np.ndarray  # [2]
    width: float
    across: np.ndarray  # [2], unit vector from the eye on the picture's left to the other

    def mapped(self, affine: np.ndarray) -> "_Detection":
        """The same face after a similarity map [2, 3]."""
        turn, shift = affine[:, :2], affine[:, 2]
        scale = _scale(affine)
        return _Detection(self.score, turn @ self.centre + shift, scale * self.width, turn @ self.across / scale)

    @property
    def box(self) -> np.ndarray:
        """(left, top, right, bottom)"""
        return np.concatenate([self.centre - self.width / 2, self.centre + self.width / 2])


class FaceFinder:
    """MediaPipe's face detector on a pyramid of tiles, then its landmarker on an upright, enlarged crop of each face.

    The detector fires on faces turned by any angle, but reads those turned by more than 70 degrees the wrong way up. So
    each is looked at in four turns, and the right one scores highest (120 of 120 FFHQ faces at random angles).
    MediaPipe serves calls from several threads one after the other.
    """

    def __init__(self, model_path: str | Path | None = None, max_faces: int = 32):
        """
        Args:
            model_path: MediaPipe's face_landmarker.task; None is the one in checkpoints/.
            max_faces: at most so many are returned, nearly always the largest.
        Raises:
            CheckpointError: the model file is missing or broken.
            MissingLibrariesError: a system library that MediaPipe needs is missing.
            ValueError: max_faces is below 1.
        """
        if max_faces < 1:
            raise ValueError(f"max_faces is {max_faces}; it must be at least 1")
        self.max_faces = max_faces
        path = DEFAULT_MODEL if model_path is None else Path(model_path)
        try:
            with zipfile.ZipFile(path) as bundle:
                detector = BaseOptions(model_asset_buffer=bundle.read("face_detector.tflite"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: no such file; MediaPipe's face_landmarker.task belongs there") from error
        except (zipfile.BadZipFile, KeyError) as error:
            raise CheckpointError(f"{path}: not MediaPipe's face_landmarker.task, or cut short") from error
        landmarker = BaseOptions(model_asset_buffer=path.read_bytes())
        try:
            self._detector = vision.FaceDetector.create_from_options(
                vision.FaceDetectorOptions(detector, min_detection_confidence=_PROPOSAL_SCORE)
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    landmarker,
                    num_faces=2,  # a neighbour's may be in the crop and score higher
                    output_face_blendshapes=True,
                )
            )
        except OSError as error:
            raise MissingLibrariesError(f"MediaPipe needs the system libraries in packages.txt: {error}") from error
        self._closed = False

    def close(self) -> None:
        """Free the models; the finder cannot be used afterwards. Closing twice is fine."""
        self._closed = True
        self._detector.close()
        self._landmarker.close()

    def __enter__(self) -> "FaceFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, photo: Image.Image | np.ndarray) -> list[FaceGeometry]:
        """Faces of a photo, or of its pixels [H, W, 3] uint8, turned by any angle; largest first, [] if there is none.

        From about 60 px on, but beside a face that is much larger only from a sixth of its size on: looking for smaller
        ones takes three times as long.
        """
        if self._closed:
            raise RuntimeError("this FaceFinder is closed; make a new one")
        pixels = _rgb_pixels(photo)
        height, width = pixels.shape[:2]
        if min(height, width) < max(_SMALLEST, max(height, width) / _LONGEST):  # a strip would be millions of tiles
            return []
        base = _resized(pixels, _TILE / _FINEST_TILE)
        faces: list[FaceGeometry] = []
        for detection in self._propose(base, (width, height)):
            if any(_holds(other, detection.centre) for other in faces):
                continue
            face = self._examine(pixels, base, detection)
            if face and not any(_holds(other, face.landmarks.mean(axis=0)) for other in faces):
                faces.append(face)
            if len(faces) == self.max_faces:
                break
        return sorted(faces, key=lambda face: -face.side)

    def follow(self, frame: Image.Image | np.ndarray, face: FaceGeometry) -> FaceGeometry | None:
        """The face in the next frame of a video, looked for only around where it was; None when it is not there."""
        if self._closed:
            raise RuntimeError("this FaceFinder is closed; make a new one")
        pixels = _rgb_pixels(frame)
        centre = face.quad.mean(axis=0)
        around = _square(centre, (face.quad[3] - face.quad[0]) / 2 * _FOLLOWED)
        return self._nearest_face(pixels, _from_square(around, _UPRIGHT), centre, face.side / 2)

    def _propose(self, base: np.ndarray, photo_size: tuple[int, int]) -> list[_Detection]:
        """What may be faces in a photo, in its pixels, largest first.

        Args:
            base: [H, W, 3], the photo so small that a tile of `_FINEST_TILE` is one of `_TILE`.
            photo_size: width and height.
        """
        tile = _FINEST_TILE
        while tile < 1.25 * max(photo_size):  # room around a face that fills the photo
            tile *= 2
        found: list[_Detection] = []
        while tile >= _FINEST_TILE:
            for view, to_photo in _tiles(_resized(base, _FINEST_TILE / tile), photo_size):
                found += [detection.mapped(to_photo) for detection in self._detect(view)]
            smallest = min((detection.width for detection in found if detection.score > _SURE_SCORE), default=0)
            if tile <= min(photo_size) and smallest > _SMALL_FACE * tile:
                break
            tile //= 2
        kept: list[_Detection] = []
        for detection in sorted(found, key=lambda detection: -detection.score):
            if not any(_overlap(detection.box, other.box) > 0.3 for other in kept):
                kept.append(detection)
        return sorted(kept[: 2 * self.max_faces], key=lambda detection: -detection.width)

    def _examine(self, pixels: np.ndarray, base: np.ndarray, proposed: _Detection) -> FaceGeometry | None:
        """Turn what was detected upright, enlarge it, and find its landmarks; None when it is no face.

        Args:
            pixels, base: [H, W, 3], the photo, and as of `_propose`.
        """
        around = _square(proposed.centre, np.array([_CONTEXT / 2 * proposed.width, 0]))
        seen, shrunk = pixels, np.ones((2, 1))
        if _CONTEXT * proposed.width >= _FINEST_TILE:  # a large face is found in a smaller copy as well, and sooner
            seen, shrunk = base, np.divide(base.shape[1::-1], pixels.shape[1::-1])[:, None]
        view = _view(seen, shrunk * _from_square(around, _TILE), _TILE)
        turned: list[_Detection] = []
        for turns in range(4):
            to_photo = _from_square(np.roll(around, turns, axis=0), _TILE)
            turned += [detection.mapped(to_photo) for detection in self._detect(np.rot90(view, turns))]
            if not turned:  # what is a face scores even the wrong way up
                return None
        best = max(turned, key=lambda detection: detection.score)
        if best.score < _FACE_SCORE:
            return None
        to_photo = _from_square(_square(best.centre, _CONTEXT / 2 * best.width * best.across), _UPRIGHT)
        return self._nearest_face(pixels, to_photo, best.centre, best.width / 2)

    def _nearest_face(
        self, pixels: np.ndarray, to_photo: np.ndarray, centre: np.ndarray, reach: float
    ) -> FaceGeometry | None:
        """Landmarks in the upright square that `to_photo` maps to the photo: of the face nearest to `centre` [2]."""
        upright = _view(pixels, to_photo, _UPRIGHT)
        result = self._landmarker.detect(mp.Image(mp.ImageFormat.SRGB, upright))
        faces: list[tuple[float, FaceGeometry | None]] = []
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(point.x, point.y) for point in points]) * _UPRIGHT
            landmarks = landmarks @ to_photo[:, :2].T + to_photo[:, 2]
            blendshapes = {score.category_name: score.score for score in scores}
            face = FaceGeometry(landmarks.astype(np.float32), ffhq_quad(landmarks), blendshapes)
            faces.append((np.hypot(*(face.quad.mean(axis=0) - centre)), face))
        distance, nearest = min(faces, key=lambda item: item[0], default=(np.inf, None))
        return nearest if distance < reach else None

    def _detect(self, view: np.ndarray) -> list[_Detection]:
        result = self._detector.detect(mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(view)))
        found = []
        for face in result.detections:
            box, size = face.bounding_box, np.array(view.shape[1::-1])
            one, other = (np.array([point.x, point.y]) * size for point in face.keypoints[:2])  # the eyes
            centre = np.array([box.origin_x + box.width / 2, box.origin_y + box.height / 2])
            across = (other - one) / max(np.hypot(*(other - one)), 1e-6)
            found.append(_Detection(face.categories[0].score, centre, float(box.width), across))
        return found


def _rgb_pixels(photo: Image.Image | np.ndarray) -> np.ndarray:
    if isinstance(photo, np.ndarray):
        return photo
    return np.asarray(photo if photo.mode == "RGB" else photo.convert("RGB"))


def _resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    size = tuple(max(1, round(n * factor)) for n in pixels.shape[1::-1])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _tiles(level: np.ndarray, photo_size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Overlapping tiles of a shrunken photo -> (view [128, 128, 3], affine map [2, 3] from it to the photo)."""
    size = np.array(level.shape[1::-1])
    scale = np.array(photo_size) / size
    (left, top), (right, bottom) = pads = [(_TILE - size).clip(0) // 2, ((_TILE - size).clip(0) + 1) // 2]
    level = cv2.copyMakeBorder(level, top, bottom, left, right, _BEYOND)
    for y in _offsets(level.shape[0]):
        for x in _offsets(level.shape[1]):
            shift = scale * ((x, y) - pads[0])
            yield level[y : y + _TILE, x : x + _TILE], np.column_stack([np.diag(scale), shift])


def _offsets(length: int) -> np.ndarray:
    """Where tiles begin along a side of `length` >= 128: spread evenly from one end to the other."""
    last = length - _TILE
    return np.linspace(0, last, 1 + int(np.ceil(last / (_TILE_STRIDE * _TILE)))).round().astype(int)


def _square(centre: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Corners [4, 2] (TL, BL, BR, TR) of a square from its centre and the vector from there to its right edge."""
    y = x[::-1] * [-1, 1]
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _from_square(quad: np.ndarray, size: int) -> np.ndarray:
    """Affine map [2, 3] from a size x size picture of the square to where its corners [4, 2] are."""
    top_left, bottom_left, _, top_right = quad
    return np.column_stack([(top_right - top_left) / size, (bottom_left - top_left) / size, top_left])


def _scale(affine: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))


def _holds(face: FaceGeometry, point: np.ndarray) -> bool:
    """Whether a point of the photo lies on the face."""
    return bool(np.all((face.landmarks.min(axis=0) < point) & (point < face.landmarks.max(axis=0))))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    shared = np.prod((np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).clip(0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def _view(pixels: np.ndarray, to_photo: np.ndarray, size: int) -> np.ndarray:
    """A square of the photo for MediaPipe's networks, [size, size, 3]: averaged, then linear, which is quick."""
    return _warp(pixels, to_photo, (size, size), _BEYOND, cv2.INTER_LINEAR)


def _warp(
    image: np.ndarray, to_source: np.ndarray, size: tuple[int, int], border: int, interpolation: int
) -> np.ndarray:
    """Resample an image under an affine map [2, 3] from result to image coordinates, antialiased where it shrinks.

    Args:
        image: [H, W, ...] uint8 or float32; for Lanczos [H, W, 3] uint8.
        size: (width, height) of the result.
        border: OpenCV's border mode, applied at the image's own edges.
        interpolation: OpenCV's; with Lanczos the image is shrunk by Lanczos too, otherwise by area.
    """
    width, height = size
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)]) @ to_source[:, :2].T + to_source[:, 2]
    scale = max(_scale(to_source), 1.0)  # image pixels in a result pixel
    margin = 5 * scale  # the kernel reaches 4 pixels
    (left, right), (top, bottom) = (
        _span(corners[:, axis].min() - margin, corners[:, axis].max() + margin, image.shape[1 - axis])
        for axis in range(2)
    )
    region = image[top:bottom, left:right]
    to_region = to_source - [[0, 0, left], [0, 0, top]]
    small = (max(1, round((right - left) / scale)), max(1, round((bottom - top) / scale)))
    if small != (right - left, bottom - top):
        to_region = to_region * [[small[0] / (right - left)], [small[1] / (bottom - top)]]
        lanczos = interpolation == cv2.INTER_LANCZOS4
        region = _shrink(region, small) if lanczos else cv2.resize(region, small, interpolation=cv2.INTER_AREA)
    to_region[:, 2] += to_region[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV puts the centre of the first pixel at (0, 0)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    result = cv2.warpAffine(np.ascontiguousarray(region), to_region, size, flags=flags, borderMode=border)
    return result.reshape(height, width, *image.shape[2:])


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """The pixels of a side that are read between low and high when what lies beyond the side is reflected."""
    low, high = min(low, 2 * length - high), max(high, -low)
    begin, end = max(int(np.floor(low)), 0), min(int(np.ceil(high)), length)
    return min(begin, length - 1), max(end, begin + 1, 1)


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize [H, W, 3] uint8 with Lanczos, antialiased; averaged by whole factors first where it shrinks a lot."""
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))
