"""The expression judge: smile and emotion from MediaPipe's blendshapes (Apache-2.0), which another process reads.

MediaPipe says how far each of 52 muscle groups is moved (0..1), not what the face feels; the rules below are ours. On
239 faces of FFHQ, of which 64 % are labelled happy and 34 % neutral by an attribute service, they agree with it in 91 %
(smile), 91 % (happiness) and 83 % (neutral).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from train.face_reader import FaceReader, FaceReaderError
from train.judges import JudgeError

# Left and right together: a face smiles from 0.3 on, and is not neutral where one of the others reaches 0.5.
SMILE, SMILING = "mouthSmile", 0.3
OTHERS, STRONG = (
    "jawOpen", "browInnerUp", "browOuterUp", "browDown", "eyeWide", "noseSneer", "mouthFrown", "mouthPucker",
    "mouthUpperUp", "mouthLowerDown",
), 0.5  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """What a face shows."""

    smile: float  # 0..1
    emotion: str  # "happiness", "neutral" or "other"

    @property
    def smiling(self) -> bool:
        """Whether the face smiles."""
        return self.smile >= SMILING


def read_expression(blendshapes: Mapping[str, float]) -> Expression:
    """MediaPipe's blendshapes by name -> the expression, by the rules at the top of this file."""

    def strength(name: str) -> float:
        if name in blendshapes:
            return blendshapes[name]
        return (blendshapes[f"{name}Left"] + blendshapes[f"{name}Right"]) / 2

    smile = strength(SMILE)
    strongest = max(strength(name) for name in OTHERS)
    return Expression(smile, "happiness" if smile >= SMILING else "neutral" if strongest < STRONG else "other")


class ExpressionJudge:
    """`FaceReader`, asked for expressions alone."""

    def __init__(self):
        """
        Raises:
            JudgeError: MediaPipe or its model is missing.
        """
        try:
            self._reader = FaceReader()
        except FaceReaderError as error:
            raise JudgeError(str(error)) from error

    def judge(self, image: np.ndarray) -> Expression | None:
        """The expression on a square [S, S, 3] uint8; None where MediaPipe finds no face."""
        try:
            reading = self._reader.read(image)
        except FaceReaderError as error:
            raise JudgeError(str(error)) from error
        return None if reading is None else read_expression(reading.blendshapes)

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._reader.close()
