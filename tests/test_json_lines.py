"""A served process: what it answers, and what is said when it cannot or dies."""

import textwrap
from pathlib import Path

import pytest

from agetransformer.json_lines import Died, NotReady, Worker

ECHO = """
    import os, sys
    from contextlib import contextmanager
    from agetransformer.json_lines import serve

    @contextmanager
    def echo():
        if sys.argv[1:] == ["broken"]:
            raise RuntimeError("No model here.")
        print("a library greets")

        def answer(request):
            os.system("echo a library in C talks")
            if request["say"] == "die":
                os._exit(7)
            return {"said": request["say"]}

        yield answer
        print("closed", file=sys.stderr)

    serve(echo())
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules for the process."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "served_echo.py").write_text(textwrap.dedent(ECHO))
    return tmp_path


def test_what_libraries_print_never_gets_between_the_answers(modules: Path) -> None:
    log = modules / "log"
    with log.open("wb") as errors:
        worker = Worker("served_echo", errors=errors)
    for text in ("one", 'two\nlines and "quotes"', "três ☺"):
        assert worker.ask({"say": text}) == {"said": text}
    worker.close()
    worker.close()
    said = log.read_text().splitlines()
    assert said.count("a library in C talks") == 3 and {"a library greets", "closed"} <= set(said)


def test_a_service_that_does_not_open_says_why(modules: Path) -> None:
    with pytest.raises(NotReady, match=r"^No model here\.$"):
        Worker("served_echo", ["broken"])


def test_a_process_that_ends_without_a_word_is_not_ready(modules: Path) -> None:
    (modules / "served_nothing.py").write_text("raise SystemExit(3)")
    with pytest.raises(NotReady, match=r"^$"):
        Worker("served_nothing")


def test_a_process_that_dies_over_a_request_says_its_exit_code(modules: Path) -> None:
    worker = Worker("served_echo")
    with pytest.raises(Died, match=r"^exit code 7$"):
        worker.ask({"say": "die"})
    worker.close()
