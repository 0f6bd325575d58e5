"""Average the weights of two generators, one of which was trained on from the other.

python -m train.blend runs/cpu/generator runs/later/generator --share 0.5 --out runs/blend/generator

Between a checkpoint and one trained on from it, the mean of the weights often keeps what each does better (Wortsman et
al. 2022, "Robust fine-tuning of zero-shot models"). Two that were trained apart only spoil each other.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from train.options import failing_in_a_sentence


@torch.no_grad()
def blend(first: Generator, second: Generator, share: float) -> Generator:
    """`first` moved towards `second`, in place.

    Args:
        share: of the second, 0..1.
    Raises:
        ValueError: the two are not of the same kind, or the share is outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: {share} is outside 0..1")
    if first.config != second.config:
        raise ValueError(f"these are not of the same kind: {first.config} and {second.config}")
    goals: dict[str, Tensor] = second.state_dict()
    for name, value in first.state_dict().items():  # buffers as well, which `update_average` copies
        value.lerp_(goals[name], share)
    return first


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of a generator")
    parser.add_argument("second", type=Path, help="folder of one that was trained on from it")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0..1 (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the blend")
    parser.add_argument("--half", action="store_true", help="write float16, as what is shipped: half the size")
    given = parser.parse_args()
    with failing_in_a_sentence("train.blend"):
        first, second = (load_checkpoint(Generator, GeneratorConfig, path) for path in (given.first, given.second))
        save_checkpoint(blend(first, second, given.share), given.out, half=given.half)
    print(f"saved {given.out}")


if __name__ == "__main__":
    main()
