"""Why an answer took as long as it did, drawn one line a row with its figure behind a colon."""

from __future__ import annotations

import dataclasses

import pytest
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QFrame

from app.chats.types import AnswerStats
from engine.events import RequestFinished, RequestStarted
from engine.reuse import Reason, ReuseReport
from engine.types import DraftReport, DraftVerdict, FinishReason, Timings, Usage
from tests.ui.world import World
from ui.chat.answers import facts
from ui.chat.explanation import TITLE, explain

REUSE = ReuseReport(
    n_prompt=1230,
    n_cells=1000,
    n_ram=104,
    n_disk=100,
    n_new=26,
    restore_s=0.021,
    reasons=((Reason.NEW, 20), (Reason.EVICTED, 6)),
)


def stats(reuse: ReuseReport | None = REUSE, n_dropped: int = 0) -> AnswerStats:
    return AnswerStats(
        "Tiny", 1230, 4, 310, 16384, 0.05, 61.2, FinishReason.END_OF_TURN, n_dropped, reuse, 0.01 if reuse else None
    )


def drawn(of: AnswerStats) -> list[str]:
    reading, times = explain(of)
    return [f"{'  ' if line.is_detail else ''}{line.words}: {line.figure}" for line in (*reading, *times)]


def test_the_quiet_line_counts_what_came_from_everywhere() -> None:
    assert facts(stats()) == "61 tok/s  ·  first token 0.05 s  ·  1,204 of 1,230 tokens remembered"


def test_every_token_is_accounted_for() -> None:
    assert drawn(stats()) == [
        "Ready in memory: 1,000 tokens",
        "Brought back from RAM: 104 tokens",
        "Brought back from disk: 100 tokens",
        "  Bringing it back took: 0.02 s",
        "Read now: 26 tokens",
        "  New text: 20",
        "  Made room for something else: 6",
        "Waited in the queue: 0.01 s",
        "First word after: 0.05 s",
        "Written: 310 tokens",
        "Writing speed: 61 tokens/s",
        "Context in use: 1,540 of 16,384",
        "Answered by: Tiny",
    ]


def test_answers_of_older_versions_tell_what_they_know() -> None:
    assert drawn(stats(None))[:3] == [
        "Remembered: 4 tokens",
        "Read now: 1,226 tokens",
        "First word after: 0.05 s",
    ]


def test_messages_that_were_left_out_are_told() -> None:
    assert "Left out to make the rest fit: 4 messages" in drawn(stats(n_dropped=4))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    reuse = ReuseReport(n_prompt=5, n_cells=0, n_ram=0, n_disk=0, n_new=5, restore_s=0.0, reasons=((reason, 5),))

    assert len([line for line in drawn(stats(reuse)) if line.startswith("  ")]) == 1


def card_of(world: World) -> QFrame | None:
    cards = [frame for frame in world.window.findChildren(QFrame) if frame.accessibleName() == TITLE]
    return next((card for card in cards if card.isVisible()), None)


@pytest.mark.parametrize("y", [10, 700])
def test_the_figures_open_it_and_escape_closes_it(world: World, y: int) -> None:
    world.start()
    world.send("Hello")
    answer(world)
    place = QRect(world.window.mapToGlobal(QPoint(700, y)), QSize(200, 28))

    world.transcript.explanation_requested.emit(world.transcript.views[-1].id, place)
    card = card_of(world)
    assert card is not None
    assert world.window.focusWidget() is card
    assert "Brought back from disk: 100 tokens." in card.accessibleDescription()
    assert world.window.rect().contains(QRect(card.mapTo(world.window, QPoint()), card.size()))

    world.press(card, Qt.Key.Key_Escape)
    assert card_of(world) is None


def answer(world: World) -> None:
    request_id = world.last_request()
    world.engine.emit(RequestStarted(request_id, 1230, 1204))
    usage, timings = Usage(1230, 1204, 310, 16384), Timings(0.01, 0.05, 5.0)
    world.engine.emit(RequestFinished(request_id, FinishReason.END_OF_TURN, usage, timings, REUSE))
    world.qtbot.waitUntil(lambda: bool(world.transcript.views[-1].facts))


@pytest.mark.parametrize(
    ("report", "lines"),
    [
        (
            DraftReport(120, 96, 100, 24.4, DraftVerdict.DRAFTED),
            [
                "Guessed ahead, and right: 96 of 120",
                "  By the small model: 100 tokens",
                "  From the text so far: 20 tokens",
                "  Without that, about: 24 tokens/s",
            ],
        ),
        (DraftReport(verdict=DraftVerdict.NOT_WORTH_IT), ["Guessed ahead: not worth it here"]),
        (DraftReport(), ["Guessed ahead: nothing to go by"]),
    ],
)
def test_guesses_are_told_with_what_would_have_been_without(report: DraftReport, lines: list[str]) -> None:
    told = drawn(dataclasses.replace(stats(), drafting=report))

    assert [line for line in told if line in lines] == lines
    assert len(told) == len(drawn(stats())) + len(lines)
