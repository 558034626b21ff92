"""Decides what the monitor shows: ten times a second while it can be seen, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from PySide6.QtCore import QObject, QPoint, QTimer

from app.remote import RemoteModel
from app.services import Services
from engine.events import CacheChanged
from engine.plan.types import CPU_DEVICE, Device
from engine.reuse import ConversationCache
from ui.bridge import EngineBridge
from ui.errors import describe
from ui.models.remembered import RememberedRow
from ui.monitor.history import History, ModelPhase, Phase
from ui.monitor.remembered import RememberedMenu
from ui.monitor.view import MonitorView
from ui.plan.memory_map import (
    DeviceMap,
    DeviceState,
    Loaded,
    Remembered,
    loaded_of,
    map_device,
    title_of,
    verdict_of,
    with_plan,
)
from ui.tasks import Operation
from ui.widgets.banner import BannerText, details_action

REFRESH_INTERVAL_MS = 100
RAM_INTERVAL_TICKS = 10
"""How often the machine's memory is read, which no event tells of."""

FIGURES_INTERVAL_TICKS = 3

_PROBLEM = "problem"


class MonitorPage(QObject):
    """What waits for the disk, or for devices, is done on ``queue``."""

    def __init__(
        self, view: MonitorView, services: Services, bridge: EngineBridge, history: History, queue: Executor
    ) -> None:
        super().__init__(view)
        self._view = view
        self._services = services
        self._bridge = bridge
        self._history = history
        self._queue = queue
        self._known: dict[str, DeviceState] = {}
        self._titles: dict[str, str] = {}
        self._is_asking_titles = False
        self._n_ticks = 0
        self._is_stale = True
        self._shown_cache: tuple[CacheChanged | None, dict[str, str]] = (None, {})
        self._timer = QTimer(self, interval=REFRESH_INTERVAL_MS)
        self._timer.timeout.connect(self.refresh)
        self._connect()

    def refresh(self) -> None:
        """Cheap where nothing has changed."""
        if self._n_ticks % RAM_INTERVAL_TICKS == 0:
            self._read_ram()
        has_figures = self._n_ticks % FIGURES_INTERVAL_TICKS == 0
        self._n_ticks += 1
        self._view.speed.show_throughput(self._history.throughput, with_figures=has_figures)
        if has_figures:
            self._view.speed.show_drafts(self._history.drafts)
        if self._is_stale:
            self._is_stale = False
            self._show_state()
            self._show_devices()
            if self._shown_cache != (self._bridge.cache, self._titles):
                self._shown_cache = (self._bridge.cache, self._titles)
                self._show_remembered()
            self._say_what_is_remembered()

    def _connect(self) -> None:
        bridge, view = self._bridge, self._view
        view.shown.connect(self._on_shown)
        view.segment_chosen.connect(self._open_menu)
        view.remembered.list.menu_wanted.connect(self._open_menu)
        view.remembered.list.forget_wanted.connect(self._forget)
        for signal in (bridge.cache_changed, bridge.devices_read, self._history.changed):
            signal.connect(self._mark)

    def _mark(self, *_what: object) -> None:
        self._is_stale = True

    def _on_shown(self, is_shown: bool) -> None:
        if not is_shown:
            self._timer.stop()
            return
        self._n_ticks, self._is_stale = 0, True
        self._ask_titles()
        Operation(self._services.planner.devices, owner=self).success(self._on_devices).failure(self._show_error).run(
            self._queue
        )
        self.refresh()
        self._timer.start()

    def _on_devices(self, devices: Sequence[Device]) -> None:
        shown = [device for device in devices if device.is_gpu or device.name == CPU_DEVICE]
        titles = [device.description for device in shown]
        for device in shown:
            title = device.description or device.name
            if titles.count(title) > 1:
                title = f"{title} ({device.name})"
            self._know(DeviceState(device.name, title, device.total_bytes, device.free_bytes))
        self._is_stale = True

    def _know(self, device: DeviceState) -> None:
        if device.is_cpu:
            device = replace(device, title="Memory of this machine")
        if self._known.get(device.name) != device:
            self._known[device.name] = device
            self._is_stale = True

    def _read_ram(self) -> None:
        import psutil

        memory = psutil.virtual_memory()
        self._know(DeviceState(CPU_DEVICE, "", memory.total, memory.available))

    def _show_state(self) -> None:
        phase = self._history.phase
        remote = self._remote()
        self._view.show_model(self._model_name(phase))
        self._view.how.setVisible(remote is None and phase.phase is not Phase.NONE)
        if remote is not None:
            self._view.badge.show_badge("Runs on a server", "dim")
            self._view.say(f"{remote.server.name} runs this model. What it takes there is not told.")
            return
        words, tone, explanation = self._badge(phase)
        self._view.badge.show_badge(words, tone, explanation)
        self._view.say(_note(phase))

    def _badge(self, phase: ModelPhase) -> tuple[str, str, str]:
        match phase.phase:
            case Phase.LOADING:
                return f"Loading {phase.progress:.0%}", "dim", ""
            case Phase.FAILED:
                return "Not loaded", "bad", phase.error.text if phase.error is not None else ""
            case Phase.DIED:
                return "The model stopped", "bad", phase.error.text if phase.error is not None else ""
            case Phase.READY:
                receipt = self._bridge.receipt
                verdict = verdict_of(receipt) if receipt is not None else None
                return (
                    (verdict.words, verdict.tone, verdict.explanation) if verdict is not None else ("Loaded", "ok", "")
                )
        return "No model", "dim", ""

    def _show_devices(self) -> None:
        self._take_live_numbers()
        is_faded = self._remote() is not None
        ordered = sorted(self._known.values(), key=lambda device: (device.is_cpu, device.name))
        self._view.show_devices([self._map(device) for device in ordered], is_faded=is_faded)

    def _take_live_numbers(self) -> None:
        event = self._bridge.devices
        for memory in event.devices if event is not None else ():
            known = self._known.get(memory.name)
            if memory.name != CPU_DEVICE:
                title = known.title if known is not None else memory.name
                self._known[memory.name] = DeviceState(memory.name, title, memory.total_bytes, memory.free_bytes)

    def _map(self, device: DeviceState) -> DeviceMap:
        receipt = self._bridge.receipt
        if receipt is None:
            return map_device(device, Loaded())
        cache = self._bridge.cache
        remembered = Remembered(cache, self._titles) if cache is not None else None
        use = next((use for use in receipt.devices if use.device == device.name), None)
        if use is not None and not device.is_cpu and self._bridge.devices is None:
            device = replace(device, free_bytes=use.free_after_bytes)  # what is known otherwise is from before the load
        shown = map_device(device, loaded_of(receipt, device.name), remembered)
        return with_plan(shown, use)

    def _show_remembered(self) -> None:
        card = self._view.remembered
        cache = self._bridge.cache
        caches: tuple[ConversationCache, ...] = cache.conversations if cache is not None else ()
        if any(known.id not in self._titles and known.id.isdigit() for known in caches):
            self._ask_titles()
        card.list.remembered.show_rows([RememberedRow.of(known, title_of(known.id, self._titles)) for known in caches])
        card.summary.setText(card.list.remembered.summary)

    def _say_what_is_remembered(self) -> None:
        card = self._view.remembered
        if self._remote() is not None:
            card.say("What is remembered of conversations is kept by the server.")
        else:
            card.say("Nothing was read yet." if self._bridge.model is not None else "No model is loaded.")

    def _ask_titles(self) -> None:
        """The list of conversations lies on the disk."""
        if self._is_asking_titles:
            return
        self._is_asking_titles = True
        Operation(self._services.chats.conversations, owner=self).success(self._on_titles).failure(
            self._on_no_titles
        ).run(self._queue)

    def _on_titles(self, conversations: Sequence[object]) -> None:
        self._is_asking_titles = False
        titles = {str(known.id): known.title for known in conversations}  # type: ignore[attr-defined]
        caches = self._bridge.cache.conversations if self._bridge.cache is not None else ()
        gone = {known.id: "A deleted conversation" for known in caches if known.id.isdigit() and known.id not in titles}
        self._titles = titles | gone
        self._is_stale = True

    def _on_no_titles(self, error: BaseException) -> None:
        self._is_asking_titles = False
        self._show_error(error)

    def _open_menu(self, conversation: str, at: QPoint) -> None:
        row = self._view.remembered.list.remembered.find(conversation)
        if row is None:
            return
        menu = RememberedMenu(self._view, row, can_pin=self._remote() is None)
        menu.pin_wanted.connect(lambda is_pinned: self._pin(conversation, is_pinned))
        menu.forget_wanted.connect(lambda: self._forget(conversation))
        menu.popup(at)

    def _pin(self, conversation: str, is_pinned: bool) -> None:
        if conversation.isdigit():
            self._services.chats.pin(int(conversation), is_pinned)
        else:
            self._services.engine.pin(conversation, is_pinned)

    def _forget(self, conversation: str) -> None:
        if conversation.isdigit():
            self._services.chats.forget(int(conversation))
        else:
            self._services.engine.drop(conversation)

    def _model_name(self, phase: ModelPhase) -> str:
        model = self._services.session.model
        return model.name if model is not None and phase.phase is not Phase.NONE else ""

    def _remote(self) -> RemoteModel | None:
        model = self._services.session.model
        return model if isinstance(model, RemoteModel) and self._history.phase.phase is not Phase.NONE else None

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        self._view.banners.show_banner(
            _PROBLEM, BannerText(info.text, info.hint), *details_action(self._view.window(), info)
        )


def _note(phase: ModelPhase) -> str:
    match phase.phase:
        case Phase.NONE:
            return "No model is loaded. What other programs hold is shown all the same."
        case Phase.FAILED | Phase.DIED:
            return phase.error.sentence if phase.error is not None else ""
    return phase.reduced
