"""Many photos in, one zip out. Knows nothing of gradio."""

import os
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agetransformer.page.errors import sentence_of
from agetransformer.page.studio import Look, Studio, StudioError
from agetransformer.page.texts import Texts

_NAME_LENGTH = 60  # characters of a photo's own name that are kept


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch."""

    zip: str  # its path
    done: int  # photos edited
    failures: tuple[tuple[str, str], ...]  # name of a photo and why it was not edited


def edit_batch(
    studio: Studio,
    paths: Sequence[str],
    ages: Sequence[float],
    every_face: bool,
    look: Look,
    mark: bool,
    texts: Texts,
    progress: Callable[[int], None],
) -> BatchReport:
    """Edit each photo at each age. What cannot be edited is listed in the zip's report.txt and does not stop the rest.

    Args:
        progress: called with the number of photos begun, before each.
    Raises:
        StudioError: nothing chosen, or too much; before anything is computed.
    """
    check_batch(studio, paths, ages)
    target = studio.new_file("age_transformer.zip")
    names, failures, done = _unique_names(paths), [], 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
        for index, (path, name) in enumerate(zip(paths, names, strict=True)):
            progress(index + 1)
            try:
                _edit_one(studio, archive, path, name, ages, every_face, look, mark)
                done += 1
            except Exception as error:
                failures.append((Path(path).name, sentence_of(error, texts)))
        lines = [texts.batch_done.format(done=done, count=len(paths)), *(f"{name}: {why}" for name, why in failures)]
        archive.writestr("report.txt", "\n".join(lines) + "\n")
    return BatchReport(str(target), done, tuple(failures))


def check_batch(studio: Studio, paths: Sequence[str], ages: Sequence[float]) -> None:
    """
    Raises:
        StudioError: nothing chosen, or too much.
    """
    config = studio.config
    if not paths:
        raise StudioError(lambda texts: texts.no_photos)
    if not ages:
        raise StudioError(lambda texts: texts.no_ages)
    if len(paths) > config.batch_photos:
        raise StudioError(lambda texts: texts.too_many_photos.format(most=config.batch_photos))
    if sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) > config.batch_bytes:
        raise StudioError(lambda texts: texts.photos_too_large.format(megabytes=config.batch_bytes // 1_000_000))


def _edit_one(
    studio: Studio,
    archive: zipfile.ZipFile,
    path: str,
    name: str,
    ages: Sequence[float],
    every_face: bool,
    look: Look,
    mark: bool,
) -> None:
    """All ages of a photo, or none of them."""
    photo = studio.read(path)
    visit = studio.open(path, None if every_face else 0, photo)
    results: list[Path] = []
    try:
        results = [Path(path) for path in studio.save_photos(visit, ages, look, mark, photo)]
        size = sum(result.stat().st_size for result in results)
        if Path(cast(str, archive.filename)).stat().st_size + size > studio.config.batch_zip_bytes:
            raise StudioError(lambda texts: texts.batch_full)
        for age, result in zip(ages, results, strict=True):
            archive.write(result, f"{name}_age_{age:g}.png")
    finally:
        studio.close(visit)
        for result in results:
            result.unlink()
            result.parent.rmdir()


def _unique_names(paths: Sequence[str]) -> list[str]:
    """The photos' own names without what could trouble another file system; numbered where two are alike."""
    names: list[str] = []
    for path in paths:
        name = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:_NAME_LENGTH].strip("._") or "photo"
        unique, number = name, 1
        while unique.lower() in (other.lower() for other in names):
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
    return names
