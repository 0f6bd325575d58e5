"""The expression judge: smile and emotion from MediaPipe's blendshapes (Apache-2.0), which another process reads.

MediaPipe says how far each of 52 muscle groups is moved (0..1), not what the face feels; the rules below are ours. On
239 faces of FFHQ, of which 64 % are labelled happy and 34 % neutral by an attribute service, they agree with it in 91 %
(smile), 91 % (happiness) and 83 % (neutral).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agetransformer.json_lines import Died, NotReady, Worker
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
    """A process of `agetransformer.expression_worker`, which ends with this object's `close` or this process."""

    def __init__(self):
        """
        Raises:
            JudgeError: MediaPipe or its model is missing.
        """
        try:
            self._worker = Worker("agetransformer.expression_worker")
        except NotReady as error:
            raise JudgeError(
                f"{str(error) or 'the process does not start'} (pip install -r requirements.txt)"
            ) from error

    def judge(self, image: np.ndarray) -> Expression | None:
        """The expression on a square [S, S, 3] uint8; None where MediaPipe finds no face."""
        pixels = base64.b64encode(np.ascontiguousarray(image)).decode()
        try:
            blendshapes = self._worker.ask({"side": len(image), "pixels": pixels})["blendshapes"]
        except Died as error:
            raise JudgeError(f"the expression process died on a picture ({error})") from error
        return None if blendshapes is None else read_expression(blendshapes)

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._worker.close()
