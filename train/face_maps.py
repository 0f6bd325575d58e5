"""Maps of the faces of a data set, one [M, M] uint8 for each, in one file by the names of the faces."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from agetransformer.files import written_whole


def save_maps(path: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Write maps, whole or not at all: what `np.savez_compressed` would, without all maps in memory once more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    side = len(next(iter(maps.values())))
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(maps), side, side)}
    with written_whole(path) as aside, ZipFile(aside, "w", ZIP_DEFLATED) as file:
        with file.open("names.npy", "w") as member:
            np.lib.format.write_array(member, np.array(list(maps)))
        with file.open("maps.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for drawn in maps.values():
                member.write(np.ascontiguousarray(drawn, np.uint8))


def read_maps(path: str | Path, names: Sequence[str], maker: str) -> list[np.ndarray | None]:
    """The map of each of the faces `names`, None where a face has none.

    Args:
        maker: the module that writes such files, for the errors.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of `save_maps`, or one of other faces.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; `python -m {maker}` writes it")
    try:
        with np.load(path) as file:
            known = dict(zip(file["names"].tolist(), file["maps"], strict=True))
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ValueError(f"{path}: not such maps, or cut short ({error}); `python -m {maker}` writes them") from error
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ValueError(f"{path}: two faces of the data are called {twice}, and maps go by that name: rename one")
    if not any(name in known for name in names):
        raise ValueError(f"{path}: no map of any face of the data; `python -m {maker}` writes them")
    return [known.get(name) for name in names]
