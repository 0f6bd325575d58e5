"""What happens to a user's photo between two events of the page. Knows nothing of gradio.

A user's state is a `Visit`: a few hundred bytes. The heavy part, the encoded faces, lives in one bounded cache for all
users and is made again from the uploaded file when it has been dropped in the meantime.
"""

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from agetransformer.animation import SweepConfig, save_sweep, sweep_frames
from agetransformer.editor import STRONGEST, AgeEditor, FaceEncoding
from agetransformer.faces import Face
from agetransformer.grid import age_grid, cell_side, stack_grids
from agetransformer.imageio import load_photo, save_png, save_pngs
from agetransformer.mark import add_mark, mark_frames
from agetransformer.page import figures
from agetransformer.page.config import PageConfig
from agetransformer.page.english import ENGLISH
from agetransformer.page.texts import Texts


class StudioError(ValueError):
    """The photo cannot be edited; a sentence for the user, in any of the page's languages."""

    def __init__(self, sentence: Callable[[Texts], str]):
        super().__init__(sentence(ENGLISH))
        self.sentence = sentence


class VisitClosedError(StudioError):
    """The visit ended before its work did: nobody waits for the result, and nobody is to be told."""

    def __init__(self) -> None:
        super().__init__(lambda texts: texts.expired)


@dataclass(frozen=True)
class Look:
    """How the edit is put into the photo."""

    strength: float = 1.0  # of the change, 0..1.5
    hair: bool = True  # the hair too, not the face alone


@dataclass(frozen=True)
class Visit:
    """One user's photo and the faces chosen in it."""

    key: str  # of the cached `Workspace`; not to be guessed
    path: str  # the uploaded file
    chosen: tuple[int, ...] | None  # indices into the faces, largest first; None: all


@dataclass(frozen=True)
class Workspace:
    """What the edits of the chosen faces need, at two sizes."""

    path: str  # the uploaded photo
    found: int  # faces in it
    faces: tuple[Face, ...]  # the largest of them, as found, full size
    chosen: tuple[int, ...]
    encodings: tuple[FaceEncoding, ...]  # of the chosen faces, full size
    preview: Image.Image  # the photo, `preview_side` pixels at most
    preview_uri: str  # the same as a JPEG within an address: every answer has it as it is
    preview_scale: float  # its side over the photo's
    preview_encodings: tuple[FaceEncoding, ...]  # the same encodings, for `preview`


