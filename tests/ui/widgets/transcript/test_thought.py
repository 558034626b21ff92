"""What a model thought before it answered: a line that opens, and never a part of the answer."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from tests.ui.widgets.transcript.screen import Screen, answer, clipboard, question, streaming, talk
from ui.widgets.transcript import MessageStatus
from ui.widgets.transcript.thought import thought_title


@pytest.fixture
def screen(qtbot: QtBot) -> Screen:
    return Screen(qtbot)


@pytest.mark.parametrize(
    ("duration_s", "title"),
    [
        (None, "Thought"),
        (0.2, "Thought for a moment"),
        (3.4, "Thought for 3 s"),
        (60, "Thought for 1 min"),
        (80, "Thought for 1 min 20 s"),
    ],
)
def test_the_line_says_how_long_it_took(duration_s: float | None, title: str) -> None:
    assert thought_title(duration_s) == title


def test_a_thought_is_closed_at_first_and_opens_with_a_click(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2, "Yes.", thought="Hmm.\n\nSo be it.", thought_s=3.0)])
    assert screen.texts() == ["A question", "Yes."]

    screen.click("Thought for 3 s")
    assert screen.texts() == ["A question", "Hmm.\n\nSo be it.", "Yes."]
    assert screen.top_of(screen.view("Hmm.")) > screen.top_of(screen.button("Thought for 3 s"))

    screen.click("Thought for 3 s")
    assert screen.texts() == ["A question", "Yes."]


def test_an_answer_without_a_thought_has_no_such_line(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2)])

    assert screen.named("Thought") == []


def test_a_thought_is_seen_while_it_is_written(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2)])
    screen.transcript.append_thought(2, "Let me ")
    screen.click("Thinking")

    screen.transcript.append_thought(2, "see.")
    assert screen.texts() == ["A question", "Let me see."]

    screen.transcript.append_text(2, "Yes.")
    assert screen.texts() == ["A question", "Let me see.", "Yes."]
    assert screen.named("Thinking") == []
    assert len(screen.named("Thought for a moment")) == 1

    screen.transcript.finish_message(answer(2, "Yes.", thought="Let me see.", thought_s=12.0))
    assert screen.texts() == ["A question", "Let me see.", "Yes."]
    assert len(screen.named("Thought for 12 s")) == 1


def test_an_answer_that_was_stopped_while_it_was_thought_about_says_so(screen: Screen) -> None:
    screen.transcript.set_messages(
        [question(1), answer(2, "", status=MessageStatus.STOPPED, thought="Hmm", thought_s=2.0)]
    )

    assert len(screen.named("Thought for 2 s")) == 1
    assert len(screen.named("Stopped before the first word.")) == 1


def test_copies_leave_the_thought_out(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2, "Yes.\n\nIndeed.", thought="Secret", thought_s=2.0)])
    screen.click("Thought for 2 s")

    screen.click("Copy the answer")
    assert clipboard() == "Yes.\n\nIndeed."

    screen.activate()
    QGuiApplication.clipboard().clear()
    screen.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    screen.press(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert clipboard() == "A question\n\nYes.\n\nIndeed."


def test_a_selection_across_an_open_thought_holds_what_is_seen(screen: Screen) -> None:
    screen.transcript.set_messages([answer(2, "Yes.\n\nIndeed.", thought="Well then", thought_s=2.0)])
    screen.click("Thought for 2 s")

    screen.drag(screen.view("Well"), 5, screen.view("Indeed"), 3)
    screen.press_on(screen.view("Well"), Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    assert clipboard() == "then\n\nYes.\n\nInd"


def test_the_keyboard_reaches_and_opens_it(screen: Screen) -> None:
    screen.transcript.set_messages([answer(2, "Yes.", thought="Hmm.", thought_s=2.0)])
    screen.activate()

    screen.press(Qt.Key.Key_Tab)
    assert screen.focus() == "Thought for 2 s"
    screen.press(Qt.Key.Key_Return)
    assert screen.texts() == ["Hmm.", "Yes."]
    screen.press(Qt.Key.Key_Tab)
    assert screen.focus() == "Answer, thought"


def test_the_line_stays_where_it_was_clicked(screen: Screen) -> None:
    views = talk(20)
    screen.transcript.set_messages([*views, answer(100, "Yes.", thought="A line of it.\n" * 200, thought_s=5.0)])
    before = screen.top_of(screen.button("Thought for 5 s"))

    screen.click("Thought for 5 s")

    assert screen.top_of(screen.button("Thought for 5 s")) == before


def test_an_open_thought_comes_back_open_when_it_was_scrolled_away(screen: Screen) -> None:
    screen.transcript.set_messages([answer(9999, "Yes.", thought="Hmm.", thought_s=5.0), *talk(200)])
    screen.scroll = 0
    screen.click("Thought for 5 s")
    for place in range(0, screen.end, 400):
        screen.scroll = place

    screen.scroll = 0

    assert screen.texts()[:2] == ["Hmm.", "Yes."]
