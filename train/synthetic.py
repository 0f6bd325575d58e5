"""Synthetic faces from any generator of the StyleGAN family: a callable, or a TorchScript file, also on the Hub.

A source is a function (count, seed) -> uint8 [count, H, W, 3] of FFHQ-aligned faces, the same for the same seed.
TorchScript holds the network's code and weights, runs in its own interpreter and needs no source code. StyleGAN's own
.pkl files do not qualify: unpickling runs whatever code their author put in.
"""

import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

Sample = Callable[[int, int], np.ndarray]  # count, seed -> [count, H, W, 3] uint8

Z_DIM = 512  # StyleGAN's, for a file that does not say otherwise

_CALLABLE = re.compile(r"([\w.]+):(\w+)")
_HUB = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?:([\w./-]+)", re.ASCII)
_FORMS = "MODULE:FUNCTION, a TorchScript file, or OWNER/REPO[@REVISION]:FILE on the Hub"


class SourceError(ValueError):
    """A source of synthetic faces cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """Where synthetic faces come from."""

    sample: Sample
    identity: str  # the same name for the same generator; a Hub source has its full commit hash


def open_source(
    spec: str, device: torch.device, endpoint: str | None = None, cache_dir: str | Path | None = None
) -> Source:
    """
    Args:
        spec: MODULE:FUNCTION, a TorchScript file, or OWNER/REPO[@REVISION]:FILE on the Hub (also a TorchScript file).
        device: where a TorchScript generator runs; a callable decides for itself.
        endpoint, cache_dir: as in huggingface_hub.
    Raises:
        SourceError: not there, not reachable, or of another kind.
    """
    if Path(spec).is_file():
        stat = Path(spec).stat()
        return Source(load_torchscript(Path(spec), device), f"{spec} {stat.st_size} {stat.st_mtime_ns}")
    if named := _CALLABLE.fullmatch(spec):
        return Source(_import(named[1], named[2]), spec)
    if named := _HUB.fullmatch(spec):
        path, commit = _download(named[1], named[2], named[3], endpoint, cache_dir)
        return Source(load_torchscript(path, device), f"{named[1]}@{commit}:{named[3]}")
    raise SourceError(f"{spec}: no such file; a source of synthetic faces is {_FORMS}")


def draw(source: Source, count: int, seed: int) -> np.ndarray:
    """Sample a batch and check it: square uint8 images [count, S, S, 3], or a SourceError."""
    images = source.sample(count, seed)
    wanted = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    if not wanted or len(images) != count or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise SourceError(
            f"{source.identity}: expected a NumPy array of square faces, uint8 ({count}, S, S, 3), found {found}"
        )
    return images


def open_network(
    spec: str, device: torch.device, endpoint: str | None = None, cache_dir: str | Path | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network itself, codes -> images, where gradients are wanted; as `open_source`, whose callable it returns.

    Raises:
        SourceError: not there, not reachable, or of another kind.
    """
    if Path(spec).is_file():
        return load_network(Path(spec), device)
    if named := _CALLABLE.fullmatch(spec):
        return _import(named[1], named[2])
    if named := _HUB.fullmatch(spec):
        return load_network(_download(named[1], named[2], named[3], endpoint, cache_dir)[0], device)
    raise SourceError(f"{spec}: no such file; a generator is {_FORMS}")


def load_network(path: Path, device: torch.device) -> torch.jit.ScriptModule:
    """
    Raises:
        SourceError: not a TorchScript file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PyTorch would rather have us use torch.export
            return torch.jit.load(path, map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(
            f"{path}: not a TorchScript file, or cut short ({reason}); train/README.md says how to make one"
        ) from error


def load_torchscript(path: Path, device: torch.device) -> Sample:
    """A scripted or traced generator: z [N, Z] standard normal -> [N, 3, S, S] in [-1, 1].

    Z is the module's own attribute `z_dim` (NVlabs' generators have it, and scripting keeps it), otherwise 512.
    """
    network = load_network(path, device)
    z_dim = int(getattr(network, "z_dim", Z_DIM))

    @torch.inference_mode()
    def sample(count: int, seed: int) -> np.ndarray:
        z = torch.randn(count, z_dim, generator=torch.Generator().manual_seed(seed))  # the same on every device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)  # for the noise inputs
            try:
                images = _render(network, z.to(device))
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1]
                raise SourceError(f"{path}: does not take z [N, {z_dim}]: {reason}") from error
        if not isinstance(images, torch.Tensor) or images.ndim != 4:
            raise SourceError(f"{path}: gives no images [N, 3, S, S]")
        images = (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    return sample


def _render(network: torch.jit.ScriptModule, codes: torch.Tensor) -> torch.Tensor:
    try:
        return network(codes)
    except RuntimeError:  # a traced StyleGAN2 knows only the batch size that it was traced with
        return torch.cat([network(code[None]) for code in codes])


def _import(module: str, function: str) -> Sample:
    try:
        sample = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SourceError(
            f"{module}:{function} cannot be imported ({error}); run this where `import {module}` works"
        ) from error
    if not callable(sample):
        raise SourceError(f"{module}:{function} is not a function (count, seed) -> uint8 images")
    return sample


def _download(
    repo: str, revision: str | None, file: str, endpoint: str | None, cache_dir: str | Path | None
) -> tuple[Path, str]:
    """A file on the Hub at a full commit hash -> (path on disk, the hash)."""
    import httpx2  # the client's own HTTP library, for its exceptions
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RevisionResolutionError

    where = f"{repo}{f' at {revision}' if revision else ''}"
    try:
        commit = HfApi(endpoint=endpoint).resolve_revision(repo, revision=revision, cache_dir=cache_dir).resolved
        path = hf_hub_download(repo, file, revision=commit, endpoint=endpoint, cache_dir=cache_dir)
    except (EntryNotFoundError, HFValidationError, RevisionResolutionError, OSError, httpx2.HTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(
            f"{file} of {where} cannot be had from the Hub: {reason} Check the name and the connection, and log in with"
            " `hf auth login` if it is private."
        ) from error
    return Path(path), commit
