"""The sidebar, as it is drawn: headings in capitals, ``>`` before the open conversation."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QMenu

from engine.errors import StorageError
from engine.events import CacheChanged, ModelUnloaded
from engine.reuse import ConversationCache, KvUsage
from tests.ui.world import World
from ui.models.conversations import ConversationRole


def three_conversations(world: World) -> None:
    for title in ("Heat pumps", "Tax letter", "Rayleigh"):
        world.say(title, f"Something about {title}.")
    world.start()


def select(world: World, title: str) -> None:
    view, model = world.chat.sidebar.list, world.chat.sidebar.conversations
    row = next(row for row in range(model.rowCount()) if model.index(row).data() == title)
    view.setCurrentIndex(model.index(row))
    world.settle()


def test_the_list_starts_with_what_was_used_last_and_nothing_open(world: World) -> None:
    three_conversations(world)

    assert world.rows() == ["TODAY", "  Rayleigh", "  Tax letter", "  Heat pumps"]


def test_the_conversation_that_was_open_is_open_again(world: World) -> None:
    tax = world.say("Tax letter").conversation.id
    world.say("Rayleigh")
    world.settings.update(selected_conversation=tax)
    world.start()
    world.settle()

    assert world.rows() == ["TODAY", "  Rayleigh", "> Tax letter"]
    assert world.transcript.drawn() == "> Tax letter\nFine."


def test_a_remembered_conversation_that_is_gone_opens_an_empty_page(world: World) -> None:
    world.settings.update(selected_conversation=4711)
    three_conversations(world)

    assert world.transcript.drawn() == ""
    assert world.settings.current.selected_conversation is None


def test_arrow_keys_open_one_conversation_after_the_other(world: World) -> None:
    three_conversations(world)
    select(world, "Rayleigh")

    world.press(world.chat.sidebar.list, Qt.Key.Key_Down)
    world.settle()
    assert world.rows() == ["TODAY", "  Rayleigh", "> Tax letter", "  Heat pumps"]
    assert world.chat.title.title() == "Tax letter"

    world.press(world.chat.sidebar.list, Qt.Key.Key_Up)
    world.press(world.chat.sidebar.list, Qt.Key.Key_Up)
    world.settle()
    assert world.chat.title.title() == "Rayleigh"  # the heading above is not a place to stop at


def test_a_title_is_edited_in_the_list(world: World) -> None:
    three_conversations(world)
    select(world, "Tax letter")
    world.chat.sidebar.list.setFocus()

    world.chat.rename()
    editor = world.chat.sidebar.list.findChild(QLineEdit)
    assert isinstance(editor, QLineEdit)
    editor.setText("Letter to the office")
    world.press(editor, Qt.Key.Key_Return)
    world.settle()

    assert "> Letter to the office" in world.rows()
    assert world.chat.title.title() == "Letter to the office"


def test_a_deleted_conversation_can_be_brought_back(world: World) -> None:
    three_conversations(world)
    select(world, "Tax letter")

    world.press(world.chat.sidebar.list, Qt.Key.Key_Delete)
    world.settle()
    assert world.rows() == ["TODAY", "  Rayleigh", "> Heat pumps"]

    world.click(world.button("Undo"))
    world.settle()
    assert world.rows() == ["TODAY", "  Rayleigh", "> Tax letter", "  Heat pumps"]
    assert world.transcript.drawn() == "> Tax letter\nSomething about Tax letter."


def test_undo_works_from_the_keyboard(world: World) -> None:
    three_conversations(world)
    select(world, "Rayleigh")

    world.press(world.chat.sidebar.list, Qt.Key.Key_Delete)
    world.settle()
    world.press(world.chat.sidebar.list, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    world.settle()

    assert "> Rayleigh" in world.rows()


def test_deleting_the_last_conversation_leaves_an_empty_page(world: World) -> None:
    world.say("Only")
    world.start()
    select(world, "Only")

    world.press(world.chat.sidebar.list, Qt.Key.Key_Delete)
    world.settle()

    assert world.rows() == []
    assert world.chat.title.title() == "New conversation"


def test_the_search_looks_into_messages_and_says_where(world: World) -> None:
    three_conversations(world)

    world.qtbot.keyClicks(world.chat.sidebar.search, "about tax")
    world.qtbot.waitUntil(lambda: world.rows() == ["  Tax letter"])

    world.chat.sidebar.search.clear()
    world.qtbot.waitUntil(lambda: len(world.rows()) == 4)


def test_a_search_without_results_says_so(world: World) -> None:
    three_conversations(world)

    world.qtbot.keyClicks(world.chat.sidebar.search, "zebra")
    world.qtbot.waitUntil(lambda: world.rows() == [])

    assert "zebra" in world.chat.sidebar.nothing_found.text()
    assert world.chat.sidebar.nothing_found.isVisible()
    world.press(world.chat.sidebar.search, Qt.Key.Key_Escape)
    world.qtbot.waitUntil(lambda: len(world.rows()) == 4)
    assert not world.chat.sidebar.nothing_found.isVisible()


def test_down_goes_from_the_search_into_the_results(world: World) -> None:
    three_conversations(world)
    world.qtbot.keyClicks(world.chat.sidebar.search, "heat")
    world.qtbot.waitUntil(lambda: world.rows() == ["  Heat pumps"])

    world.press(world.chat.sidebar.search, Qt.Key.Key_Down)
    world.settle()

    assert world.chat.title.title() == "Heat pumps"


def test_enter_goes_from_the_list_to_the_composer(world: World) -> None:
    three_conversations(world)
    select(world, "Rayleigh")
    with world.qtbot.waitSignal(world.chat.sidebar.list.confirmed):
        world.press(world.chat.sidebar.list, Qt.Key.Key_Return)


@pytest.mark.qt_log_ignore("does not support grabbing the keyboard", extend=True)
def test_the_menu_offers_what_the_keys_do(world: World) -> None:
    three_conversations(world)
    view = world.chat.sidebar.list
    first = view.visualRect(view.model().index(1, 0)).center()

    view.customContextMenuRequested.emit(first)
    menu = view.findChild(QMenu)
    assert [action.text() for action in menu.actions()] == [
        "Keep ready",
        "Forget what was read",
        "",
        "Rename",
        "Delete",
    ]
    menu.actions()[-1].trigger()
    menu.close()
    world.settle()

    assert "  Rayleigh" not in world.rows()


USAGE = KvUsage(
    cells_used=300, n_cells=4096, ram_bytes=0, ram_budget_bytes=1, disk_bytes=0, disk_budget_bytes=1, n_pages=1
)


def remember(world: World, conversation_id: int, *, n_cells: int = 0, n_ram: int = 0) -> None:
    n_bytes = 1000
    cache = ConversationCache(
        str(conversation_id),
        300,
        n_cells,
        n_ram,
        0,
        300 - n_cells - n_ram,
        n_cells * n_bytes,
        n_ram * n_bytes,
        0,
        False,
    )
    of_the_api = ConversationCache("chat-7", 300, 300, 0, 0, 0, 1, 0, 0, False)
    world.engine.emit(CacheChanged((cache, of_the_api), USAGE))
    world.settle()


def badges(world: World) -> list[str]:
    """``title: tier``, with a star for what is kept ready."""
    model = world.chat.sidebar.conversations
    shown = []
    for row in range(model.rowCount()):
        index = model.index(row)
        if index.data(ConversationRole.ID) is not None:
            tier = index.data(ConversationRole.TIER)
            star = "*" if index.data(ConversationRole.IS_PINNED) else ""
            shown.append(f"{index.data()}{star}: {tier.name.lower() if tier else None}")
    return shown


def menu_on(world: World, row: int) -> QMenu:
    view = world.chat.sidebar.list
    view.customContextMenuRequested.emit(view.visualRect(view.model().index(row, 0)).center())
    return next(menu for menu in view.findChildren(QMenu) if menu.isVisible())


def test_badges_say_where_each_conversation_is_kept(world: World) -> None:
    three_conversations(world)
    assert badges(world) == ["Rayleigh: None", "Tax letter: None", "Heat pumps: None"]

    remember(world, 2, n_cells=300)
    assert badges(world) == ["Rayleigh: cold", "Tax letter: ready", "Heat pumps: cold"]
    tax = world.chat.sidebar.conversations.index(2)
    assert tax.data(Qt.ItemDataRole.ToolTipRole) == "Tax letter\n300 tokens, ready; with all branches 300 kB ready"
    assert (
        tax.data(Qt.ItemDataRole.AccessibleTextRole) == "Tax letter. 300 tokens, ready; with all branches 300 kB ready"
    )

    remember(world, 2, n_ram=290)
    assert badges(world)[1] == "Tax letter: ram"
    world.chat.sidebar.list.grab()  # the delegate paints them


def test_a_badge_that_changes_does_not_disturb_who_edits_a_title(world: World) -> None:
    three_conversations(world)
    select(world, "Tax letter")
    world.chat.sidebar.list.setFocus()
    world.chat.rename()
    editor = world.chat.sidebar.list.findChild(QLineEdit)
    assert isinstance(editor, QLineEdit)
    assert editor.text() == "Tax letter"
    editor.setText("Letter to the off")

    remember(world, 2, n_cells=300)
    assert editor.text() == "Letter to the off"
    world.press(editor, Qt.Key.Key_Escape)


def test_without_a_model_there_are_no_badges(world: World) -> None:
    three_conversations(world)
    remember(world, 2, n_cells=300)

    world.engine.emit(ModelUnloaded("/models/tiny.gguf"))
    world.settle()

    assert badges(world) == ["Rayleigh: None", "Tax letter: None", "Heat pumps: None"]


@pytest.mark.qt_log_ignore("does not support grabbing the keyboard", extend=True)
def test_a_conversation_is_kept_ready_from_the_menu(world: World) -> None:
    three_conversations(world)
    remember(world, 2, n_cells=300)

    menu = menu_on(world, 2)
    assert not menu.actions()[0].isChecked()
    menu.actions()[0].trigger()
    menu.close()

    assert world.engine.pins == [("2", True)]
    assert badges(world)[1] == "Tax letter*: ready"
    assert world.settings.current.pinned_conversations == (2,)
    tax = world.chat.sidebar.conversations.index(2)
    assert (
        tax.data(Qt.ItemDataRole.AccessibleTextRole)
        == "Tax letter. 300 tokens, ready; with all branches 300 kB ready; kept ready"
    )

    menu = menu_on(world, 2)
    assert menu.actions()[0].isChecked()
    menu.actions()[0].trigger()
    menu.close()
    assert world.engine.pins[-1] == ("2", False)


@pytest.mark.qt_log_ignore("does not support grabbing the keyboard", extend=True)
def test_what_was_read_is_forgotten_from_the_menu_where_there_is_something(world: World) -> None:
    three_conversations(world)
    remember(world, 2, n_cells=300)

    menu = menu_on(world, 1)
    assert not menu.actions()[1].isEnabled()
    menu.close()
    menu = menu_on(world, 2)
    menu.actions()[1].trigger()
    menu.close()

    assert world.engine.drops == ["2"]
    assert "  Tax letter" in world.rows()


def test_a_list_that_cannot_be_read_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise StorageError("The conversations cannot be read.", "Check the disk.")

    monkeypatch.setattr(world.chats, "conversations", refuse)
    world.start()

    assert world.told() == "The conversations cannot be read. Check the disk."
