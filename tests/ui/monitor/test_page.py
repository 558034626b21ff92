"""The monitor, as a person uses it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QLabel

from engine.errors import ErrorInfo
from engine.events import (
    CacheChanged,
    DevicesRead,
    EngineFailed,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    PlanReduced,
)
from engine.receipt import BufferKind, BufferUse, DeviceMemory, DeviceUse, PlannedShare, Receipt
from engine.reuse import ConversationCache, KvUsage
from tests.doubles.engine import make_model_info
from tests.doubles.machine import GB, FakeMachine, make_cpu, make_gpu
from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.world import World, make_entry
from ui.models.throughput import Work
from ui.monitor.remembered import RememberedMenu
from ui.monitor.view import DeviceCard, MonitorView
from ui.widgets.memory_bar import MemoryBar

CTRL = Qt.KeyboardModifier.ControlModifier
PATH = "/models/tiny.gguf"
DEATH = ErrorInfo("EngineStopped", "The engine stopped.", "Load the model again.")

ON_GPU = Receipt(
    buffers=(
        BufferUse("CUDA0", "CUDA0", BufferKind.WEIGHTS, 5 * GB),
        BufferUse("CUDA0", "CUDA0", BufferKind.KV, 2 * GB),
        BufferUse("CUDA0", "CUDA0", BufferKind.COMPUTE, GB // 2),
        BufferUse("CPU", "CPU_Mapped", BufferKind.WEIGHTS, GB),
    ),
    devices=(
        DeviceUse("CUDA0", 12 * GB, 10 * GB, 2 * GB + GB // 2, PlannedShare("CUDA0", 5 * GB, 2 * GB, GB // 2)),
        DeviceUse("CPU", 32 * GB, 24 * GB, 24 * GB),
    ),
)


def kept(conversation: str, n_bytes: int, *, is_pinned: bool = False) -> ConversationCache:
    return ConversationCache(conversation, 1000, 1000, 0, 0, 0, n_bytes, 0, 0, is_pinned)


def usage(cells_used: int = 500) -> KvUsage:
    return KvUsage(cells_used, 1000, 0, GB, 0, GB, 4)


@pytest.fixture
def view(world: World) -> MonitorView:
    return opened(world, make_gpu(), make_cpu())


def opened(world: World, *devices: object) -> MonitorView:
    world.machine.known = tuple(devices)  # type: ignore[assignment]
    world.start(loaded=False)
    world.press(world.window, Qt.Key.Key_3, CTRL)
    world.settle()
    view = world.window.findChild(MonitorView)
    world.qtbot.waitUntil(lambda: len(cards(view)) == len(devices))
    return view


def load(world: World, receipt: Receipt = ON_GPU) -> None:
    world.engine.emit(ModelLoaded(make_model_info(PATH), receipt))
    world.settle()


def cards(view: MonitorView) -> dict[str, DeviceCard]:
    found = sorted((card for card in view.findChildren(DeviceCard) if card.isVisible()), key=lambda card: card.y())
    return {card.bar.accessibleName(): card for card in found}


def segments(card: DeviceCard) -> list[str]:
    """What a screen reader says of the parts, from left to right."""
    found = [button for button in card.bar.findChildren(QAbstractButton) if button.isVisible()]
    return [button.accessibleName() for button in sorted(found, key=lambda button: button.x())]


def choose(view: MonitorView, conversation: str, action: int) -> None:
    """What the menu of a conversation in the list offers."""
    view.remembered.list.menu_wanted.emit(conversation, QPoint())
    menu = view.findChildren(RememberedMenu)[-1]
    menu.actions()[action].trigger()
    menu.close()


def says(world: World, view: MonitorView, words: str) -> None:
    def told() -> bool:
        return words in "\n".join(label.text() for label in view.findChildren(QLabel) if label.isVisible())

    world.qtbot.waitUntil(told)


def shows(world: World, ask: Callable[[], bool]) -> None:
    world.qtbot.waitUntil(ask)


def test_without_a_model_it_shows_what_the_machine_has(world: World) -> None:
    view = opened(world, make_gpu(), make_cpu())
    world.engine.emit(ModelUnloaded(PATH))

    says(world, view, "No model is loaded.")
    assert view.badge.text() == "No model"
    assert list(cards(view)) == ["RTX 3060", "Memory of this machine"]
    assert segments(cards(view)["RTX 3060"]) == ["Other programs: 2.0 GB"]


def test_a_machine_without_a_gpu_has_one_bar(world: World) -> None:
    view = opened(world, make_cpu())

    assert list(cards(view)) == ["Memory of this machine"]


def test_a_loaded_model_is_shown_part_by_part(world: World, view: MonitorView) -> None:
    load(world)

    shows(world, lambda: "weights 5.0 GB" in cards(view)["RTX 3060"].legend.text())
    gpu = cards(view)["RTX 3060"]
    assert [words.split(":")[0] for words in segments(gpu)] == [
        "Weights",
        "For conversations",
        "Room to compute in",
        "Other programs",
    ]
    assert gpu.caption.text() == "9.5 of 12 GB · model 7.5 GB, planned 7.5 GB"
    assert "mapped from the file" in segments(cards(view)["Memory of this machine"])[0]
    assert view.badge.text().startswith("Everything as planned")


def test_a_plan_that_was_wrong_is_told(world: World, view: MonitorView) -> None:
    planned = PlannedShare("CUDA0", 4 * GB, 2 * GB, GB // 2)
    load(world, Receipt(ON_GPU.buffers, (DeviceUse("CUDA0", 12 * GB, 10 * GB, 2 * GB + GB // 2, planned),)))

    shows(world, lambda: view.badge.text() == "Off the plan by 1.0 GB")
    assert "1.0 GB more than the 6.5 GB planned" in view.badge.toolTip()


def test_conversations_have_their_part_of_the_cells(world: World) -> None:
    first = world.say("Rayleigh scattering").conversation.id
    second = world.say("Trip to Lofoten").conversation.id
    view = opened(world, make_gpu(), make_cpu())
    load(world)
    world.engine.emit(CacheChanged((kept(str(first), GB // 2, is_pinned=True), kept(str(second), GB // 4)), usage()))

    shows(world, lambda: any(s.startswith("Rayleigh scattering: 500 MB") for s in segments(cards(view)["RTX 3060"])))
    told = segments(cards(view)["RTX 3060"])
    assert told[1].endswith("ready, kept ready")
    assert told[2].startswith("Trip to Lofoten: 250 MB")
    assert told[3] == "Requests of no conversation: 250 MB"
    assert told[4] == "Free for conversations: 1.0 GB"
    rows = view.remembered.list.remembered
    assert [rows.index(row).data() for row in range(rows.rowCount())] == ["Rayleigh scattering", "Trip to Lofoten"]


def test_what_is_shared_is_not_drawn_twice(world: World, view: MonitorView) -> None:
    load(world)
    world.engine.emit(CacheChanged((kept("one", GB), kept("two", GB)), usage()))

    bar = cards(view)["RTX 3060"].bar
    shows(world, lambda: len(segments(cards(view)["RTX 3060"])) == 6)
    parts = [bar.part_at(bar.width() * at / 1000) for at in range(1000)]
    share = sum(part is not None and part.key in ("one", "two") for part in parts) / 1000
    assert share == pytest.approx(1 / 12, abs=0.01)


def test_a_part_can_be_pinned_and_forgotten_with_keys_alone(world: World, view: MonitorView) -> None:
    load(world)
    world.engine.emit(CacheChanged((kept("client-7", GB),), usage()))
    shows(world, lambda: len(segments(cards(view)["RTX 3060"])) == 5)
    with world.qtbot.waitActive(world.window):
        world.window.activateWindow()
    first = next(b for b in cards(view)["RTX 3060"].bar.findChildren(QAbstractButton) if b.x() == 0)
    first.setFocus()

    world.press(first, Qt.Key.Key_Right)
    focused = world.window.focusWidget()
    assert focused is not None
    assert focused.accessibleName().startswith("API: client-7")
    world.press(focused, Qt.Key.Key_Return)
    menu = view.findChild(RememberedMenu)
    world.press(menu, Qt.Key.Key_Down)
    world.press(menu, Qt.Key.Key_Return)
    assert world.engine.pins == [("client-7", True)]

    choose(view, "client-7", 1)
    assert world.engine.drops == ["client-7"]


def test_a_conversation_of_the_window_is_pinned_for_good(world: World) -> None:
    mine = world.say("Keep me").conversation.id
    view = opened(world, make_gpu(), make_cpu())
    load(world)
    world.engine.emit(CacheChanged((kept(str(mine), GB),), usage()))
    shows(world, lambda: view.remembered.list.remembered.rowCount() == 1)

    choose(view, str(mine), 0)

    assert world.settings.current.pinned_conversations == (mine,)
    world.press(view.remembered.list, Qt.Key.Key_Down)
    world.press(view.remembered.list, Qt.Key.Key_Delete)
    assert world.engine.drops == [str(mine)]


def test_what_others_take_meanwhile_is_seen(world: World, view: MonitorView) -> None:
    load(world)
    world.engine.emit(DevicesRead((DeviceMemory(0, "CUDA0", 12 * GB, GB),), (7 * GB + GB // 2,)))

    shows(world, lambda: "Other programs: 3.5 GB" in segments(cards(view)["RTX 3060"]))


@pytest.mark.parametrize(
    ("event", "badge", "words"),
    [
        (ModelLoading(PATH, 0.43), "Loading 43%", ""),
        (LoadFailed(PATH, ErrorInfo("ModelFileError", "It ends too early.", "")), "Not loaded", "It ends too early."),
        (EngineFailed(PATH, DEATH, False), "The model stopped", "Load the model again."),
        (PlanReduced(PATH, "4 layers moved to the processor."), "Loading 0%", "4 layers moved to the processor."),
    ],
)
def test_every_state_has_its_words(world: World, view: MonitorView, event: object, badge: str, words: str) -> None:
    world.engine.emit(event)  # type: ignore[arg-type]

    shows(world, lambda: view.badge.text() == badge)
    says(world, view, words)


def test_speeds_are_known_also_of_the_time_before_it_was_opened(world: World) -> None:
    world.start()
    world.say("Anything")
    world.press(world.window, Qt.Key.Key_3, CTRL)
    world.settle()
    view = world.window.findChild(MonitorView)

    assert view.speed.row(Work.WRITING).figure.text() in ("nothing yet", "idle")


def test_nothing_is_done_while_it_cannot_be_seen(world: World, view: MonitorView) -> None:
    load(world)
    shows(world, lambda: "weights" in cards(view)["RTX 3060"].legend.text())
    world.press(world.window, Qt.Key.Key_1, CTRL)
    caption = view.findChildren(DeviceCard)[0].caption.text()

    world.engine.emit(DevicesRead((DeviceMemory(0, "CUDA0", 12 * GB, GB),), (7 * GB,)))
    world.qtbot.wait(250)

    assert view.findChildren(DeviceCard)[0].caption.text() == caption


def test_everything_that_takes_the_focus_has_a_name(world: World, view: MonitorView) -> None:
    load(world)
    world.engine.emit(CacheChanged((kept("one", GB), kept("two", GB)), usage()))
    shows(world, lambda: view.remembered.list.remembered.rowCount() == 2)

    assert unnamed(world.window) == []
    assert without_tab(world.window) == []


def test_two_devices_of_one_kind_are_told_apart(make_world: Callable[..., World]) -> None:
    world = make_world(make_entry())
    view = opened(world, make_gpu(), make_gpu(name="CUDA1"), make_cpu())

    assert list(cards(view)) == ["RTX 3060 (CUDA0)", "RTX 3060 (CUDA1)", "Memory of this machine"]
    assert all(isinstance(card.bar, MemoryBar) for card in cards(view).values())
    assert isinstance(world.machine, FakeMachine)
