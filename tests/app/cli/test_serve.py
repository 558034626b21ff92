"""``serve`` with an engine that follows a script; test_serve_process.py has it as a process with a real one."""

from __future__ import annotations

import argparse
import io
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import serve
from app.cli.terminal import Terminal, exit_code
from app.library import Library
from app.paths import Paths
from app.settings import SettingsStore
from engine.errors import ErrorInfo
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded, ModelLoading
from tests.doubles.engine import make_model_info
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.scripted_engine import ScriptedEngine

READY = ModelLoaded(make_model_info())
DIED = ErrorInfo("EngineStopped", "The engine stopped.", "Try again.")


class Screen(io.StringIO):
    """What is told; ``on_text`` is called when ``text`` was. Ctrl+C is pressed at the end, so that nothing waits."""

    def __init__(self, *, is_read: bool = False, text: str = "Ctrl+C ends it") -> None:
        super().__init__()
        self._is_read = is_read
        self._text = text

    def isatty(self) -> bool:
        return self._is_read

    def write(self, text: str) -> int:
        n = super().write(text)
        if self._text in text:
            signal.raise_signal(signal.SIGINT)
        return n


class Run:
    """One call of the command, and what came of it."""

    def __init__(
        self, home: Path, engine: ScriptedEngine | None, *arguments: str, screen: io.StringIO | None = None
    ) -> None:
        paths = Paths.below(home)
        stderr = screen or Screen()
        terminal = Terminal(io.StringIO(), io.StringIO(), stderr)
        parsed = parse("--port", "0", *arguments)
        self.code = exit_code(
            lambda: serve.run(parsed, paths, never if engine is None else lambda: engine, terminal), terminal
        )
        self.stderr = stderr.getvalue()
        self.key_file = paths.config / "api-key"
        if engine is not None and engine.loads:
            assert engine.closed


def never() -> ScriptedEngine:
    raise AssertionError("no engine may be started")


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    paths = Paths.below(tmp_path / "hearth")
    paths.ensure()
    make_tiny_gguf(paths.models / "tiny.gguf")
    return tmp_path / "hearth"


def loads(*events: Event) -> ScriptedEngine:
    return ScriptedEngine(load_events=events)


def test_it_tells_where_it_is_and_ends_with_ctrl_c(home: Path) -> None:
    run = Run(home, loads(ModelLoading("tiny", 0.5), READY))
    assert run.code == 0
    assert " is ready at http://127.0.0.1:" in run.stderr
    assert "Loading" not in run.stderr


def test_the_key_is_shown_to_a_person_alone(home: Path) -> None:
    unseen = Run(home, loads(READY))
    key = unseen.key_file.read_text().strip()
    assert key not in unseen.stderr
    assert f"The key is in {unseen.key_file}" in unseen.stderr
    seen = Run(home, loads(READY, READY), screen=Screen(is_read=True, text="ready again"))
    assert seen.stderr.count(key) == 1


def test_a_person_sees_the_model_load(home: Path) -> None:
    run = Run(home, loads(ModelLoading("tiny", 0.5), READY), screen=Screen(is_read=True))
    assert ": 50%" in run.stderr


def test_without_a_key_it_says_so_and_makes_none(home: Path) -> None:
    run = Run(home, loads(READY), "--no-auth")
    assert "there is no key" in run.stderr
    assert not run.key_file.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_this_machine_there_is_always_a_key(home: Path, host: str) -> None:
    run = Run(home, None, "--no-auth", "--host", host)
    assert run.code == 2
    assert "Leave --no-auth or --host out." in run.stderr


def test_the_command_line_counts_more_than_the_settings(home: Path) -> None:
    SettingsStore(Paths.below(home).settings_file).update(n_ctx=2048)
    engine = loads(READY)
    Run(home, engine, "--context", "1024", "--parallel", "3")
    assert (engine.loads[0].config.n_ctx, engine.loads[0].config.n_parallel) == (1024, 3)
    engine = loads(READY)
    Run(home, engine)
    assert engine.loads[0].config.n_ctx == 2048


def test_the_model_of_the_last_time_is_taken(home: Path) -> None:
    paths = Paths.below(home)
    make_tiny_gguf(paths.models / "zebra.gguf")
    last = next(entry for entry in Library(paths).entries() if entry.path.name == "zebra.gguf")
    SettingsStore(paths.settings_file).update(last_model=last.id)
    engine = loads(READY)
    Run(home, engine)
    assert [spec.path for spec in engine.loads] == [str(last.path)]


def test_a_model_that_does_not_load_ends_the_server(home: Path) -> None:
    run = Run(home, loads(LoadFailed("tiny", ErrorInfo("OutOfMemory", "It does not fit.", "Take a smaller one."))))
    assert (run.code, run.stderr) == (1, "It does not fit. Take a smaller one.\n")


def test_an_engine_that_starts_again_is_told(home: Path) -> None:
    engine = loads(READY, EngineFailed("tiny", DIED, restarting=True), READY)
    run = Run(home, engine, screen=Screen(text="ready again"))
    assert run.code == 0
    assert "The engine stopped. It is being started again." in run.stderr


def test_an_engine_that_is_gone_for_good_ends_the_server(home: Path) -> None:
    run = Run(home, loads(READY, EngineFailed("tiny", DIED, restarting=False)), screen=io.StringIO())
    assert run.code == 1
    assert run.stderr.endswith("The engine stopped. Try again.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--draft", "tinier"), 1, "tinier"),
        (("--context", "8"), 2, "n_ctx is 8"),
        (("--parallel", "1000"), 2, "n_parallel is 1000"),
        (("--model", "no-such-model"), 1, "no-such-model"),
        (("--host", "no.such.host.invalid"), 1, "There is no address"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(
    home: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    run = Run(home, None, *arguments)
    assert run.code == code
    assert said in run.stderr


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = Run(home, None, "--port", port)
    assert run.code == 1
    assert f"Port {port} is in use" in run.stderr


def test_without_any_model_it_says_where_to_get_one(tmp_path: Path) -> None:
    Paths.below(tmp_path).ensure()
    run = Run(tmp_path, None)
    assert (run.code, "There is no model yet." in run.stderr) == (1, True)


def test_ctrl_c_works_as_before_afterwards(home: Path) -> None:
    former: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)
    Run(home, loads(READY))
    assert signal.getsignal(signal.SIGINT) is former


def test_it_listens_to_this_machine_alone_unless_told() -> None:
    assert parse().host == "127.0.0.1"


@pytest.mark.parametrize(
    "arguments",
    [("--port", "65536"), ("--port", "-1"), ("--port", "x"), ("--context", "0"), ("--parallel", "0"), ("--what",)],
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
