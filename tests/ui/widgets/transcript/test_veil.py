"""What the model no longer sees lies under a veil that ends with a line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from tests.ui.widgets.transcript.screen import Screen, answer, clipboard, question, talk
from ui.theme import theme
from ui.widgets.transcript.veil import Veil

WORDS = "The model no longer sees what is above"


@pytest.fixture
def screen(qtbot: QtBot) -> Screen:
    return Screen(qtbot)


def veil(screen: Screen) -> Veil:
    return screen.transcript.findChild(Veil)


def forgets(screen: Screen) -> None:
    screen.transcript.set_messages(
        [
            question(1, "Early"),
            answer(2, "Old answer"),
            question(3, "Late", is_first_seen=True),
            answer(4, "New answer"),
        ]
    )


def test_it_ends_between_what_is_seen_and_what_is_not(screen: Screen) -> None:
    forgets(screen)

    assert veil(screen).isVisible()
    assert veil(screen).accessibleName() == WORDS
    end = veil(screen).geometry().bottom()
    assert screen.top_of(screen.view("Old")) < end < screen.top_of(screen.view("Late"))


def test_what_is_under_it_is_dimmed_but_there(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Early"), question(3, "Late")])
    before = darkest(screen, "Early")
    screen.transcript.set_messages([question(1, "Early"), question(3, "Late", is_first_seen=True)])

    assert before.lightness() < darkest(screen, "Early").lightness() < theme.color("bg").lightness()
    assert darkest(screen, "Late") == before
    screen.hover(screen.view("Early"))
    screen.click("Copy your message")
    assert clipboard() == "Early"


def test_without_it_nothing_is_covered(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2)])
    assert not veil(screen).isVisible()

    forgets(screen)
    screen.transcript.set_messages([question(1, "Early"), answer(2, "Old answer")])
    assert not veil(screen).isVisible()


def test_it_scrolls_away_with_what_it_covers(screen: Screen) -> None:
    views = talk(20)
    views[20] = replace(views[20], is_first_seen=True)
    screen.transcript.set_messages(views)
    assert not veil(screen).isVisible()  # the end is shown

    screen.scroll = 0
    assert veil(screen).geometry().bottom() > screen.transcript.viewport().height()
    screen.scroll = screen.end
    assert not veil(screen).isVisible()


def test_widgets_that_come_later_lie_under_it_as_well(screen: Screen) -> None:
    forgets(screen)
    screen.transcript.append_message(question(5, "Later"))

    assert screen.transcript.viewport().children()[-1] is veil(screen)
    assert veil(screen).testAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)


def darkest(screen: Screen, text: str) -> QColor:
    view = screen.view(text)
    image = screen.transcript.grab().toImage()
    left, top = screen.left_of(view), screen.top_of(view)
    pixels = [image.pixelColor(left + x, top + y) for x in range(view.width()) for y in range(view.height())]
    return min(pixels, key=lambda color: color.lightness())
