from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

from engine.errors import ErrorInfo
from engine.events import (
    EngineFailed,
    Heartbeat,
    LoadFailed,
    ModelLoading,
    ModelUnloaded,
    PrefillProgressed,
    RequestFailed,
    RequestStarted,
    TokensEmitted,
)
from engine.types import RequestId
from tests.doubles.engine import FakeEngineClient
from ui.bridge import EngineBridge, LiveText

ONE, TWO = RequestId("message-1"), RequestId("message-2")
PROBLEM = ErrorInfo("EngineStopped", "The engine stopped.")


@pytest.fixture
def engine() -> FakeEngineClient:
    return FakeEngineClient()


@pytest.fixture
def bridge(qapp: object, engine: FakeEngineClient) -> Iterator[EngineBridge]:
    made = EngineBridge(engine)
    yield made
    made.close()


class Recorder:
    """Every signal of a bridge, in the order of arrival."""

    def __init__(self, bridge: EngineBridge) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.threads: set[threading.Thread] = set()
        for name in (
            "model_loading",
            "model_loaded",
            "load_failed",
            "model_unloaded",
            "engine_failed",
            "request_started",
            "prefill_progressed",
            "reasoning_arrived",
            "text_arrived",
            "request_finished",
            "request_failed",
        ):
            getattr(bridge, name).connect(lambda *values, name=name: self._record(name, *values))

    def _record(self, *what: object) -> None:
        self.seen.append(what)
        self.threads.add(threading.current_thread())

    def text(self, request_id: str) -> str:
        return "".join(str(what[2]) for what in self.seen if what[:2] == ("text_arrived", request_id))


def test_events_become_signals_in_their_order(bridge: EngineBridge, engine: FakeEngineClient) -> None:
    recorder = Recorder(bridge)

    engine.emit(ModelLoading("/m", 0.5))
    engine.emit(LoadFailed("/m", PROBLEM))
    engine.emit(ModelUnloaded("/m"))
    engine.emit(EngineFailed("/m", PROBLEM, restarting=True))
    engine.emit(Heartbeat(n_steps=1, busy=False))
    engine.emit(RequestStarted(ONE, n_prompt=9, n_cached=3))
    engine.emit(PrefillProgressed(ONE, n_done=4, n_prompt=9))
    engine.emit(RequestFailed(ONE, PROBLEM))
    QCoreApplication.processEvents()

    assert recorder.seen == [
        ("model_loading", "/m", 0.5),
        ("load_failed", "/m", PROBLEM),
        ("model_unloaded", "/m"),
        ("engine_failed", "/m", PROBLEM, True),
        ("request_started", RequestStarted(ONE, n_prompt=9, n_cached=3)),
        ("prefill_progressed", ONE, 4, 9),
        ("request_failed", ONE, PROBLEM),
    ]


def test_nothing_is_told_on_the_thread_of_the_engine(
    qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient
) -> None:
    recorder = Recorder(bridge)

    thread = threading.Thread(target=engine.answer, args=(ONE, "one two three"))
    thread.start()
    thread.join()
    assert recorder.seen == []

    qtbot.waitUntil(lambda: bridge.has_ended(ONE))
    assert recorder.threads == {threading.main_thread()}
    assert recorder.text(ONE) == "one two three"


def test_what_is_thought_is_told_apart_from_what_is_answered(
    qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient
) -> None:
    recorder = Recorder(bridge)
    engine.emit(TokensEmitted(ONE, "", 1, reasoning="Let me "))
    engine.emit(TokensEmitted(ONE, "", 2, reasoning="see."))
    engine.emit(TokensEmitted(ONE, "Yes", 3))

    qtbot.waitUntil(lambda: bridge.live_text(ONE) == LiveText("Yes", "Let me see."))

    assert recorder.seen == [("reasoning_arrived", ONE, "Let me see."), ("text_arrived", ONE, "Yes")]


def test_tokens_of_one_frame_come_as_one_text(qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient) -> None:
    recorder = Recorder(bridge)

    for n, word in enumerate(("a", "b", "c"), 1):
        engine.emit(TokensEmitted(ONE, word, n))
        engine.emit(TokensEmitted(TWO, word.upper(), n))
    qtbot.waitUntil(lambda: len(recorder.seen) == 2)

    assert recorder.seen == [("text_arrived", ONE, "abc"), ("text_arrived", TWO, "ABC")]


def test_all_text_comes_before_the_end(qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient) -> None:
    recorder = Recorder(bridge)

    engine.answer(ONE, "the whole answer")
    qtbot.waitUntil(lambda: bridge.has_ended(ONE))

    assert [what[0] for what in recorder.seen] == ["request_started", "text_arrived", "request_finished"]
    assert recorder.text(ONE) == "the whole answer"


def test_live_text_and_later_signals_make_the_whole(
    qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient
) -> None:
    engine.emit(TokensEmitted(ONE, "early ", 1))
    qtbot.waitUntil(lambda: bridge.live_text(ONE).text == "early ")
    engine.emit(TokensEmitted(ONE, "on its way ", 2))
    QCoreApplication.processEvents()

    opened_with = bridge.live_text(ONE).text
    late = Recorder(bridge)
    engine.emit(TokensEmitted(ONE, "late", 3))
    engine.finish(ONE, 3)
    qtbot.waitUntil(lambda: bridge.has_ended(ONE))

    assert opened_with + late.text(ONE) == "early on its way late"


def test_a_request_is_live_from_its_start_to_its_end(
    qtbot: QtBot, bridge: EngineBridge, engine: FakeEngineClient
) -> None:
    assert not bridge.is_live(ONE)

    engine.emit(RequestStarted(ONE, n_prompt=1, n_cached=0))
    QCoreApplication.processEvents()
    assert bridge.is_live(ONE)
    assert not bridge.has_ended(ONE)

    engine.emit(RequestFailed(ONE, PROBLEM))
    QCoreApplication.processEvents()
    assert not bridge.is_live(ONE)
    assert bridge.has_ended(ONE)
    assert bridge.live_text(ONE) == LiveText()


def test_a_closed_bridge_tells_nothing_more(bridge: EngineBridge, engine: FakeEngineClient) -> None:
    recorder = Recorder(bridge)

    engine.emit(ModelLoading("/m", 0.5))
    bridge.close()
    engine.emit(ModelLoading("/m", 0.9))
    QCoreApplication.processEvents()

    assert recorder.seen == []
