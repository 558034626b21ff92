"""Decides what the load sheet does: a plan for every change of the wishes, and loading with them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from app.library import ModelEntry
from app.plans import Planner
from app.settings import LoadWishes, SettingsStore
from engine.plan import Device, KvType, MemoryPlan, ModelShape, Wishes
from ui.bridge import EngineBridge
from ui.errors import describe
from ui.plan.sheet import LoadSheet
from ui.plan.words import swap_warning
from ui.tasks import Operation
from ui.widgets.overlay import Sheet

_DELAY_MS = 60
"""One plan for a key that repeats, and still at once for who looks."""


@dataclass(frozen=True, slots=True)
class _Known:
    shape: ModelShape
    devices: tuple[Device, ...]


class LoadControl(QObject):
    """``load_wanted`` carries the model to load, whose wishes are kept in the settings by then."""

    load_wanted = Signal(str)

    def __init__(
        self, host: QWidget, planner: Planner, settings: SettingsStore, bridge: EngineBridge, queue: Executor
    ) -> None:
        super().__init__(host)
        self._host = host
        self._bridge = bridge
        self._planner = planner
        self._settings = settings
        self._queue = queue

    def open(self, entry: ModelEntry) -> None:
        """With the receipt of the load that there is now, if this model is loaded."""
        loaded = self._bridge.model
        receipt = self._bridge.receipt if loaded is not None and loaded.path == str(entry.path) else None
        sheet = LoadSheet(self._host, entry.name, is_loaded=receipt is not None)
        if receipt is not None:
            sheet.show_receipt(receipt)
        planning = _Planning(sheet, self._planner, self._queue, self._kept(entry), entry)
        sheet.confirmed.connect(lambda: self._load(entry, planning.wishes))
        sheet.open()

    def ask_before(self, entry: ModelEntry, go_on: Callable[[], None]) -> None:
        """Load at once what has room; of what would swap or not fit, say so first and let the user decide."""

        def done(warning: str) -> None:
            if warning:
                self._warn(entry, warning, go_on)
            else:
                go_on()

        self.check(entry, done)

    def check(self, entry: ModelEntry, tell: Callable[[str], None]) -> None:
        """Tell in a sentence what speaks against loading this model now; nothing where nothing does."""

        def plan() -> str:
            return swap_warning(entry.name, self._planner.plan_for(entry, wishes_of(self._kept(entry))))

        # What cannot be planned is not warned of: the load itself says what is wrong.
        Operation(plan, owner=self).success(tell).failure(lambda _error: tell("")).run(self._queue)

    def _warn(self, entry: ModelEntry, warning: str, go_on: Callable[[], None]) -> None:
        sheet = Sheet(self._host, f"Not enough memory for {entry.name}", warning)
        sheet.add_button("Load anyway", go_on)
        sheet.add_button("See how", lambda: self.open(entry))
        sheet.add_button("Cancel", kind="primary")
        sheet.open()

    def _kept(self, entry: ModelEntry) -> LoadWishes:
        return self._settings.current.load_wishes.get(entry.id, LoadWishes())

    def _load(self, entry: ModelEntry, wishes: LoadWishes) -> None:
        kept = {name: known for name, known in self._settings.current.load_wishes.items() if name != entry.id}
        if not wishes.is_automatic:
            kept[entry.id] = wishes
        self._settings.update(load_wishes=kept)
        self.load_wanted.emit(entry.id)


class _Planning(QObject):
    """One open sheet. The latest wishes count; a plan for earlier ones that comes late is not shown."""

    def __init__(
        self, sheet: LoadSheet, planner: Planner, queue: Executor, wishes: LoadWishes, entry: ModelEntry
    ) -> None:
        super().__init__(sheet)
        self._sheet = sheet
        self._planner = planner
        self._queue = queue
        self.wishes = wishes
        self._known: _Known | None = None
        self._timer = QTimer(self, singleShot=True, interval=_DELAY_MS)
        self._timer.timeout.connect(self._plan)
        sheet.wished.connect(self._on_wished)
        sheet.closed.connect(self._timer.stop)

        def look() -> _Known:
            return _Known(planner.shape_of(entry), planner.devices())

        Operation(look, owner=self).success(self._on_known).failure(self._on_failed).run(queue)

    def _on_known(self, known: _Known) -> None:
        self._known = known
        self._sheet.fit_choices(known.shape, self.wishes, has_gpu=any(device.is_gpu for device in known.devices))
        self._plan()

    def _on_wished(self) -> None:
        self.wishes = self._sheet.choices.wishes()
        self._timer.start()

    def _plan(self) -> None:
        known, wishes = self._known, self.wishes
        if known is None:
            return

        def plan() -> MemoryPlan:
            return self._planner.plan_for(known.shape, wishes_of(wishes), known.devices)

        def done(plan: MemoryPlan) -> None:
            if wishes == self.wishes:
                self._sheet.show_plan(plan, known.shape)

        Operation(plan, owner=self).success(done).failure(self._on_failed).run(self._queue)

    def _on_failed(self, error: BaseException) -> None:
        self._sheet.show_problem(describe(error))


def wishes_of(kept: LoadWishes) -> Wishes:
    return Wishes(
        n_ctx=kept.n_ctx,
        kv_type=KvType(kept.kv_type) if kept.kv_type is not None else None,
        flash_attention=kept.flash_attention,
        n_gpu_layers=kept.n_gpu_layers,
        experts_on_cpu=kept.experts_on_cpu,
    )
