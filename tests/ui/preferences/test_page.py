from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QSlider, QWidget

from app.settings import Theme
from engine.config import DraftMode
from engine.errors import ErrorInfo
from engine.events import CacheChanged, ModelLoaded, ModelUnloaded
from engine.reuse import KvUsage
from engine.types import Overflow
from tests.doubles.engine import make_model_info
from tests.ui.world import World
from ui.preferences.memory import limits_of
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


def test_guessing_ahead_is_automatic_off_or_fixed(world: World, view: PreferencesView) -> None:
    assert world.settings.current.drafting is DraftMode.AUTOMATIC
    assert not view.n_drafted.isVisible()

    world.click(world.button("Guessing ahead: Fixed"))
    assert view.n_drafted.isVisible()
    view.n_drafted.setValue(7)
    assert (world.settings.current.drafting, world.settings.current.n_drafted) == (DraftMode.FIXED, 7)

    world.click(world.button("Guessing ahead: Off"))
    assert world.settings.current.drafting is DraftMode.OFF
    assert not view.n_drafted.isVisible()


def test_a_model_whose_memory_is_kept_whole_says_so(world: World, view: PreferencesView) -> None:
    words = "This model's memory cannot be kept in pages; it is kept whole."
    note = next(label for label in view.memory.findChildren(QLabel) if label.text() == words)
    assert note.isHidden()

    world.engine.emit(ModelLoaded(replace(make_model_info(), can_cut_cache=False)))
    world.qtbot.waitUntil(lambda: not note.isHidden())

    world.engine.emit(ModelUnloaded("/models/tiny.gguf"))
    world.qtbot.waitUntil(note.isHidden)


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


GB = 10**9
USAGE = KvUsage(
    cells_used=10,
    n_cells=4096,
    ram_bytes=GB * 4 // 10,
    ram_budget_bytes=2 * GB,
    disk_bytes=52_000_000,
    disk_budget_bytes=8 * GB,
    n_pages=3,
)


def slider(field: QWidget) -> QSlider:
    proxy = field.focusProxy()
    assert isinstance(proxy, QSlider)
    return proxy


def test_budgets_count_at_once_for_the_loaded_model_and_the_next(world: World, view: PreferencesView) -> None:
    world.settle()
    world.press(slider(view.memory.ram), Qt.Key.Key_Right)
    world.press(slider(view.memory.disk), Qt.Key.Key_Left)

    assert world.engine.budgets == [(2_250_000_000, 8 * GB), (2_250_000_000, 7_500_000_000)]
    assert world.settings.current.cache_ram_bytes == 2_250_000_000
    assert world.settings.current.cache_disk_bytes == 7_500_000_000
    assert slider(view.memory.ram).accessibleName() == "RAM for conversations: 2.25 GB"


def test_a_slider_on_its_way_does_not_empty_anything(world: World, view: PreferencesView) -> None:
    ram = slider(view.memory.ram)
    ram.setSliderDown(True)
    ram.setSliderPosition(0)
    assert ram.accessibleName() == "RAM for conversations: 0 GB"
    assert world.engine.budgets == []

    ram.setSliderPosition(4)
    ram.setSliderDown(False)
    assert world.engine.budgets == [(GB, 8 * GB)]


def test_the_limits_are_those_of_the_machine(world: World, view: PreferencesView) -> None:
    world.settle()
    limits = limits_of(world.paths.data)

    assert slider(view.memory.ram).maximum() == max(8, limits.ram_bytes // 250_000_000)
    assert slider(view.memory.disk).maximum() >= 16


def test_what_is_used_now_is_shown(world: World, view: PreferencesView) -> None:
    assert view.memory.ram_use.text() == ""

    world.engine.emit(CacheChanged((), USAGE))
    world.settle()

    assert view.memory.ram_use.text() == "0.4 of 2 GB in use"
    assert view.memory.disk_use.text() == "0.1 of 8 GB in use"


def test_a_disk_that_takes_nothing_is_told(world: World, view: PreferencesView) -> None:
    problem = ErrorInfo("StorageError", "The disk is full, so nothing more is kept on it.")
    world.engine.emit(CacheChanged((), msgspec.structs.replace(USAGE, disk_problem=problem)))
    world.settle()

    assert view.memory.disk_use.text() == "The disk is full, so nothing more is kept on it."


def test_what_happens_to_a_conversation_that_gets_too_long_can_be_chosen(world: World, view: PreferencesView) -> None:
    world.click(world.button("A conversation that gets too long: Stop and ask"))
    assert world.settings.current.overflow is Overflow.STOP

    world.click(world.button("A conversation that gets too long: Leave the oldest turns out"))
    assert world.settings.current.overflow is Overflow.ROLL
