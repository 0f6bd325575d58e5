"""Many users at once: does everybody get their own face back, and does the server stay well?

python -m benchmarks.load --out benchmarks/results [--users 64] [--seconds 180]

Starts the app on loopback. Each user uploads a photo that no other user has (a portrait with a corner of their own
noise), asks for it at some age, downloads the result and checks that the corner is theirs, pixel for pixel, and that
the face is changed; and again, until the time is over. A user who is turned away because the queue is full waits a
few seconds and tries again. Fails if anybody got an error, another's picture, or if memory kept growing.
"""

import argparse
import asyncio
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine, warn_if_busy
from benchmarks.start import ROOT, free_port, wait_for_page
from benchmarks.timing import Timing

PORTRAITS = ("astronaut.jpg", "grace_hopper.jpg")
CORNER = 24  # px, side of each user's own noise
PAUSE = (1.0, 4.0)  # seconds between two attempts of a user who was turned away


@dataclass(frozen=True)
class LoadConfig:
    users: int = 64
    seconds: float = 180.0
    side: int = 512  # of the photos, in pixels
    growth: float = 1.15  # of memory, from the end of the first third to the end of the run, at most


@dataclass
class Tally:
    """What happened to all users together."""

    served: int = 0
    turned_away: int = 0  # the queue was full; the user was told so
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # from the request to the downloaded picture
    served_users: set[int] = field(default_factory=set)
    memory_mb: list[float] = field(default_factory=list)  # of the server, once a second
    said_when_full: set[str] = field(default_factory=set)


def make_photo(user: int, side: int) -> tuple[bytes, np.ndarray]:
    """A PNG that is this user's alone, and its pixels [side, side, 3] uint8."""
    with Image.open(ROOT / "assets" / PORTRAITS[user % len(PORTRAITS)]) as portrait:
        square = min(portrait.size)
        box = ((portrait.width - square) // 2, 0, (portrait.width + square) // 2, square)
        pixels = np.array(portrait.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box))
    pixels[-CORNER:, :CORNER] = np.random.default_rng(user).integers(0, 256, (CORNER, CORNER, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


def check_result(data: bytes, sent: np.ndarray) -> str | None:
    """What is wrong with the picture that came back, or None."""
    with Image.open(io.BytesIO(data)) as image:
        result = np.asarray(image.convert("RGB"))
    if result.shape != sent.shape:
        return f"the result is {result.shape}, the photo was {sent.shape}"
    if not np.array_equal(result[-CORNER:, :CORNER], sent[-CORNER:, :CORNER]):
        return "the result is another user's photo"
    if np.array_equal(result, sent):
        return "the face is as it was"
    return None


async def request_edit(client: httpx.AsyncClient, photo: bytes, age: int, tally: Tally) -> bytes | None:
    """One edited photo as PNG; None when the queue was full.

    Raises:
        RuntimeError: the server said something else than a result.
    """
    upload = await client.post("gradio_api/upload", files={"files": ("photo.png", photo, "image/png")})
    upload.raise_for_status()
    file = {"path": upload.json()[0], "meta": {"_type": "gradio.FileData"}}
    call = await client.post("gradio_api/call/v2/edit", json={"photo": file, "ages": [age]})
    if call.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        tally.said_when_full.add(call.json()["detail"].split(".")[0])
        return None
    call.raise_for_status()
    event = ""
    async with client.stream("GET", f"gradio_api/call/v2/edit/{call.json()['event_id']}") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif event == "error":
                raise RuntimeError(f"the server answers {line}")
            elif line.startswith("data: ") and event == "complete":
                result = await client.get(json.loads(line.removeprefix("data: "))[0][0]["url"])
                result.raise_for_status()
                return result.content
    raise RuntimeError("the answer ended without a result")


async def use(address: str, user: int, config: LoadConfig, end: float, tally: Tally) -> None:
    """One user, until `end`."""
    photo, sent = make_photo(user, config.side)
    draw = random.Random(user)
    async with httpx.AsyncClient(base_url=address, timeout=config.seconds) as client:
        while time.perf_counter() < end:
            start = time.perf_counter()
            try:
                result = await request_edit(client, photo, draw.randint(20, 69), tally)
                wrong = None if result is None else await asyncio.to_thread(check_result, result, sent)
            except (httpx.HTTPError, RuntimeError, ValueError, KeyError, OSError) as error:
                result, wrong = None, f"{type(error).__name__}: {error}"
            if wrong:
                tally.errors.append(f"user {user}: {wrong}")
            elif result is None:
                tally.turned_away += 1
                await asyncio.sleep(draw.uniform(*PAUSE))
            else:
                tally.served += 1
                tally.served_users.add(user)
                tally.seconds.append(time.perf_counter() - start)


async def watch_memory(process: subprocess.Popen, end: float, tally: Tally) -> None:
    """Resident memory of the server in MB, once a second (Linux only)."""
    status = Path(f"/proc/{process.pid}/status")
    while time.perf_counter() < end and status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        tally.memory_mb.append(int(line.split()[1]) / 1024)
        await asyncio.sleep(1)


async def run_load(address: str, process: subprocess.Popen, config: LoadConfig) -> Tally:
    """All users at once."""
    tally, end = Tally(), time.perf_counter() + config.seconds
    users = [use(address, user, config, end, tally) for user in range(config.users)]
    await asyncio.gather(watch_memory(process, end, tally), *users)
    return tally


def memory_growth(memory_mb: list[float]) -> float:
    """The last tenth of the run over the tenth that ends its first third (caches are full by then); medians."""
    third, tenth = len(memory_mb) // 3, max(1, len(memory_mb) // 10)
    return float(np.median(memory_mb[-tenth:]) / np.median(memory_mb[max(0, third - tenth) : max(1, third)]))


def judge(tally: Tally, config: LoadConfig) -> list[str]:
    """What went wrong, as sentences."""
    faults = tally.errors[:10]
    if missing := config.users - len(tally.served_users):
        faults.append(f"{missing} of {config.users} users never got a result")
    if tally.memory_mb and (growth := memory_growth(tally.memory_mb)) > config.growth:
        faults.append(f"the server's memory grew {growth:.2f} times after the first third of the run")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=LoadConfig.users)
    parser.add_argument("--seconds", type=float, default=LoadConfig.seconds)
    parser.add_argument("--out", type=Path, required=True, help="folder for load.json")
    arguments = parser.parse_args()
    config = LoadConfig(users=arguments.users, seconds=arguments.seconds)
    load = warn_if_busy()
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        # Its own folder for uploads and results, which goes with the run.
        environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder}
        with open(Path(folder) / "log", "wb") as log:
            process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_for_page(address, process)
            tally = asyncio.run(run_load(address, process, config))
        finally:
            process.terminate()
            process.wait(30)
    faults = judge(tally, config)
    times = Timing.of(tally.seconds) if tally.seconds else None
    report = describe_machine() | {
        "load_before": load,
        "users": config.users,
        "seconds": config.seconds,
        "served": tally.served,
        "turned_away": tally.turned_away,
        "said_when_full": sorted(tally.said_when_full),
        "errors": tally.errors,
        "wait_seconds": asdict(times) if times else None,
        "memory_mb": {"first": tally.memory_mb[:1], "most": max(tally.memory_mb, default=0.0)},
        "memory_growth": memory_growth(tally.memory_mb) if tally.memory_mb else None,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "load.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
