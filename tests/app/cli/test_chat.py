"""The chat in the terminal, with an engine that follows a script."""

from __future__ import annotations

import argparse
import io
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from app.cli import chat
from app.cli.terminal import Terminal, exit_code
from app.library import Library
from app.paths import Paths
from app.settings import SettingsStore
from engine.errors import ErrorInfo
from engine.events import EngineFailed, LoadFailed
from engine.types import FinishReason, Role
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.scripted_engine import ScriptedEngine, fails, says, starts_with

press_ctrl_c = partial(signal.raise_signal, signal.SIGINT)


class TypedInput(io.StringIO):
    """Lines that a person types; after the last one comes Ctrl+D."""

    def isatty(self) -> bool:
        return True


class Run:
    """One call of the command, and what came of it."""

    def __init__(self, home: Path, engine: ScriptedEngine, *arguments: str, stdin: io.StringIO | None = None) -> None:
        paths = Paths.below(home)
        paths.ensure()
        parser = argparse.ArgumentParser()
        chat.add_arguments(parser)
        terminal = Terminal(stdin or io.StringIO(), io.StringIO(), io.StringIO())
        self.code = exit_code(lambda: chat.run(parser.parse_args(arguments), paths, lambda: engine, terminal), terminal)
        self.stdout = cast(io.StringIO, terminal.stdout).getvalue()
        self.stderr = cast(io.StringIO, terminal.stderr).getvalue()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one model and settings of its own."""
    paths = Paths.below(tmp_path / "hearth")
    paths.ensure()
    make_tiny_gguf(paths.models / "tiny.gguf")
    return tmp_path / "hearth"


def change_settings(home: Path, **changes: object) -> None:
    SettingsStore(Paths.below(home).settings_file).update(**changes)


def finish_as_cancelled(engine: ScriptedEngine) -> Callable[[Any], None]:
    return lambda request_id: engine.finish(request_id, 1, FinishReason.CANCELLED)


def test_a_prompt_is_answered_on_the_standard_output_alone(home: Path) -> None:
    run = Run(home, ScriptedEngine(says("Good morning to you")), "--prompt", "Hello")
    assert (run.code, run.stdout, run.stderr) == (0, "Good morning to you\n", "")


def test_what_is_piped_in_is_one_question(home: Path) -> None:
    engine = ScriptedEngine(says("Yes"))
    run = Run(home, engine, stdin=io.StringIO("first line\nsecond line\n"))
    assert (run.code, run.stdout) == (0, "Yes\n")
    assert [message.content for message in engine.submitted[0].messages] == ["first line\nsecond line\n"]


def test_an_empty_question_loads_nothing(home: Path) -> None:
    engine = ScriptedEngine()
    run = Run(home, engine, "--prompt", "  ")
    assert run.code == 1
    assert "Nothing was asked" in run.stderr
    assert engine.loads == []


def test_a_failed_answer_is_a_sentence_and_an_exit_code(home: Path) -> None:
    run = Run(home, ScriptedEngine(fails("The engine stopped.")), "--prompt", "Hello")
    assert (run.code, run.stdout, run.stderr) == (1, "", "The engine stopped.\n")


def test_a_model_that_does_not_load_is_told(home: Path) -> None:
    failure = LoadFailed("tiny.gguf", ErrorInfo("OutOfMemory", "The model does not fit.", "Take a smaller one."))
    run = Run(home, ScriptedEngine(load_events=[failure]), "--prompt", "Hello")
    assert (run.code, run.stderr) == (1, "The model does not fit. Take a smaller one.\n")


def test_a_model_that_is_not_there_is_told(home: Path) -> None:
    run = Run(home, ScriptedEngine(), "no-such-model.gguf", "--prompt", "Hello")
    assert run.code == 1
    assert "no-such-model.gguf" in run.stderr


def test_a_broken_file_is_told_before_anything_loads(home: Path, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    (tmp_path / "text.gguf").write_text("not a model", encoding="utf-8")
    run = Run(home, engine, str(tmp_path / "text.gguf"), "--prompt", "Hello")
    assert run.code == 1
    assert run.stderr
    assert engine.loads == []


def test_the_model_of_the_last_time_is_taken(home: Path) -> None:
    paths = Paths.below(home)
    make_tiny_gguf(paths.models / "zebra.gguf", metadata={"general.name": "Zebra"})
    last = next(entry for entry in Library(paths).entries() if entry.path.name == "zebra.gguf")
    change_settings(home, last_model=last.id)
    engine = ScriptedEngine(says("Hello"))
    Run(home, engine, "--prompt", "Hello")
    assert [spec.path for spec in engine.loads] == [str(last.path)]


def test_the_settings_count(home: Path) -> None:
    change_settings(home, system_prompt="Be brief.", temperature=0.25, n_ctx=2048)
    engine = ScriptedEngine(says("Hello"))
    Run(home, engine, "--prompt", "Hello")
    (request,) = engine.submitted
    assert [(message.role, message.content) for message in request.messages] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "Hello"),
    ]
    assert request.sampling.temperature == 0.25
    assert engine.loads[0].config.n_ctx == 2048


def test_a_conversation_goes_on_until_the_input_ends(home: Path) -> None:
    engine = ScriptedEngine(says("One two"), says("Three"))
    run = Run(home, engine, stdin=TypedInput("first\n\nsecond\n"))
    assert run.code == 0
    assert run.stdout == "> One two\n> > Three\n> \n"
    assert [message.content for message in engine.submitted[1].messages] == ["first", "One two", "second"]
    assert "[2 tokens, 2.0 tokens/s, context 22 of 4,096]" in run.stderr


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(home: Path) -> None:
    engine = ScriptedEngine(starts_with("Once upon", press_ctrl_c), says("Fine"))
    engine.on_cancel = finish_as_cancelled(engine)
    run = Run(home, engine, stdin=TypedInput("a tale\nthanks\n"))
    assert run.code == 0
    assert engine.cancelled == [engine.submitted[0].id]
    assert [message.content for message in engine.submitted[1].messages] == ["a tale", "Once upon", "thanks"]
    assert ", stopped]" in run.stderr


def test_ctrl_c_ends_a_single_answer_with_the_code_of_an_interrupt(home: Path) -> None:
    engine = ScriptedEngine(starts_with("Once upon", press_ctrl_c))
    engine.on_cancel = finish_as_cancelled(engine)
    run = Run(home, engine, "--prompt", "a tale")
    assert (run.code, run.stdout) == (130, "Once upon\n")


def test_a_second_ctrl_c_does_not_wait_for_a_hung_engine(home: Path) -> None:
    engine = ScriptedEngine(starts_with("Once upon", press_ctrl_c))
    engine.on_cancel = lambda request_id: press_ctrl_c()
    assert Run(home, engine, stdin=TypedInput("a tale\n")).code == 130


def test_after_a_failed_answer_the_conversation_goes_on_without_its_question(home: Path) -> None:
    engine = ScriptedEngine(fails("Too long."), says("Better"))
    run = Run(home, engine, stdin=TypedInput("much\nless\n"))
    assert run.code == 0
    assert "Too long." in run.stderr
    assert [message.content for message in engine.submitted[1].messages] == ["less"]


def test_a_model_whose_engine_died_is_loaded_again_with_the_next_question(home: Path) -> None:
    died = EngineFailed("tiny.gguf", ErrorInfo("EngineStopped", "It died."), restarting=False)
    engine = ScriptedEngine(fails("It died.", died), says("Back again"))
    run = Run(home, engine, stdin=TypedInput("one\ntwo\n"))
    assert len(engine.loads) == 2
    assert "Back again" in run.stdout


def test_ctrl_c_works_as_before_afterwards(home: Path) -> None:
    former = signal.getsignal(signal.SIGINT)
    Run(home, ScriptedEngine(says("Hello")), "--prompt", "Hello")
    assert signal.getsignal(signal.SIGINT) is former
