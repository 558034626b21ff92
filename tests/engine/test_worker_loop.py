"""The worker's loop with a scripted backend and no process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import pytest

from engine.backend.base import Backend
from engine.backend.fake import FakeBackend, FakeEmbedder, FakeVocab
from engine.commands import Cancel, Command, Count, Embed, Load, Submit
from engine.config import EngineConfig, LoadSpec
from engine.errors import OutOfMemory
from engine.events import (
    CacheChanged,
    Embedded,
    Event,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    PromptCounted,
    RequestFailed,
    RequestFinished,
)
from engine.step import StepPlan, StepResult
from engine.types import ChatMessage, EmbeddingRequest, GenerationRequest, RequestId, Role, TokenId
from engine.worker.loop import WorkerLoop
from engine.worker.process import next_command
from tests.doubles.gguf import make_tiny_gguf


class NoMoreCommands(Exception):
    """Ends a loop that would wait for ever."""


class Script:
    """Commands to be taken one after the other."""

    def __init__(self, *commands: Command) -> None:
        self._commands = list(commands)

    def next(self, timeout_s: float | None) -> Command | None:
        if self._commands:
            return self._commands.pop(0)
        if timeout_s == 0:
            return None
        raise NoMoreCommands


Factory = Callable[[LoadSpec, Callable[[float], None]], Backend]


def run(factory: Factory, *commands: Command) -> list[Event]:
    """Run the loop until the commands are used up and everything is computed."""
    events: list[Event] = []
    script = Script(*commands)
    loop = WorkerLoop(script.next, events.append, factory)
    try:
        loop.run()
    except NoMoreCommands:
        assert not loop.is_busy
    return [event for event in events if not isinstance(event, CacheChanged)]


def answering(_spec: LoadSpec, on_progress: Callable[[float], None]) -> Backend:
    for progress in (0.0, 0.001, 0.5, 1.0):
        on_progress(progress)
    return FakeBackend(answer=[TokenId(token) for token in FakeVocab().tokenize("Hi.", special=False)])


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return Load(LoadSpec(str(make_tiny_gguf(tmp_path / "tiny.gguf"))))


def make_submit(name: str = "a") -> Submit:
    return Submit(GenerationRequest(RequestId(name), (ChatMessage(Role.USER, "Hello"),)))


def test_a_model_is_loaded_with_progress_in_percents_and_then_answers(load: Load) -> None:
    events = run(answering, load, make_submit())

    assert [event.progress for event in events if isinstance(event, ModelLoading)] == [0.0, 0.5, 1.0]
    assert isinstance(events[3], ModelLoaded)
    assert isinstance(events[-1], RequestFinished)


def test_a_cancel_that_comes_before_the_first_step_ends_the_request(load: Load) -> None:
    events = run(answering, load, make_submit(), Cancel(RequestId("a")))

    (finish,) = [event for event in events if isinstance(event, RequestFinished)]
    assert finish.usage.n_output == 0


def test_a_load_that_does_not_fit_is_told_and_ends_the_worker(load: Load) -> None:
    def too_big(_spec: LoadSpec, _on_progress: Callable[[float], None]) -> NoReturn:
        raise OutOfMemory("It does not fit.", "Pick a smaller one.")

    (event,) = run(too_big, load)

    assert isinstance(event, LoadFailed)
    assert (event.error.kind, event.error.hint) == ("OutOfMemory", "Pick a smaller one.")


def test_a_bug_while_loading_is_told_with_its_trace(load: Load) -> None:
    def broken(_spec: LoadSpec, _on_progress: Callable[[float], None]) -> NoReturn:
        raise RuntimeError("oh")

    (event,) = run(broken, load)

    assert isinstance(event, LoadFailed)
    assert event.error.kind == "BugError"
    assert "RuntimeError: oh" in event.error.detail


def test_settings_out_of_range_never_reach_the_backend(load: Load) -> None:
    (event,) = run(answering, Load(LoadSpec(load.spec.path, EngineConfig(n_ctx=1))))

    assert isinstance(event, LoadFailed)
    assert "n_ctx" in event.error.text


def test_a_file_that_is_no_model_never_reaches_the_backend(tmp_path: Path) -> None:
    path = tmp_path / "letter.gguf"
    path.write_text("Dear reader,")

    (event,) = run(answering, Load(LoadSpec(str(path))))

    assert isinstance(event, LoadFailed)
    assert event.error.kind == "ModelFileError"


class BreaksOnce(FakeBackend):
    def decode(self, plan: StepPlan) -> StepResult:
        if not self.plans:
            self.plans.append(plan)
            raise ZeroDivisionError("a bug of ours")
        return FakeBackend.decode(self, plan)


def test_a_bug_in_a_step_costs_the_requests_and_not_the_worker(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    events = run(lambda _spec, _on_progress: BreaksOnce(), load, make_submit("a"), make_submit("b"))
    again = run(lambda _spec, _on_progress: BreaksOnce(), load, make_submit("a"))

    assert [event.error.kind for event in events if isinstance(event, RequestFailed)] == ["BugError", "BugError"]
    assert [event.error.kind for event in again if isinstance(event, RequestFailed)] == ["BugError"]
    assert "a step failed" in caplog.text


def test_pages_from_the_disk_wake_the_loop_and_hide_no_command() -> None:
    inbox: SimpleQueue[Command | None] = SimpleQueue()
    for message in (None, None, Cancel(RequestId("a")), None):
        inbox.put(message)

    assert next_command(inbox, 0) == Cancel(RequestId("a"))
    assert next_command(inbox, None) is None  # the wait ends, however long it might have been
    assert next_command(inbox, 0) is None


class CannotChat(FakeBackend):
    def __init__(self) -> None:
        super().__init__(can_chat=False)


def test_a_model_without_chat_refuses_a_question_and_takes_texts(load: Load) -> None:
    embed = Embed(EmbeddingRequest(RequestId("b"), ("x",)))

    events = run(lambda _spec, _on_progress: CannotChat(), load, make_submit("a"), embed)

    (refused,) = [event for event in events if isinstance(event, RequestFailed)]
    assert refused.error.sentence == "Fake makes embeddings, it cannot chat. Pick a model that can."
    assert isinstance(events[-1], Embedded)


def test_texts_and_an_answer_are_both_served(load: Load) -> None:
    embed = Embed(EmbeddingRequest(RequestId("texts"), ("x" * 90,) * 3))

    events = run(answering, load, embed, make_submit("a"), Count(make_submit("c").request))

    assert {type(event) for event in events} >= {Embedded, RequestFinished, PromptCounted}


def test_cancelled_texts_end_once(load: Load) -> None:
    embed = Embed(EmbeddingRequest(RequestId("texts"), ("x",)))

    events = run(answering, load, embed, Cancel(RequestId("texts")))

    assert [event.error.kind for event in events if isinstance(event, RequestFailed)] == ["Cancelled"]


class EmbedsBadly(FakeBackend):
    def __init__(self) -> None:
        super().__init__(embedder=FakeEmbedder(problems=[ZeroDivisionError("a bug of ours")]))


def test_a_bug_in_an_embedding_costs_the_texts_and_not_the_worker(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    embed = Embed(EmbeddingRequest(RequestId("texts"), ("x",)))

    events = run(lambda _spec, _on_progress: EmbedsBadly(), load, embed, make_submit("a"))

    assert [event.error.kind for event in events if isinstance(event, RequestFailed)] == ["BugError"]
    assert isinstance(events[-1], RequestFinished | RequestFailed)
    assert "an embedding failed" in caplog.text


def test_a_command_out_of_place_is_ignored(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    events = run(answering, load, load, make_submit())

    assert isinstance(events[-1], RequestFinished)
    assert "out of place" in caplog.text
