"""Video clips that tests make themselves: a still photo that is moved, turned and scaled slowly, with a sine tone."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

PHOTO = Path(__file__).parent.parent / "assets" / "astronaut.jpg"
FACE = (222.0, 105.0)  # where the face is in that photo


def camera_path(count: int, size: tuple[int, int], speed: float = 1.0) -> list[np.ndarray]:
    """Affine maps [2, 3] from the photo to each frame: the face wanders about the middle, turns and comes nearer."""
    maps = []
    for index in range(count):
        phase = 2 * np.pi * speed * index / 50
        turn, scale = np.deg2rad(8 * np.sin(phase)), 1.1 + 0.1 * np.sin(0.7 * phase)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.array(size) / 2 + 0.06 * min(size) * np.array([np.sin(0.9 * phase), np.cos(1.1 * phase)])
        maps.append(np.column_stack([linear, centre - linear @ FACE]))
    return maps


def moved(maps: list[np.ndarray], size: tuple[int, int], noise: float = 3.0) -> list[np.ndarray]:
    """RGB frames [H, W, 3] of the photo under these maps, with a camera's noise of `noise` grey levels."""
    photo = cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB)
    random = np.random.default_rng(0)
    frames = []
    for affine in maps:
        frame = cv2.warpAffine(photo, affine, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
        frames.append((frame + random.normal(0, noise, frame.shape)).round().clip(0, 255).astype(np.uint8))
    return frames


def write_clip(
    path: Path,
    frames: list[np.ndarray],
    *,
    pts: list[int] | None = None,  # in units of 1/600 s; 25 frames a second without
    rotation: int = 0,  # degrees counter-clockwise that a player has to turn the picture
    audio: str | None = "aac",
    metadata: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,  # width of a pixel over its height
    sound_rate: int = 48000,
    b_frames: int = 0,  # between two others
) -> Path:
    """A video file with a sine tone of its length as sound."""
    time_base = Fraction(1, 600)
    pts = pts or [24 * index for index in range(len(frames))]
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        codec = "libvpx" if path.suffix == ".webm" else "libx264"
        x264 = {"crf": "18", "bf": str(b_frames), "b-adapt": "0"}
        video = container.add_stream(codec, rate=25, options=x264 if codec == "libx264" else {})
        if pixel_aspect:
            video.sample_aspect_ratio = video.codec_context.sample_aspect_ratio = pixel_aspect
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.codec_context.time_base = "yuv420p", time_base
        if codec == "libvpx":
            video.bit_rate = 2_000_000
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream(audio, rate=sound_rate) if audio else None
        if sound:
            sound.layout = "mono"
            samples = np.sin(2 * np.pi * 440 * np.arange(pts[-1] * sound_rate // 600 + sound_rate // 25) / sound_rate)
            tone = av.AudioFrame.from_ndarray((samples * 8000).astype(np.int16)[None], "s16", "mono")
            tone.sample_rate, tone.pts, tone.time_base = sound_rate, 0, Fraction(1, sound_rate)
            resampler = av.AudioResampler(sound.format, "mono", sound_rate, sound.codec_context.frame_size or 1024)
            for part in [*resampler.resample(tone), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
        for pixels, when in zip(frames, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.pts, frame.time_base = when, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path