class WorkspaceCache:
    """Workspaces with at most `limit` encodings; the least recently used goes first. Safe to use from several threads.

    The newest workspace always stays, even if it alone has more.
    """

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
            while len(self._entries) > 1 and self._encodings() > self._limit:
                self._entries.popitem(last=False)

    def drop_expired(self) -> None:
        """Drop the workspaces of photos that are deleted."""
        with self._lock:
            for key, workspace in list(self._entries.items()):
                if not Path(workspace.path).is_file():
                    del self._entries[key]

    def drop(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def _encodings(self) -> int:
        return sum(len(workspace.encodings) for workspace in self._entries.values())


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
        self._closed: deque[str] = deque(maxlen=config.sessions_kept)  # the keys of the last visits that ended

    def read(self, path: str) -> Image.Image:
        """An uploaded photo, full size."""
        return load_photo(path, self.config.photo_bytes)

    def open(self, path: str, face: int | None = 0, photo: Image.Image | None = None) -> Visit:
        """Find the faces of an uploaded photo and encode one of them, or all (None).

        Args:
            photo: what `read` made of the file, for who needs it again; here and below.
        """
        visit = Visit(secrets.token_urlsafe(16), path, _chosen(face))
        self.workspace(visit, photo)
        return visit

    def choose(self, visit: Visit, face: int | None) -> Visit:
        """The same photo, another face, or all (None); who shows it closes the visit before.

        Raises:
            VisitClosedError: the visit ended meanwhile.
        """
        known = self.workspace(visit)
        choice = Visit(secrets.token_urlsafe(16), visit.path, _chosen(face))
        chosen = _checked_faces(known.faces, choice.chosen)
        encodings, previews = self._encode(known.faces, chosen, known.preview_scale)
        made = replace(known, chosen=chosen, encodings=encodings, preview_encodings=previews)
        if self.is_closed(visit):
            raise VisitClosedError
        self.cache.put(choice.key, made)
        return choice

    def close(self, visit: Visit | None) -> None:
        """Forget what is in memory for this visit."""
        if visit is not None:
            self._closed.append(visit.key)
            self.cache.drop(visit.key)

    def is_closed(self, visit: Visit) -> bool:
        """Whether somebody closed the visit while it was still worked for."""
        return visit.key in self._closed

    def workspace(self, visit: Visit | None, photo: Image.Image | None = None) -> Workspace:
        """From the cache, or made again from the uploaded file; None is a visit that has expired."""
        if visit is None:
            raise StudioError(lambda texts: texts.expired)
        if self.is_closed(visit):
            raise VisitClosedError
        if not Path(visit.path).is_file():
            raise StudioError(lambda texts: texts.expired)
        workspace = self.cache.get(visit.key)
        if workspace is None:
            photo = photo or self.photo(visit)
            faces = tuple(self.editor.find_faces(photo, self.config.max_faces))
            if not faces:
                raise StudioError(lambda texts: texts.no_face)
            found = 1 + len(faces[0].neighbours)
            scale = min(1, self.config.preview_side / max(photo.size))
            preview = photo
            if scale < 1:
                size = (max(1, round(scale * photo.width)), max(1, round(scale * photo.height)))
                preview = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
                scale = max(preview.size) / max(photo.size)
            chosen = _checked_faces(faces, visit.chosen)
            encodings, previews = self._encode(faces, chosen, scale)
            shown = figures.data_uri(preview, figures.PREVIEW_QUALITY)
            workspace = Workspace(visit.path, found, faces, chosen, encodings, preview, shown, scale, previews)
            self.cache.put(visit.key, workspace)
            if self.is_closed(visit):  # meanwhile; nobody would drop it any more
                self.cache.drop(visit.key)
        return workspace

    def photo(self, visit: Visit) -> Image.Image:
        """The uploaded photo, full size."""
        if not Path(visit.path).is_file():
            raise StudioError(lambda texts: texts.expired)
        return self.read(visit.path)

    def face_x(self, workspace: Workspace) -> float:
        """Where the middle of the largest chosen face is, from 0 (left border of the photo) to 1."""
        middle = workspace.preview_encodings[0].face.position.quad[:, 0].mean() / workspace.preview.width
        return float(np.clip(middle, 0, 1))

    def figure_at(self, workspace: Workspace, age: float, look: Look = Look()) -> tuple[Image.Image, Image.Image]:
        """The photo at preview size with the chosen faces at `age`, and a close-up for the row of ages."""
        self._check([age], look)
        result, faces = workspace.preview, []
        for encoding in workspace.preview_encodings:
            faces += self.editor.decode(encoding, [age], look.strength, look.hair)
            result = self.editor.paste(result, faces[-1])
        if len(workspace.chosen) > 1:
            return result, result.crop(_around(workspace))
        return result, faces[0].masked

    def close_up(self, workspace: Workspace) -> Image.Image:
        """The chosen faces as they are: the aligned square of one, the part of the photo with several."""
        if len(workspace.chosen) > 1:
            return workspace.preview.crop(_around(workspace))
        return workspace.preview_encodings[0].face.image

    def photos_at(
        self, visit: Visit, ages: Sequence[float], look: Look = Look(), photo: Image.Image | None = None
    ) -> Iterator[np.ndarray]:
        """The full-size photo with the chosen faces at each age, [H, W, 3] uint8."""
        self._check(ages, look)
        photo = photo or self.photo(visit)
        pixels, workspace = np.asarray(photo), self.workspace(visit, photo)
        for age in ages:
            result = pixels
            for encoding in workspace.encodings:
                (edited,) = self.editor.decode(encoding, [age], look.strength, look.hair)
                result = self.editor.paste_pixels(result, edited)
            yield result

    def save_photos(
        self,
        visit: Visit,
        ages: Sequence[float],
        look: Look = Look(),
        mark: bool = False,
        photo: Image.Image | None = None,
    ) -> list[str]:
        """Write `photos_at` each age as PNG with its disclosure; returns their paths. If one fails, none is left."""
        self._check(ages, look)
        paths = [self.new_file(f"age_{age:g}.png") for age in ages]
        photos = zip(self.photos_at(visit, ages, look, photo), paths, ages, strict=True)
        try:
            results = ((add_mark(photo) if mark else photo, path, age) for photo, path, age in photos)
            for _ in save_pngs(results, self.editor.name):
                pass
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
                path.parent.rmdir()
            raise
        return [str(path) for path in paths]

    def grid(self, visit: Visit, look: Look = Look()) -> Image.Image:
        """The paper's figure 1 for each chosen face, at the face's full size."""
        ages = list(self.config.grid_ages)
        self._check(ages, look)
        rows, encodings = [], self.workspace(visit).encodings
        side = cell_side(max(encoding.face.image.width for encoding in encodings))
        for encoding in encodings:
            face, edited = encoding.face, self.editor.decode(encoding, ages, look.strength, look.hair)
            rows.append(age_grid(face.image, face.age, [one.masked for one in edited], ages, side))
        return stack_grids(rows)

    def sweep(self, look: Look, youngest: float | None = None, oldest: float | None = None) -> SweepConfig:
        """How the film goes, from the youngest age to the oldest and back."""
        config = self.config
        ends = (config.youngest if youngest is None else youngest, config.oldest if oldest is None else oldest)
        self._check(ends, look)
        if ends[0] >= ends[1]:
            raise StudioError(lambda texts: texts.sweep_backwards)
        return SweepConfig(*ends, strength=look.strength, hair=look.hair)

    def film(self, visit: Visit, sweep: SweepConfig) -> Iterator[Image.Image]:
        """The frames of an ageing sweep; with several faces chosen, all age together."""
        photo, workspace = self.photo(visit), self.workspace(visit)
        sweeps = [sweep_frames(self.editor, photo, encoding, sweep) for encoding in workspace.encodings]
        if len(sweeps) == 1:
            yield from sweeps[0]
            return
        scale = min(1, sweep.max_side / max(photo.size))  # as sweep_frames makes it
        if scale < 1:
            size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
            photo = photo.resize(size, Image.Resampling.LANCZOS)
        still = np.asarray(photo).astype(np.int16)
        last_key, last = None, photo
        for frames in zip(*sweeps, strict=True):
            key = tuple(map(id, frames))
            if key != last_key:
                changes = (np.asarray(frame).astype(np.int16) - still for frame in frames)
                last_key, last = key, Image.fromarray((still + sum(changes)).clip(0, 255).astype(np.uint8))
            yield last

    def save(self, image: Image.Image, stem: str, age: float | Sequence[float], mark: bool = False) -> str:
        """Write a result as PNG with its disclosure, in a new folder whose name cannot be guessed; returns its path."""
        path = self.new_file(f"{stem}.png")
        save_png(add_mark(image) if mark else image, path, age=age, model=self.editor.name)
        return str(path)

    def save_film(self, frames: Iterator[Image.Image], suffix: str, sweep: SweepConfig, mark: bool = False) -> str:
        """Write a sweep as .mp4, .gif or .webp with its disclosure; returns its path."""
        path = self.new_file(f"ages{suffix}")
        save_sweep(mark_frames(frames) if mark else frames, path, sweep, self.editor.name)
        return str(path)

    def new_file(self, name: str) -> Path:
        """A place for a result, in a new folder whose name cannot be guessed.

        Raises:
            StudioError: uploads and results fill the space that there is for them.
        """
        if sum(_bytes_of(path) for path in self.downloads.rglob("*")) > self.config.files_bytes:
            raise StudioError(lambda texts: texts.busy)
        folder = self.downloads / secrets.token_urlsafe(24)
        folder.mkdir(parents=True)
        return folder / name

    def _check(self, ages: Sequence[float], look: Look) -> None:
        config = self.config
        if not 0 < len(ages) <= config.max_ages:
            raise StudioError(lambda texts: texts.how_many_ages.format(most=config.max_ages))
        if not all(config.youngest <= age <= config.oldest for age in ages):
            raise StudioError(
                lambda texts: texts.ages_out_of_range.format(youngest=config.youngest, oldest=config.oldest)
            )
        if not 0 <= look.strength <= STRONGEST:
            raise StudioError(lambda texts: texts.strength_out_of_range.format(strongest=STRONGEST))

    def _encode(
        self, faces: Sequence[Face], chosen: Sequence[int], scale: float
    ) -> tuple[tuple[FaceEncoding, ...], tuple[FaceEncoding, ...]]:
        """The chosen faces, at full size and at the preview's, which is `scale` of it."""
        encodings = tuple(self.editor.encode(faces[index]) for index in chosen)
        if scale == 1:
            return encodings, encodings
        shrink = np.full(2, scale)  # the squares stay fit to be shown
        return encodings, tuple(replace(one, face=one.face.scaled(shrink, figures.THUMBNAIL_SIDE)) for one in encodings)


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # it has just expired
        return 0


def _chosen(face: int | None) -> tuple[int, ...] | None:
    return None if face is None else (face,)


def _checked_faces(faces: Sequence[Face], chosen: tuple[int, ...] | None) -> tuple[int, ...]:
    if chosen is None:
        return tuple(range(len(faces)))
    for index in chosen:
        if not 0 <= index < len(faces):
            raise _no_such_face(index, len(faces))
    return chosen


def _no_such_face(index: int, count: int) -> StudioError:
    return StudioError(lambda texts: texts.no_such_face.format(face=index, count=count))


def _around(workspace: Workspace) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the chosen faces' squares within the preview."""
    corners = np.concatenate([encoding.face.position.quad for encoding in workspace.preview_encodings])
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    return max(0, left), max(0, top), min(workspace.preview.width, right), min(workspace.preview.height, bottom)
