from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.chats.types import ConversationSummary
from ui.models.conversations import ConversationListModel, ConversationRole

NOW = datetime(2026, 3, 15, 12, 0)


def conversation(number: int, title: str, days_ago: int = 0, snippet: str | None = None) -> ConversationSummary:
    return ConversationSummary(number, title, (NOW - timedelta(days=days_ago)).timestamp(), snippet)


def drawn(model: ConversationListModel) -> str:
    """One row a line; headings in brackets."""
    lines = []
    for row in range(model.rowCount()):
        index = model.index(row)
        is_heading = index.data(ConversationRole.ID) is None
        lines.append(f"[{index.data()}]" if is_heading else index.data())
    return "\n".join(lines)


@pytest.fixture
def model(qapp: object) -> ConversationListModel:
    made = ConversationListModel()
    made.show_by_time(
        [
            conversation(4, "Rayleigh"),
            conversation(3, "Retry loop"),
            conversation(2, "Tax letter", days_ago=1),
            conversation(1, "Heat pumps", days_ago=60),
        ],
        NOW.date(),
    )
    return made


def test_conversations_stand_under_headings(model: ConversationListModel) -> None:
    assert (
        drawn(model)
        == """\
[Today]
Rayleigh
Retry loop
[Yesterday]
Tax letter
[January]
Heat pumps"""
    )


def test_a_model_that_keeps_them_whole_says_so_with_each(model: ConversationListModel) -> None:
    model.show_caches({})
    tooltip = Qt.ItemDataRole.ToolTipRole
    assert model.index(1).data(tooltip) == "Rayleigh\nnot kept"

    model.show_kept_whole(True)

    kept_whole = "This model's memory cannot be kept in pages; it is kept whole."
    assert model.index(1).data(tooltip) == f"Rayleigh\nnot kept\n{kept_whole}"
    assert model.index(1).data(Qt.ItemDataRole.AccessibleTextRole) == f"Rayleigh. not kept. {kept_whole}"


def test_results_have_no_headings_and_say_where_they_were_found(model: ConversationListModel) -> None:
    model.show_results([conversation(2, "Tax letter", snippet="the heat pump is taxed")])

    assert drawn(model) == "Tax letter"
    assert model.index(0).data(ConversationRole.SNIPPET) == "the heat pump is taxed"
    assert "the heat pump is taxed" in model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)


def test_headings_can_neither_be_chosen_nor_edited(model: ConversationListModel) -> None:
    assert model.index(0).flags() == Qt.ItemFlag.NoItemFlags
    assert not model.setData(model.index(0), "Tomorrow")


def test_rows_are_found_by_conversation(model: ConversationListModel) -> None:
    assert model.row_of(2) == 4
    assert model.row_of(99) is None
    assert model.row_of(None) is None
    assert model.first_row() == 1
    assert model.title_of(1) == "Heat pumps"
    assert model.title_of(99) == ""


@pytest.mark.parametrize(("gone", "neighbour"), [(4, 3), (2, 1), (1, 2), (99, None)])
def test_the_neighbour_is_the_next_and_at_the_end_the_one_before(
    model: ConversationListModel, gone: int, neighbour: int | None
) -> None:
    assert model.neighbour_of(gone) == neighbour


def test_the_only_conversation_has_no_neighbour(qapp: object) -> None:
    model = ConversationListModel()
    model.show_results([conversation(1, "Alone")])

    assert model.neighbour_of(1) is None


def test_a_new_title_is_told_and_an_empty_or_equal_one_is_not(qtbot: QtBot, model: ConversationListModel) -> None:
    with qtbot.waitSignal(model.renamed) as told:
        assert model.setData(model.index(1), "  Blue skies ")
    assert told.args == [4, "Blue skies"]

    with qtbot.assertNotEmitted(model.renamed):
        assert not model.setData(model.index(1), "   ")
        assert not model.setData(model.index(1), "Rayleigh")


def test_equal_lists_do_not_disturb_the_view(qtbot: QtBot, model: ConversationListModel) -> None:
    model.show_results([conversation(1, "One")])

    with qtbot.assertNotEmitted(model.modelReset):
        model.show_results([conversation(1, "One")])


def test_the_laws_of_item_models_hold(model: ConversationListModel, qtmodeltester: ModelTester) -> None:
    qtmodeltester.check(model)
