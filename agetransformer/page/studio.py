"""What happens to a user's photo between two events of the page. Knows nothing of gradio.

A user's state is a `Visit`: a few hundred bytes. The heavy part, the encoded face, lives in one bounded cache for all
users and is made again from the uploaded file when it has been dropped in the meantime.
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from agetransformer.editor import AgeEditor, Face, FaceEncoding
from agetransformer.grid import age_grid
from agetransformer.imageio import load_photo, save_png
from agetransformer.page import texts
from agetransformer.page.config import PageConfig
from agetransformer.page.figures import THUMBNAIL_SIDE


class StudioError(ValueError):
    """The photo cannot be edited; the message is a sentence for the user."""


@dataclass(frozen=True)
class Visit:
    """One user's photo and the face chosen in it."""

    key: str  # of the cached `Workspace`; not to be guessed
    path: str  # the uploaded file
    face: int  # index into the faces, largest first


@dataclass(frozen=True)
class Workspace:
    """What the edits of one face need, at two sizes."""

    faces: tuple[Face, ...]  # as found, full size
    encoding: FaceEncoding  # of the chosen face, full size
    preview: Image.Image  # the photo, `preview_side` pixels at most
    preview_scale: float  # its side over the photo's
    preview_encoding: FaceEncoding  # the same encoding, for `preview`


class WorkspaceCache:
    """At most `limit` workspaces; the least recently used one goes first. Safe to use from several threads."""

    def __init__(self, limit: int):
        self._limit = limit
        self._entries: OrderedDict[str, Workspace] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Workspace | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: str, workspace: Workspace) -> None:
        with self._lock:
            self._entries[key] = workspace
            self._entries.move_to_end(key)
            while len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)


