"""The sheet that says how a model is loaded, from the picker and from the monitor."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QLabel

from app.settings import LoadWishes
from engine.events import ModelLoaded, PlanReduced
from engine.receipt import BufferKind, BufferUse, DeviceUse, PlannedShare, Receipt
from tests.doubles.engine import make_model_info
from tests.doubles.machine import GB, make_cpu, make_gpu
from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.world import World
from ui.plan.sheet import LoadSheet
from ui.widgets.overlay import Sheet

CTRL = Qt.KeyboardModifier.ControlModifier
RECEIPT = Receipt(
    buffers=(BufferUse("CPU", "CPU_Mapped", BufferKind.WEIGHTS, 5 * GB), BufferUse("CPU", "CPU", BufferKind.KV, GB)),
    devices=(DeviceUse("CPU", 32 * GB, 24 * GB, 18 * GB, PlannedShare("CPU", 5 * GB, GB)),),
)


def opened(world: World, *, receipt: Receipt | None = None) -> LoadSheet:
    """From the picker, as a person does it."""
    world.start(loaded=False)
    world.engine.emit(ModelLoaded(make_model_info(), receipt))
    world.settle()
    world.press(world.window, Qt.Key.Key_K, CTRL)
    world.settle()
    world.click(world.button("How the chosen model is loaded"))
    sheet = world.window.findChild(LoadSheet)
    world.qtbot.waitUntil(lambda: sheet.card.isVisible())
    return sheet


def said(sheet: Sheet) -> str:
    return "\n".join(label.text() for label in sheet.findChildren(QLabel) if label.isVisible() and label.text())


def press(world: World, sheet: Sheet, name: str) -> None:
    found = [b for b in sheet.findChildren(QAbstractButton) if b.isVisible() and name in (b.accessibleName(), b.text())]
    assert len(found) == 1, name
    world.click(found[0])


def planned_anew(world: World, sheet: LoadSheet, before: str) -> None:
    world.qtbot.waitUntil(lambda: said(sheet) != before)


def test_it_says_where_a_model_goes_and_how_fast_it_will_be(world: World) -> None:
    world.machine.known = (make_gpu(), make_cpu())
    sheet = opened(world)

    assert "fits on GPU" in sheet.card.badge.text().lower() or "Fits on GPU" in sheet.card.badge.text()
    assert "tok/s" in said(sheet)
    assert "RTX 3060" in said(sheet)
    assert "All of it fits on" in said(sheet)


def test_the_reasons_are_told_on_request(world: World) -> None:
    sheet = opened(world)
    assert sheet.card.reasons == ""

    press(world, sheet, "Why?")
    assert "context" in sheet.card.reasons.lower()

    press(world, sheet, "Less")
    assert sheet.card.reasons == ""


def test_a_fixed_choice_changes_the_others_at_once(world: World) -> None:
    world.machine.known = (make_gpu(free_bytes=6 * GB), make_cpu())
    sheet = opened(world)
    before = said(sheet)
    automatic = sheet.choices.layers.shown.text()

    press(world, sheet, "Context in tokens: Fixed")
    sheet.choices.context.field.setValue(131_072)
    planned_anew(world, sheet, before)

    world.qtbot.waitUntil(lambda: sheet.choices.layers.shown.text() != automatic or "4 bit" in said(sheet))
    assert sheet.choices.wishes().n_ctx == 131_072


def test_layers_can_only_be_chosen_where_there_is_a_gpu(world: World) -> None:
    sheet = opened(world)

    assert "Layers on GPU" not in said(sheet)


def test_wishes_are_kept_and_the_model_is_loaded_with_them(world: World) -> None:
    sheet = opened(world, receipt=RECEIPT)
    n_loads = len(world.engine.loads)

    press(world, sheet, "Numbers in the KV cache: 8 bit")
    press(world, sheet, "Load again")
    world.qtbot.waitUntil(lambda: len(world.engine.loads) == n_loads + 1)

    assert world.settings.current.load_wishes == {"tiny": LoadWishes(kv_type="q8_0")}


def test_all_can_be_left_to_the_plan_again(world: World) -> None:
    world.settings.update(load_wishes={"tiny": LoadWishes(n_ctx=4096)})
    sheet = opened(world, receipt=RECEIPT)
    assert sheet.choices.context.field.value() == 4096

    press(world, sheet, "All automatic")
    press(world, sheet, "Load again")
    world.qtbot.waitUntil(lambda: not world.settings.current.load_wishes)


def test_cancel_changes_nothing(world: World) -> None:
    sheet = opened(world)
    n_loads = len(world.engine.loads)

    press(world, sheet, "Flash attention: Off")
    press(world, sheet, "Cancel")
    world.settle()

    assert world.settings.current.load_wishes == {}
    assert len(world.engine.loads) == n_loads


def test_after_the_load_it_shows_the_receipt(world: World) -> None:
    sheet = opened(world, receipt=RECEIPT)

    words = said(sheet)
    assert "Everything as planned" in words
    assert "Weights" in words
    assert words.count("6.0 GB") == 2


def test_everything_in_it_can_be_reached_and_has_a_name(world: World) -> None:
    world.machine.known = (make_gpu(), make_cpu())
    sheet = opened(world, receipt=RECEIPT)

    assert unnamed(sheet) == []
    assert without_tab(sheet) == []


def pick(world: World) -> None:
    world.press(world.window, Qt.Key.Key_K, CTRL)
    world.settle()
    picker = world.window.findChild(type(world.window._models._picker))  # type: ignore[union-attr]
    world.press(picker.list, Qt.Key.Key_Return)
    world.settle()


@pytest.mark.parametrize(("free_gb", "words"), [(3, "answers will be very slow"), (24, "")])
def test_a_load_that_would_swap_is_asked_about_first(world: World, free_gb: int, words: str) -> None:
    world.machine.known = (make_cpu(free_gb * GB, 32 * GB),)
    world.start()
    n_loads = len(world.engine.loads)

    pick(world)

    sheets = [sheet for sheet in world.window.findChildren(Sheet) if sheet.isVisible()]
    if not words:
        assert sheets == []
        assert len(world.engine.loads) == n_loads + 1
        return
    assert words in said(sheets[0])
    assert len(world.engine.loads) == n_loads
    press(world, sheets[0], "Load anyway")
    world.settle()
    assert len(world.engine.loads) == n_loads + 1


def test_a_model_that_is_loaded_at_the_start_is_warned_of_in_a_banner(world: World) -> None:
    world.machine.known = (make_cpu(3 * GB, 32 * GB),)
    world.start()

    world.qtbot.waitUntil(lambda: "answers will be very slow" in world.told())


def test_a_smaller_plan_after_an_out_of_memory_is_told(world: World) -> None:
    world.start()
    world.engine.emit(PlanReduced("/models/tiny.gguf", "The GPU ran out of memory; 4 layers moved to the processor."))
    world.settle()

    assert "4 layers moved" in world.told()
