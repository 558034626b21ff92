from __future__ import annotations

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPlainTextEdit

from app.settings import Theme
from engine.errors import ErrorInfo
from tests.ui.world import World
from ui.preferences.view import PreferencesView
from ui.theme import theme
from ui.widgets.banner import Banner


@pytest.fixture
def view(world: World) -> PreferencesView:
    world.start()
    world.click(world.button("Settings"))
    return world.window.findChild(PreferencesView)


def test_a_theme_counts_at_once_and_is_remembered(world: World, view: PreferencesView) -> None:
    world.click(world.button("Theme: Dark"))

    assert theme.is_dark
    assert world.settings.current.theme is Theme.DARK
    world.click(world.button("Theme: Light"))
    assert not theme.is_dark


def test_the_context_is_automatic_until_a_number_is_wanted(world: World, view: PreferencesView) -> None:
    assert not view.context_length.isVisible()

    world.click(world.button("Context length: Fixed"))
    assert view.context_length.isVisible()
    view.context_length.setValue(8192)
    assert world.settings.current.n_ctx == 8192

    world.click(world.button("Context length: Automatic"))
    assert world.settings.current.n_ctx is None
    assert not view.context_length.isVisible()


def test_a_new_context_length_offers_to_load_the_model_again(world: World, view: PreferencesView) -> None:
    assert not view.load_again.isVisible()

    world.click(world.button("Context length: Fixed"))
    world.click(world.button("Load the model again"))
    world.settle()

    assert world.engine.loads[-1].config.n_ctx == 4096
    assert not view.load_again.isVisible()


def test_the_temperature_follows_the_slider(world: World, view: PreferencesView) -> None:
    assert view.temperature.value() == pytest.approx(0.7)

    slider = view.temperature.focusProxy()
    assert slider is not None
    world.press(slider, Qt.Key.Key_Right)

    assert world.settings.current.temperature == pytest.approx(0.75)


def test_the_system_prompt_counts_at_once(world: World, view: PreferencesView) -> None:
    world.qtbot.keyClicks(view.system_prompt, "Be brief.")

    assert world.settings.current.system_prompt == "Be brief."


def test_folders_can_be_opened(world: World, view: PreferencesView, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)

    world.click(world.button("Open: Models"))
    world.click(world.button("Open: Log"))

    assert opened == [QUrl.fromLocalFile(str(world.paths.models)), QUrl.fromLocalFile(str(world.paths.logs))]


@pytest.mark.parametrize(
    ("button", "words"),
    [
        ("Licences: Fonts", "SIL OPEN FONT LICENSE"),
        ("Licences: Icons", "ISC License"),
        ("Licences: Libraries", "LGPL-3.0"),
    ],
)
def test_licences_can_be_read(world: World, view: PreferencesView, button: str, words: str) -> None:
    world.click(world.button(button))

    details = [field for field in world.window.findChildren(QPlainTextEdit) if field.accessibleName() == "Details"]
    assert words in details[-1].toPlainText()
    world.click(world.button("Close"))


def test_settings_that_cannot_be_kept_are_told(
    world: World, view: PreferencesView, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = ErrorInfo("StorageError", "The disk is full.", "Free some space.")
    monkeypatch.setattr(type(world.settings), "problem", property(lambda _self: problem))

    world.click(world.button("Theme: Dark"))
    world.qtbot.waitUntil(lambda: bool(view.findChildren(Banner)))

    assert view.findChildren(Banner)[0].accessibleName() == "The disk is full. Free some space."
