"""Write tar shards, which train.generator streams, from archives: zips or folders of images with a labels.csv.

python -m train.shards data/mine.zip --out data/mine [--per-shard 1000]
"""

import argparse
import json
import os
import random
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import webdataset
from tqdm import tqdm

from train.archives import open_archive, read_labels
from train.stream import IMAGE_ENDINGS


def write_shards(archives: tuple[Path, ...], out: Path, per_shard: int = 1000, seed: int = 0) -> str:
    """Write OUT-000000.tar ... in random order, complete or not at all; returns their pattern for a config's `data`.

    Raises:
        FileNotFoundError, ValueError: an archive is missing, broken or empty, has another kind of images, or a label
            that is no age or gender.
        FileExistsError: there are such shards already.
    """
    if present := sorted(out.parent.glob(f"{out.name}-[0-9]*.tar")):
        raise FileExistsError(f"{present[0]} is there already; remove the old shards, or name another --out")
    rows = [(path, row.cells) for path in archives for row in read_labels(path)]
    if not rows:
        raise ValueError(f"{', '.join(map(str, archives))}: no faces in labels.csv")
    random.Random(seed).shuffle(rows)
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    pattern = str(aside / f"{out.name}-%06d.tar").replace("%06d", "\0").replace("%", "%%").replace("\0", "%06d")
    with ExitStack() as stack:
        readers = {path: stack.enter_context(open_archive(path)) for path in archives}
        writer = stack.enter_context(
            webdataset.ShardWriter(pattern, maxcount=per_shard, maxsize=1e15, verbose=0, mtime=0)
        )
        for index, (path, row) in enumerate(tqdm(rows, unit="face", disable=None)):
            ending = Path(row["file"]).suffix.lower().lstrip(".")
            if ending not in IMAGE_ENDINGS:
                raise ValueError(f"{path}: {row['file']}: images in shards end in {', '.join(IMAGE_ENDINGS)}")
            image = readers[path](row["file"])
            writer.write({"__key__": f"{index:09d}", ending: image, "json": json.dumps(row).encode()})
    shards = sorted(aside.iterdir())
    for shard in shards:
        os.replace(shard, out.parent / shard.name)
    aside.rmdir()
    return f"{out}-{{000000..{len(shards) - 1:06d}}}.tar"


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="zip or folder with a labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="path of the shards, without -000000.tar")
    parser.add_argument("--per-shard", type=int, default=1000, help="faces a shard (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order (default: %(default)s)")
    given = parser.parse_args()
    if given.per_shard < 1:
        parser.error("--per-shard is at least 1")
    try:
        pattern = write_shards(tuple(given.archives), given.out, given.per_shard, given.seed)
    except (ValueError, OSError) as error:
        print(f"train.shards: {error}", file=sys.stderr)
        return 2
    print(f'data: ["{pattern}"]')
    return 0


if __name__ == "__main__":
    sys.exit(main())
