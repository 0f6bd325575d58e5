"""Which pixels of a picture show people."""

from pathlib import Path

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

from agetransformer.checkpoint import CheckpointError

DEFAULT_MODEL = Path(__file__).parent.parent / "checkpoints" / "selfie_segmenter" / "selfie_segmenter.tflite"


class PersonSegmenter:
    """MediaPipe's Image Segmenter with its selfie model, which works at 256 x 256."""

    def __init__(self, model_path: str | Path | None = None):
        """
        Args:
            model_path: MediaPipe's selfie_segmenter.tflite; None is the one in checkpoints/.
        Raises:
            CheckpointError: the model file is missing or broken.
            RuntimeError: a system library that MediaPipe needs is missing.
        """
        path = DEFAULT_MODEL if model_path is None else Path(model_path)
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; MediaPipe's selfie_segmenter.tflite belongs there")
        options = vision.ImageSegmenterOptions(
            BaseOptions(model_asset_buffer=path.read_bytes()),
            output_confidence_masks=True,
            output_category_mask=False,
        )
        try:
            self._segmenter = vision.ImageSegmenter.create_from_options(options)
        except OSError as error:
            raise RuntimeError(f"MediaPipe needs the system libraries in packages.txt: {error}") from error
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: not MediaPipe's selfie_segmenter.tflite, or cut short") from error

    def close(self) -> None:
        """Free the model; the segmenter cannot be used afterwards."""
        self._segmenter.close()

    def __enter__(self) -> "PersonSegmenter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def segment(self, image: np.ndarray) -> np.ndarray:
        """How sure it is that each pixel shows a person.

        Args:
            image: [H, W, 3] uint8 RGB.
        Returns:
            [H, W] float32 in 0..1.
        """
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        masks = self._segmenter.segment(picture).confidence_masks
        # A copy: the masks' memory goes with the result.
        return np.array(masks[0].numpy_view(), np.float32).reshape(image.shape[:2])
