"""Photos -> aligned squares, by processes of `agetransformer.align_worker`: nothing here loads MediaPipe."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agetransformer.json_lines import Died, NotReady, Worker

_DEATHS = 3  # so many workers that died one after the other are no coincidence


class AligningError(RuntimeError):
    """Photos cannot be aligned here; the message says why."""


@dataclass(frozen=True)
class Aligning:
    """What the squares depend on."""

    size: int  # side of a square in pixels
    min_side: int  # photo pixels: smaller faces are left out
    max_faces: int = 8  # of a photo, the largest
    aligned: bool = False  # the photos are aligned squares already

    def arguments(self) -> list[str]:
        """The worker's command line."""
        numbers = {"--size": self.size, "--min-side": self.min_side, "--max-faces": self.max_faces}
        return [str(x) for pair in numbers.items() for x in pair] + ["--aligned"] * self.aligned


@dataclass(frozen=True)
class Request:
    """A photo, and where its squares go: STEM.webp, STEM_face2.webp, ..."""

    photo: Path
    stem: Path


def align_photos(
    requests: Sequence[Request], aligning: Aligning, workers: int, log: Path, again: bool = False
) -> Iterator[tuple[Request, dict]]:
    """Align photos in `workers` processes; yields each with the worker's answer, in the order they get ready.

    A worker that dies on a photo is replaced, and the answer is {"died": sentence}.

    Args:
        log: file for what the workers print.
        again: whether each of these has killed a worker before: no wonder then if they do so one after the other.
    Raises:
        AligningError: workers do not start, cannot write, or die one after the other.
    """
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    answers: queue.SimpleQueue[tuple[Request, dict] | AligningError] = queue.SimpleQueue()
    stop = threading.Event()
    deaths = None if again else _DEATHS
    threads = [
        threading.Thread(target=_serve, args=(waiting, answers, stop, aligning, log, deaths), daemon=True)
        for _ in range(min(workers, len(requests)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in requests:
            got = answers.get()
            if isinstance(got, AligningError):
                raise got
            yield got
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=5)


def _serve(
    waiting: queue.SimpleQueue,
    answers: queue.SimpleQueue,
    stop: threading.Event,
    aligning: Aligning,
    log: Path,
    most_deaths: int | None,
) -> None:
    """One thread: feed one worker until nothing waits, or `most_deaths` have died one after the other."""
    worker, deaths = None, 0
    try:
        while not stop.is_set():
            try:
                request = waiting.get_nowait()
            except queue.Empty:
                return
            if worker is None:
                worker = _start(aligning, log)
            try:
                answer = worker.ask({"photo": str(request.photo), "stem": str(request.stem)})
            except Died as error:
                answer = {"died": f"the aligning process died on it ({error})"}
            if "fatal" in answer:
                raise AligningError(answer["fatal"])
            answers.put((request, answer))
            if "died" not in answer:
                deaths = 0
                continue
            worker, deaths = None, deaths + 1
            if deaths == most_deaths:
                raise AligningError(f"{answer['died']}, {deaths} times in a row; {log} has its last words")
    except AligningError as error:
        answers.put(error)
    except OSError as error:
        answers.put(AligningError(f"the aligning process cannot be started ({error})"))
    except Exception as error:  # or whoever waits for the answers would wait for ever
        answers.put(AligningError(f"the aligning process cannot be understood ({type(error).__name__}: {error})"))
    finally:
        if worker is not None:
            worker.close()


def _start(aligning: Aligning, log: Path) -> Worker:
    try:
        with log.open("ab") as errors:
            return Worker("agetransformer.align_worker", aligning.arguments(), errors)
    except NotReady as error:
        if said := str(error):
            raise AligningError(f"{said} (aligning needs requirements.txt)") from error
        sentence = f"the aligning process does not start (pip install -r requirements.txt?); see {log}"
        raise AligningError(sentence) from error
