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
    eyes: np.ndarray  # [2, 16, 2], the same between the lids


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

    def read(self, image: np.ndarray) -> Reading | None:
        """The largest face of a square [S, S, 3] uint8; None where MediaPipe finds none.

        Raises:
            FaceReaderError: the process died on it.
        """
        pixels = base64.b64encode(np.ascontiguousarray(image)).decode()
        try:
            answer = self._worker.ask({"side": len(image), "pixels": pixels})
        except Died as error:
            raise FaceReaderError(f"the process that reads faces died on a picture ({error})") from error
        if answer["blendshapes"] is None:
            return None
        outlines = (np.array(answer[name]) for name in ("oval", "mouth", "eyes"))
        return Reading(answer["blendshapes"], *outlines)

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._worker.close()