class Studio:
    """The page's operations, on top of an `AgeEditor`.

    Every method raises PhotoError (a file that is no photo) or StudioError; both messages are sentences for users.
    """

    def __init__(self, editor: AgeEditor, config: PageConfig, downloads: str | Path):
        """Args: downloads: the folder that results for download are written to."""
        self.editor = editor
        self.config = config
        self.downloads = Path(downloads)
        self.cache = WorkspaceCache(config.encodings_kept)

    def open(self, path: str, face: int = 0) -> Visit:
        """Find the faces of an uploaded photo and encode one of them."""
        visit = Visit(secrets.token_urlsafe(16), path, face)
        self.workspace(visit)
        return visit

    def choose(self, visit: Visit, face: int) -> Visit:
        """The same photo, another face."""
        known = self.workspace(visit)
        chosen = Visit(secrets.token_urlsafe(16), visit.path, _checked_face(known.faces, face))
        self.cache.put(chosen.key, self._workspace(known.faces, face, known.preview, known.preview_scale))
        self.close(visit)
        return chosen

    def close(self, visit: Visit | None) -> None:
        """Forget what is in memory for this visit."""
        if visit is not None:
            self.cache.drop(visit.key)

    def workspace(self, visit: Visit) -> Workspace:
        """From the cache, or made again from the uploaded file."""
        workspace = self.cache.get(visit.key)
        if workspace is None:
            photo = self.photo(visit)
            faces = self.find_faces(photo)
            preview = photo.copy()
            preview.thumbnail((self.config.preview_side,) * 2, Image.Resampling.LANCZOS)
            scale = max(preview.size) / max(photo.size)
            workspace = self._workspace(faces, _checked_face(faces, visit.face), preview, scale)
            self.cache.put(visit.key, workspace)
        return workspace

    def photo(self, visit: Visit) -> Image.Image:
        """The uploaded photo, full size."""
        if not Path(visit.path).is_file():
            raise StudioError(texts.EXPIRED)
        return load_photo(visit.path)

    def find_faces(self, photo: Image.Image) -> tuple[Face, ...]:
        """Largest first, at least one, at most `max_faces`."""
        faces = tuple(self.editor.find_faces(photo)[: self.config.max_faces])
        if not faces:
            raise StudioError(texts.NO_FACE)
        return faces

    def faces_at(self, visit: Visit, ages: Sequence[float]) -> Iterator[Image.Image]:
        """The chosen face's aligned square at each age, at preview size, one after the other."""
        workspace = self.workspace(visit)
        for age in self._checked_ages(ages):
            yield self.editor.decode(workspace.preview_encoding, [age])[0]

    def preview_at(self, visit: Visit, age: float) -> Image.Image:
        """The photo at preview size with the chosen face at `age`."""
        return self.paste_preview(visit, next(self.faces_at(visit, [age])))

    def face_x(self, visit: Visit) -> float:
        """Where the middle of the chosen face is, from 0 (left border of the photo) to 1."""
        workspace = self.workspace(visit)
        middle = workspace.preview_encoding.face.geometry.quad[:, 0].mean() / workspace.preview.width
        return float(np.clip(middle, 0, 1))

    def face_only(self, visit: Visit, image: Image.Image) -> Image.Image:
        """Of `image`, one of `faces_at`, the change on the face only, as `paste_preview` shows it."""
        return self.editor.face_only(self.workspace(visit).preview_encoding.face, image)

    def paste_preview(self, visit: Visit, image: Image.Image) -> Image.Image:
        """The photo at preview size with `image`, one of `faces_at`, in the place of the face."""
        workspace = self.workspace(visit)
        return self.editor.paste(workspace.preview, workspace.preview_encoding.face, image)

    def photos_at(self, visit: Visit, ages: Sequence[float]) -> Iterator[Image.Image]:
        """The full-size photo with the chosen face at each age."""
        photo, workspace = self.photo(visit), self.workspace(visit)
        for age in self._checked_ages(ages):
            image = self.editor.decode(workspace.encoding, [age])[0]
            yield self.editor.paste(photo, workspace.encoding.face, image)

    def grid(self, visit: Visit) -> Image.Image:
        """The paper's figure 1 for the chosen face, at the face's full size."""
        encoding = self.workspace(visit).encoding
        face, ages = encoding.face, list(self.config.grid_ages)
        images = [self.editor.face_only(face, image) for image in self.editor.decode(encoding, ages)]
        return age_grid(face.image, face.age, images, ages)

    def save(self, image: Image.Image, stem: str, age: float | Sequence[float]) -> str:
        """Write a result as PNG with its disclosure, in a new folder whose name cannot be guessed; returns its path."""
        folder = self.downloads / secrets.token_urlsafe(24)
        folder.mkdir(parents=True)
        path = folder / f"{stem}.png"
        save_png(image, path, age=age, model=self.editor.name)
        return str(path)

    def _checked_ages(self, ages: Sequence[float]) -> Sequence[float]:
        if not 0 < len(ages) <= self.config.max_ages:
            raise StudioError(texts.HOW_MANY_AGES.format(most=self.config.max_ages))
        if not all(self.config.youngest <= age <= self.config.oldest for age in ages):
            raise StudioError(texts.AGES_OUT_OF_RANGE.format(youngest=self.config.youngest, oldest=self.config.oldest))
        return ages

    def _workspace(self, faces: tuple[Face, ...], index: int, preview: Image.Image, scale: float) -> Workspace:
        encoding = self.editor.encode(faces[index])
        preview_encoding = replace(encoding, face=_scaled(faces[index], scale))
        return Workspace(faces, encoding, preview, scale, preview_encoding)


def _checked_face(faces: Sequence[Face], index: int) -> int:
    if not 0 <= index < len(faces):
        raise StudioError(texts.NO_SUCH_FACE.format(face=index, count=len(faces)))
    return index


def _scaled(face: Face, scale: float) -> Face:
    """The same face in a photo `scale` times the size; its aligned square shrinks along, but stays fit to be shown."""
    if scale >= 1:
        return face
    geometry = replace(
        face.geometry,
        landmarks=(face.geometry.landmarks * scale).astype(np.float32),
        quad=face.geometry.quad * scale,
    )
    side = min(face.image.width, max(THUMBNAIL_SIDE, round(geometry.side)))
    return replace(face, geometry=geometry, image=face.image.resize((side, side), Image.Resampling.LANCZOS))
