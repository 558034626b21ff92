"""The window with the real transcript in it: what is typed and what is answered can be read there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QTextBrowser
from pytestqt.qtbot import QtBot

from app.settings import Theme
from engine.events import TokensEmitted
from tests.ui.focus_stops import unnamed
from tests.ui.world import World, make_entry
from ui.theme import theme
from ui.widgets.transcript import Transcript


@pytest.fixture
def screen(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("ui.widgets.transcript.preload", lambda: None)
    made = World(qtbot, tmp_path, make_entry())
    made.start()
    yield made
    made.close()


def words(world: World) -> str:
    """All text of the transcript that is visible."""
    views = world.window.findChild(Transcript).findChildren(QTextBrowser)
    return "\n".join(view.toPlainText() for view in views if view.isVisible())


def test_a_question_and_its_answer_stand_on_the_screen(screen: World) -> None:
    screen.send("Why is the sky blue?")
    screen.engine.emit(TokensEmitted(screen.last_request(), "Because of **Rayleigh", 3))
    screen.qtbot.waitUntil(lambda: "Rayleigh" in words(screen))
    screen.engine.emit(TokensEmitted(screen.last_request(), "** scattering.", 5))
    screen.engine.finish(screen.last_request(), 5)
    screen.qtbot.waitUntil(lambda: "Because of Rayleigh scattering." in words(screen))

    assert "Why is the sky blue?" in words(screen)
    assert unnamed(screen.window) == []


def test_the_conversation_is_there_again_after_another_one(screen: World) -> None:
    screen.send("First")
    screen.engine.answer(screen.last_request(), "One")
    screen.qtbot.waitUntil(lambda: "One" in words(screen))
    screen.click(screen.button("New conversation"))
    screen.settle()
    screen.send("Second")
    screen.engine.answer(screen.last_request(), "Two")
    screen.qtbot.waitUntil(lambda: "Two" in words(screen))
    assert "One" not in words(screen)

    screen.chat.sidebar.list.setCurrentIndex(screen.chat.sidebar.conversations.index(2))

    screen.qtbot.waitUntil(lambda: "One" in words(screen))


def test_the_theme_changes_under_a_conversation(screen: World) -> None:
    screen.send("First")
    screen.engine.answer(screen.last_request(), "One")
    screen.qtbot.waitUntil(lambda: "One" in words(screen))
    ground = screen.window.findChild(Transcript).grab().toImage().pixelColor(2, 2)
    assert ground == theme.color("bg")

    theme.choose(Theme.DARK)

    assert screen.window.findChild(Transcript).grab().toImage().pixelColor(2, 2) == theme.color("bg")
    assert "One" in words(screen)
