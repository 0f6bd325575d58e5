"""Tracks: bridged gaps, shots kept apart, and steadiness against a known motion."""

import math

import numpy as np
import pytest
from clips import camera_path, moved

from agetransformer.alignment import DEFAULT_MODEL, FaceFinder, FaceGeometry, ffhq_quad
from agetransformer.one_euro import OneEuroConfig
from agetransformer.tracking import TrackConfig, follow_face, smooth_track

UNSMOOTHED = TrackConfig(OneEuroConfig(min_cutoff=math.inf))


def face_at(x: float, y: float = 100.0, size: float = 50.0) -> FaceGeometry:
    landmarks = np.random.default_rng(0).normal(size=(478, 2))
    for points, place in (
        ([33, 160, 158, 133, 153, 144], (-0.5, -0.4)),
        ([362, 385, 387, 263, 373, 380], (0.5, -0.4)),
        ([61, 291], (0, 0.6)),
    ):
        landmarks[points] = place
    landmarks = landmarks * size + (x, y)
    return FaceGeometry(landmarks.astype(np.float32), ffhq_quad(landmarks), {})


def centres(track: list[FaceGeometry | None]) -> list[float]:
    return [math.nan if face is None else float(face.landmarks[:, 0].mean()) for face in track]


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    faces = [face_at(100 + 2 * index) for index in range(40)]
    track = [None if index in (10, 11, *range(20, 32)) else face for index, face in enumerate(faces)]
    times = [index / 25 for index in range(40)]
    bridged = smooth_track(track, times, UNSMOOTHED)
    assert [index for index, face in enumerate(bridged) if face is None] == list(range(20, 32))
    assert centres(bridged[:20]) == pytest.approx(centres(faces[:20]), abs=1e-3)  # on the line between
    assert np.abs(bridged[11].quad - faces[11].quad).max() < 1e-3


def test_nothing_is_bridged_to_another_place_and_cuts_are_not_smoothed_over() -> None:
    times = [index / 25 for index in range(20)]
    elsewhere = [face_at(100)] * 9 + [None] * 2 + [face_at(700)] * 9
    assert smooth_track(elsewhere, times, TrackConfig())[9:11] == [None, None]
    cut = smooth_track([face_at(100)] * 10 + [face_at(160)] * 10, times, TrackConfig())
    assert centres(cut) == pytest.approx(centres([face_at(100)] * 10 + [face_at(160)] * 10), abs=1e-3)


def test_frames_before_and_after_the_face_stay_empty() -> None:
    track = [None, None, face_at(100), face_at(101), None]
    result = smooth_track(track, [0.0, 0.04, 0.08, 0.12, 0.16], TrackConfig())
    assert [face is None for face in result] == [True, True, False, False, True]


@pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="needs the face landmarker in checkpoints/")
def test_a_real_face_is_followed_steadily() -> None:
    """The photo's motion is known, so every frame's corners can be brought back to the photo and compared there."""
    size, count = (320, 260), 24
    maps = camera_path(count, size)
    frames = moved(maps, size)
    frames[12:14] = [np.zeros_like(frames[0])] * 2  # the light goes out for a moment
    with FaceFinder() as finder:
        track = list(follow_face(finder, frames))
    assert [index for index, face in enumerate(track) if face is None] == [12, 13]
    times = [index / 25 for index in range(count)]

    def corners(faces: list[FaceGeometry | None]) -> np.ndarray:
        pairs = zip(faces, maps, strict=True)
        return np.stack([(face.quad - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T for face, affine in pairs])

    raw, smooth = corners(smooth_track(track, times, UNSMOOTHED)), corners(smooth_track(track, times, TrackConfig()))
    assert np.abs(smooth - smooth.mean(axis=0)).max() < 0.06 * 220  # px of the photo; the square has about 220
    assert np.abs(smooth.mean(axis=0) - raw.mean(axis=0)).max() < 1.5
    trembling = [np.abs(np.diff(one, 2, axis=0)).mean() for one in (smooth, raw)]
    assert trembling[0] < 0.7 * trembling[1]
