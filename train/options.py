"""The command lines that the trainings share, and those that draw maps for them."""

import argparse
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from yaml import YAMLError

_INTERRUPTED = 130  # a shell's code for Ctrl-C


def training_parser(description: str | None, settings: type, out: str) -> argparse.ArgumentParser:
    """A parser with --config, --out, --minutes, --resume, --device and --cache.

    Args:
        description: the docstring of the file.
        settings: the dataclass that --config fills.
        out: what --out is for.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help=f"YAML file with the settings of {settings.__name__}")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="train for this wall time, save and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished run in --out")
    add_device(parser)
    parser.add_argument("--cache", default=".cache", help="folder for decoded data (default: .cache)")
    return parser


def maps_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --data and --out, for what draws a map of each face of a data set.

    Args:
        description: the docstring of the file.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="archives of FFHQ-aligned faces")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    return parser


@contextmanager
def failing_in_a_sentence(program: str) -> Iterator[None]:
    """What is wrong with what the user gave ends the program with its message instead of a traceback; so does Ctrl-C.

    That is what a `raise` says, and the system of files. A ValueError out of an expression is a mistake of ours.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{program}: stopped", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None
    except (ValueError, OSError, YAMLError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        if isinstance(error, ValueError) and not (where.line or "raise").startswith("raise"):
            raise
        raise SystemExit(f"{program}: {error}") from error


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, a GPU where there is one."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
