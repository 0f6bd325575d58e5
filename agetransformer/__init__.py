"""High-resolution face age editing."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agetransformer.checkpoint import CheckpointError
    from agetransformer.editor import AgeEditor, FaceEncoding
    from agetransformer.faces import EditedFace, Face
    from agetransformer.grid import age_grid
    from agetransformer.imageio import PhotoError, load_photo, save_png

__all__ = [
    "AgeEditor",
    "CheckpointError",
    "EditedFace",
    "Face",
    "FaceEncoding",
    "PhotoError",
    "age_grid",
    "load_photo",
    "save_png",
]

_HOMES = {
    "AgeEditor": "editor",
    "CheckpointError": "checkpoint",
    "EditedFace": "faces",
    "Face": "faces",
    "FaceEncoding": "editor",
    "PhotoError": "imageio",
    "age_grid": "grid",
    "load_photo": "imageio",
    "save_png": "imageio",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import agetransformer` stays light (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
