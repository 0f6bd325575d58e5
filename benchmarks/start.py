"""Time of the import, from process start to a page that answers, and of the first edit against the second.

python -m benchmarks.start --out benchmarks/results
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.machine import describe_machine, warn_if_busy
from benchmarks.timing import Timing

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "assets" / "astronaut.jpg"
LONGEST = 120  # seconds that the page may take to answer

# Prints the seconds of torch's import, and what comes on top of it.
IMPORT = """
import time
start = time.perf_counter()
import torch
torch_done = time.perf_counter()
{statement}
print(torch_done - start, time.perf_counter() - torch_done)
"""


def time_import(statement: str, rounds: int) -> tuple[Timing, Timing]:
    """Seconds of `import torch`, and of `statement` after it, each time in a fresh process."""
    seconds = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT.format(statement=statement)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append([float(value) for value in done.stdout.split()])
    torch_seconds, ours = zip(*seconds, strict=True)
    return Timing.of(list(torch_seconds)), Timing.of(list(ours))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_page(address: str, process: subprocess.Popen) -> None:
    """Until the page answers.

    Raises:
        RuntimeError: the process ended, or it takes too long.
    """
    end = time.perf_counter() + LONGEST
    while time.perf_counter() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise RuntimeError(f"no page at {address} within {LONGEST} s; start `python app.py` to see why")


def time_app(think: float) -> dict[str, float]:
    """Seconds to a page that answers, and of the first three edits, the first `think` seconds after that."""
    from gradio_client import Client, handle_file

    port = free_port()
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_for_page(address, process)
        seconds = {"page": time.perf_counter() - start}
        client = Client(address, verbose=False)
        time.sleep(think)
        for name in ("first edit", "second edit", "third edit"):
            start = time.perf_counter()
            client.predict(handle_file(str(PHOTO)), api_name="/edit")
            seconds[name] = time.perf_counter() - start
        return seconds
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the imports")
    parser.add_argument("--think", type=float, default=5.0, help="seconds until a person has chosen a photo")
    parser.add_argument("--out", type=Path, required=True, help="folder for start.json")
    arguments = parser.parse_args()
    load = warn_if_busy()
    imports = {}
    for statement in ("import agetransformer", "from agetransformer import AgeEditor"):
        torch_seconds, ours = time_import(statement, arguments.rounds)
        imports[statement] = {"median": ours.median, "torch": torch_seconds.median}
        print(f"{statement}: {ours.median:.3f} s after torch's own {torch_seconds.median:.2f} s")
    runs = {f"first edit {think:g} s after the page": time_app(think) for think in (arguments.think, 0.0)}
    for name, run in runs.items():
        print(f"{name}: " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in run.items()))
    report = describe_machine() | {"load_before": load, "unit": "seconds", "imports": imports, "page": runs}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "start.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
