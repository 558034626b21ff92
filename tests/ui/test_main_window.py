"""The window around the pages: places, keys, what is remembered, and what concerns all pages."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.services import Services
from app.settings import Settings
from engine.errors import ErrorInfo, StorageError
from tests.ui.world import World
from ui.chat.composer import ComposerText
from ui.chat.model_picker import ModelPicker
from ui.main import Start
from ui.main_window import MainWindow
from ui.preferences.view import PreferencesView
from ui.theme import theme
from ui.widgets.banner import Banner

CTRL = Qt.KeyboardModifier.ControlModifier


def active(world: World) -> MainWindow:
    world.start()
    with world.qtbot.waitActive(world.window):
        world.window.activateWindow()
    return world.window


def focused(world: World) -> QWidget | None:
    return world.window.focusWidget()


def test_the_skeleton_can_be_seen_before_there_are_services(qtbot: QtBot) -> None:
    window = MainWindow(Settings())
    qtbot.addWidget(window)

    with qtbot.waitSignal(window.first_painted):
        window.show()

    screen = window.screen().availableSize()
    assert window.width() == min(theme.size("window-width"), screen.width())
    assert window.height() <= min(theme.size("window-height"), screen.height())


def test_the_first_paint_is_told_once(qtbot: QtBot) -> None:
    window = MainWindow(Settings())
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.first_painted):
        window.show()

    with qtbot.assertNotEmitted(window.first_painted, wait=50):
        window.repaint()


def test_keys_lead_everywhere(world: World) -> None:
    window = active(world)

    world.press(window, Qt.Key.Key_Comma, CTRL)
    assert world.window.findChild(PreferencesView).isVisible()

    world.press(window, Qt.Key.Key_L, CTRL)
    assert isinstance(focused(world), ComposerText)

    world.press(window, Qt.Key.Key_F, CTRL)
    assert focused(world) is world.chat.sidebar.search

    world.press(window, Qt.Key.Key_K, CTRL)
    picker = window.findChild(ModelPicker)
    assert picker.isVisible()
    world.press(picker, Qt.Key.Key_Escape)

    world.press(window, Qt.Key.Key_N, CTRL)
    assert isinstance(focused(world), ComposerText)


def test_a_key_renames_where_the_user_is(world: World) -> None:
    world.say("Old")
    window = active(world)
    world.chat.sidebar.list.setCurrentIndex(world.chat.sidebar.conversations.index(1))
    world.settle()

    world.press(window, Qt.Key.Key_F2)

    editor = focused(world)
    assert editor is not None
    assert editor.accessibleName() == "Title of the conversation"


def test_the_rail_shows_where_one_is(world: World) -> None:
    world.start()

    world.click(world.button("Settings"))
    assert world.button("Settings").isChecked()
    assert not world.button("Chat").isChecked()
    assert not world.chat.isVisible()

    world.click(world.button("Chat"))
    assert world.chat.isVisible()
    assert world.button("Chat").isChecked()


def test_the_window_comes_back_as_it_was_left(world: World, qtbot: QtBot) -> None:
    world.start()
    world.window.resize(780, 600)
    world.chat.set_sidebar_width(240)
    world.window.close()

    again = MainWindow(world.settings.current)
    qtbot.addWidget(again)
    again.show()

    assert (again.width(), again.height()) == (780, 600)
    assert world.settings.current.sidebar_width == 240


@pytest.mark.parametrize("damaged", ["not base64", base64.b64encode(b"not geometry").decode()])
def test_a_damaged_geometry_is_ignored(qtbot: QtBot, damaged: str) -> None:
    window = MainWindow(Settings(window_geometry=damaged))
    qtbot.addWidget(window)

    assert window.width() == min(theme.size("window-width"), window.screen().availableSize().width())


def test_an_unexpected_error_is_said_on_the_page_that_is_open(world: World) -> None:
    world.start()
    world.click(world.button("Settings"))

    world.window.show_error("unexpected", ErrorInfo("BugError", "Something went wrong.", "Try again.", "Traceback"))

    preferences = world.window.findChild(PreferencesView)
    assert [banner.accessibleName() for banner in preferences.findChildren(Banner)] == [
        "Something went wrong. Try again."
    ]


def test_a_start_that_fails_says_why_and_can_be_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[StorageError | Services] = [StorageError("The disk is full.", "Free some space."), world.services]

    def services() -> Services:
        outcome = outcomes.pop(0)
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    monkeypatch.setattr("ui.errors.ErrorReporter.install_hooks", lambda _self: None)
    world.window.show()
    start = Start(world.window, services, None)
    start.run()
    assert world.told() == "The disk is full. Free some space."

    world.click(world.button("Try again"))
    world.settle()

    assert world.told() == ""
    assert world.chat.chip.content.name == "Tiny"


def test_damaged_settings_are_told_at_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.errors.ErrorReporter.install_hooks", lambda _self: None)
    world.window.show()

    Start(world.window, lambda: world.services, ErrorInfo("StorageError", "The settings cannot be read.")).run()
    world.settle()

    assert world.told() == "The settings cannot be read."


def test_the_main_window_stays_small() -> None:
    source = Path(__file__).parents[2] / "ui" / "main_window.py"
    text = source.read_text(encoding="utf-8")

    assert text.count("\n") < 300
    assert text.count("    def ") < 25
