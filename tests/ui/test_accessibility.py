"""What a screen reader and a keyboard can reach."""

from __future__ import annotations

from PySide6.QtCore import Qt

from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.world import World
from ui.main_window import MainWindow
from ui.widgets.buttons import IconButton, RailButton


def check(window: MainWindow) -> None:
    assert unnamed(window) == []
    assert without_tab(window) == []


def test_everything_that_takes_the_focus_has_a_name_on_every_page(world: World) -> None:
    world.say("Old")
    world.start()
    check(world.window)

    world.chat.sidebar.list.setCurrentIndex(world.chat.sidebar.conversations.index(1))
    world.settle()
    world.chat.composer.block("No model is loaded.")
    world.chat.composer.set_editing(True)
    world.chat.composer.offer.show_offer("It is too long.", can_roll=True, can_summarise=True)
    check(world.window)

    world.click(world.chat.chip)
    world.settle()
    check(world.window)

    world.click(world.button("Settings"))
    check(world.window)


def test_tab_goes_round_the_chat_page(world: World) -> None:
    world.say("Old")
    world.start()
    with world.qtbot.waitActive(world.window):
        world.window.activateWindow()
    world.chat.sidebar.search.setFocus()

    visited = []
    for _ in range(40):
        current = world.window.focusWidget()
        assert current is not None
        visited.append(current.accessibleName() or type(current).__name__)
        world.press(current, Qt.Key.Key_Tab)

    assert {"Search everything", "Conversations", "Message", "Chat", "Settings"} <= set(visited)


def test_tab_stays_inside_an_open_sheet(world: World) -> None:
    world.start()
    with world.qtbot.waitActive(world.window):
        world.window.activateWindow()
    world.click(world.button("Settings"))
    world.click(world.button("Licences: Fonts"))

    visited = set()
    for _ in range(6):
        current = world.window.focusWidget()
        assert current is not None
        visited.add(getattr(current, "text", lambda: "")() or current.accessibleName())
        world.press(current, Qt.Key.Key_Tab)

    assert visited == {"Close", "Details"}


def test_icons_without_words_say_what_they_do(world: World) -> None:
    world.start()

    for kind in (IconButton, RailButton):
        for button in world.window.findChildren(kind):
            assert button.accessibleName()
            assert button.toolTip().startswith(button.accessibleName())
