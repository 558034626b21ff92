"""The models that are here, as a table and one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from app.library import Imported, Origin, Refused, Source
from engine.errors import ErrorInfo
from tests.ui.library.shop import Shop
from tests.ui.world import DAMAGED, World, make_entry
from ui.library.imports import words_of
from ui.library.table import Column
from ui.library.view import MODELS
from ui.widgets.overlay import Sheet

ORIGIN = Origin("maker/Tiny-GGUF", "a" * 40, "tiny.gguf", "b" * 64, "apache-2.0", "https://example.org")


class _Nobody:
    endpoint = "http://127.0.0.1:9"


@pytest.fixture
def shop(make_world: Callable[..., World]) -> Shop:
    entries = (
        make_entry("Tiny"),
        replace(make_entry("Large"), size_bytes=9_000_000_000, architecture="qwen3", origin=ORIGIN),
        make_entry("Broken", DAMAGED),
        make_entry("Elsewhere", source=Source.LINKED),
    )
    made = Shop(make_world(*entries), _Nobody())  # type: ignore[arg-type]  # only its address is asked for
    made.view.open_place(MODELS)
    made.settle()
    return made


def names(shop: Shop) -> list[str]:
    model = shop.view.models.table
    return [str(model.index(row, 0).data()) for row in range(model.rowCount())]


def choose(shop: Shop, name: str) -> None:
    shop.view.models.list.select(names(shop).index(name))
    shop.settle()


def test_all_models_are_listed_with_their_number_and_size(shop: Shop) -> None:
    assert names(shop) == ["Broken", "Elsewhere", "Large", "Tiny"]
    assert shop.view.models.count.text() == "4 models · 9.3 GB"


def test_typing_filters_by_every_word(shop: Shop) -> None:
    shop.world.qtbot.keyClicks(shop.view.models.search, "qwen3 la")
    assert names(shop) == ["Large"]

    shop.world.press(shop.view.models.search, Qt.Key.Key_Escape)
    shop.world.qtbot.keyClicks(shop.view.models.search, "nothing")
    assert names(shop) == []
    assert "No model matches." in shop.said(shop.view.models)


def test_a_click_on_a_heading_sorts_numbers_as_numbers(shop: Shop) -> None:
    shop.view.models.list.sortByColumn(Column.SIZE, Qt.SortOrder.DescendingOrder)

    assert names(shop)[0] == "Large"


def test_a_broken_model_says_why_and_what_to_do(shop: Shop) -> None:
    choose(shop, "Broken")

    assert DAMAGED.sentence in shop.said(shop.view.models.details)
    assert not shop.view.models.details.load.isVisible()


def test_one_model_tells_where_it_came_from(shop: Shop) -> None:
    choose(shop, "Large")
    said = shop.view.models.details.said()

    assert "From: maker/Tiny-GGUF" in said
    assert f"Commit: {'a' * 12}" in said
    assert f"sha256: {'b' * 64}" in said
    assert "Licence: apache-2.0" in said


def test_return_loads_a_model_and_goes_to_the_chat(shop: Shop) -> None:
    choose(shop, "Tiny")
    shop.world.press(shop.view.models.list, Qt.Key.Key_Return)
    shop.world.settle()

    assert [spec.path for spec in shop.world.engine.loads][-1] == "/models/tiny.gguf"
    assert shop.world.chat.isVisible()


def test_what_is_linked_is_only_taken_off_the_list(shop: Shop) -> None:
    choose(shop, "Elsewhere")
    shop.world.press(shop.view.models.list, Qt.Key.Key_Delete)
    assert "The file stays at" in shop.said(shop.world.window.findChild(Sheet))

    shop.world.click(shop.world.button("Remove"))
    shop.settle()
    assert "Elsewhere" not in names(shop)


def test_deleting_asks_first_and_says_what_it_frees(shop: Shop) -> None:
    choose(shop, "Large")
    shop.world.click(shop.view.models.details.delete)

    assert "9.0 GB" in shop.said(shop.world.window.findChild(Sheet))
    shop.world.click(shop.world.button("Cancel"))
    assert "Large" in names(shop)


def test_the_selection_stays_when_the_list_changes(shop: Shop) -> None:
    choose(shop, "Large")
    shop.world.library.models.append(make_entry("Another"))
    shop.view.open_place(MODELS)
    shop.settle()

    assert names(shop)[0] == "Another"
    assert shop.view.models.list.current_entry().name == "Large"


def test_what_an_import_did_is_said_in_a_sentence() -> None:
    refused = Refused(Path("/x/bad.gguf"), ErrorInfo("E", "bad.gguf is damaged.", "Download it again."))

    assert words_of(Imported(added=(make_entry(),))) == "1 model was added."
    assert words_of(Imported(known=(make_entry(),), refused=(refused,))) == (
        "1 was here already. bad.gguf: bad.gguf is damaged. Download it again."
    )
    assert words_of(Imported()) == "There is no model in what was given."
