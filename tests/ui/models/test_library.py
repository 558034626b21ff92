from __future__ import annotations

from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester

from tests.ui.world import DAMAGED, make_entry
from ui.models.library import ModelListModel, ModelRole


def drawn(model: ModelListModel) -> str:
    """``*`` marks the current model, ``!`` one that cannot be used."""
    lines = []
    for row in range(model.rowCount()):
        index = model.index(row)
        mark = "!" if index.data(ModelRole.PROBLEM) else "*" if index.data(ModelRole.IS_CURRENT) else " "
        lines.append(f"{mark} {index.data()} | {index.data(ModelRole.PROBLEM) or index.data(ModelRole.DETAIL)}")
    return "\n".join(lines)


def test_models_say_what_they_are_and_broken_ones_why(qapp: object) -> None:
    model = ModelListModel()

    model.show_entries([make_entry("Tiny"), make_entry("Broken", DAMAGED), make_entry("Other")], "other")

    assert (
        drawn(model)
        == """\
  Tiny | Q4_1 · 98 MB · 135 M parameters
! Broken | broken.gguf ends too early. Download it again.
* Other | Q4_1 · 98 MB · 135 M parameters"""
    )


def test_a_broken_model_is_not_offered_first(qapp: object) -> None:
    model = ModelListModel()
    model.show_entries([make_entry("Broken", DAMAGED), make_entry("Tiny")], None)

    assert model.first_row_to_pick() == 1


def test_the_current_model_is_offered_first(qapp: object) -> None:
    model = ModelListModel()
    model.show_entries([make_entry("Tiny"), make_entry("Other")], "other")

    assert model.first_row_to_pick() == 1
    model.show_entries([], None)
    assert model.first_row_to_pick() is None


def test_a_screen_reader_hears_the_reason(qapp: object) -> None:
    model = ModelListModel()
    model.show_entries([make_entry("Broken", DAMAGED)], None)

    assert "ends too early" in model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)


def test_the_laws_of_item_models_hold(qtmodeltester: ModelTester) -> None:
    model = ModelListModel()
    model.show_entries([make_entry("Tiny"), make_entry("Broken", DAMAGED)], "tiny")

    qtmodeltester.check(model)
