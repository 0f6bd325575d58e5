"""What MediaPipe sees in a face, read by a process of `agetransformer.face_worker`: nothing here loads MediaPipe."""

import base64
from dataclasses import dataclass

import numpy as np

from agetransformer.json_lines import Died, NotReady, Worker


class FaceReaderError(RuntimeError):
    """MediaPipe cannot be asked; the message says why, and what to install."""


@dataclass(frozen=True)
class Reading:
    """One face; points are fractions of the picture's side."""

    blendshapes: dict[str, float]  # muscle group -> 0..1
    oval: np.ndarray  # [36, 2], the closed outline of the face
    mouth: np.ndarray  # [20, 2], the closed outline of what is between the lips
    person: np.ndarray | None = None  # [S, S] float32 in 0..1, where people are; None: not asked for


class FaceReader:
    """The process, which ends with this object's `close` or this process."""

    def __init__(self):
        """
        Raises:
            FaceReaderError: MediaPipe or its model is missing.
        """
        try:
            self._worker = Worker("agetransformer.face_worker")
        except NotReady as error:
            said = str(error) or "the process does not start"
            raise FaceReaderError(f"{said} (pip install -r requirements.txt)") from error

    def read(self, image: np.ndarray, person: bool = False) -> Reading | None:
        """The largest face of a square [S, S, 3] uint8; None where MediaPipe finds none.

        Args:
            person: tell people from what is behind them too.
        Raises:
            FaceReaderError: the process died on it.
        """
        pixels = base64.b64encode(np.ascontiguousarray(image)).decode()
        try:
            answer = self._worker.ask({"side": len(image), "pixels": pixels, "person": person})
        except Died as error:
            raise FaceReaderError(f"the process that reads faces died on a picture ({error})") from error
        if answer["blendshapes"] is None:
            return None
        mask = None
        if person:
            values = np.frombuffer(base64.b64decode(answer["person"]), np.uint8)
            mask = values.reshape(image.shape[:2]).astype(np.float32) / 255
        return Reading(answer["blendshapes"], np.array(answer["oval"]), np.array(answer["mouth"]), mask)

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._worker.close()
