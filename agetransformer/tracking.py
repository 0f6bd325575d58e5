"""One face through the frames of a video, with landmarks that do not tremble."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agetransformer.alignment import FaceFinder, FaceGeometry, ffhq_quad
from agetransformer.one_euro import OneEuroConfig, one_euro_both_ways

Track = list[FaceGeometry | None]  # one entry a frame

_NEAR = 1.0  # in sides of the face's square: a face this near to where the last one was is the same person
_JUMP = 0.15  # in sides: landmarks that move so far on average in one frame belong to another shot
_SIZES = (0.6, 1.6)  # a face does not shrink or grow more than this from one frame to the next


@dataclass(frozen=True)
class TrackConfig:
    """Speeds are in sides of the face's square a second."""

    smoothing: OneEuroConfig = field(default_factory=OneEuroConfig)
    longest_gap: float = 0.25  # seconds without the face that are bridged, if it comes back where it was


def follow_face(finder: FaceFinder, frames: Iterable[np.ndarray]) -> Iterator[FaceGeometry | None]:
    """The largest face of the first frame that has one, then the same face by its position; one answer a frame.

    Where it is lost, the whole frame is searched: for a face near the last position, else for the largest.

    Args:
        frames: RGB [H, W, 3] uint8.
    """
    last: FaceGeometry | None = None
    seen = False  # in the frame before
    for frame in frames:
        face = finder.follow(frame, last) if last is not None and seen else None
        if face is None or last is None or not _continues(last, face):
            face = _searched(finder, frame, last)
        seen = face is not None
        last = face or last
        yield face


def smooth_track(track: Sequence[FaceGeometry | None], times: Sequence[float], config: TrackConfig) -> Track:
    """Bridge short gaps and smooth the landmarks over time; shots are smoothed apart from each other.

    Args:
        times: seconds at which the frames are shown, increasing.
    Returns:
        A new track; its squares belong to the smoothed landmarks. It keeps no blendshapes.
    """
    result: Track = [None] * len(track)
    for shot in _shots(track, times, config.longest_gap):
        present = {index: face for index in shot if (face := track[index]) is not None}
        side = float(np.median([face.side for face in present.values()]))
        known = np.stack([face.landmarks for face in present.values()]).astype(np.float64) / side
        seconds = [times[index] for index in shot]
        landmarks = _interpolated(known, [times[index] for index in present], seconds)
        landmarks = one_euro_both_ways(landmarks, seconds, config.smoothing) * side
        for index, points in zip(shot, landmarks, strict=True):
            result[index] = FaceGeometry(points.astype(np.float32), ffhq_quad(points), {})
    return result


def _searched(finder: FaceFinder, frame: np.ndarray, last: FaceGeometry | None) -> FaceGeometry | None:
    faces = finder.find(frame)
    if last is not None:
        near = [face for face in faces if _distance(last, face) < _NEAR * last.side]
        if near:
            return min(near, key=lambda face: _distance(last, face))
    return faces[0] if faces else None


def _continues(last: FaceGeometry, face: FaceGeometry) -> bool:
    return _distance(last, face) < last.side / 2 and _SIZES[0] < face.side / last.side < _SIZES[1]


def _distance(one: FaceGeometry, other: FaceGeometry) -> float:
    return float(np.hypot(*(one.quad.mean(axis=0) - other.quad.mean(axis=0))))


def _shots(track: Sequence[FaceGeometry | None], times: Sequence[float], longest_gap: float) -> list[range]:
    """Stretches of frames through which one face moves steadily; each begins and ends with a frame that has it."""
    shots: list[range] = []
    for index, face in enumerate(track):
        if face is None:
            continue
        before = shots[-1].stop - 1 if shots else 0
        last = track[before] if shots else None
        if last is not None and times[index] - times[before] <= max(longest_gap, _step(times, index)):
            moved = np.hypot(*(face.landmarks - last.landmarks).T).mean() / last.side
            if moved < _JUMP * (index - before):
                shots[-1] = range(shots[-1].start, index + 1)
                continue
        shots.append(range(index, index + 1))
    return shots


def _step(times: Sequence[float], index: int) -> float:
    return times[index] - times[index - 1]


def _interpolated(known: np.ndarray, at: Sequence[float], wanted: Sequence[float]) -> np.ndarray:
    """[K, N, 2] at K times -> [T, N, 2] at T times within them, linear."""
    columns = known.reshape(len(known), -1).T
    return np.stack([np.interp(wanted, at, column) for column in columns], axis=1).reshape(
        len(wanted), *known.shape[1:]
    )
