"""What conversations may take in RAM and on disk, what they take now, and what happens to one that gets too long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject

from app.services import Services
from engine.events import CacheChanged
from engine.types import ModelInfo, Overflow
from ui.bridge import EngineBridge
from ui.errors import describe
from ui.preferences.view import PreferencesView
from ui.tasks import Operation

_GB = 10**9

OVERFLOWS = (Overflow.ROLL, Overflow.STOP)
"""In the order of the choice on the page."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that makes sense on this machine."""

    ram_bytes: int
    disk_bytes: int


class MemoryControl(QObject):
    """Every change counts at once, also for the model that is loaded."""

    def __init__(self, view: PreferencesView, services: Services, bridge: EngineBridge) -> None:
        super().__init__(view)
        self._card = view.memory
        self._settings = services.settings
        self._engine = services.engine
        self._show_settings()
        self._show_usage(bridge.cache)
        self._show_model(bridge.model)
        bridge.cache_changed.connect(self._show_usage)
        bridge.model_loaded.connect(self._show_model)
        bridge.model_unloaded.connect(lambda _path: self._show_model(None))
        self._card.ram.changed.connect(lambda size_bytes: self._set_budgets(cache_ram_bytes=size_bytes))
        self._card.disk.changed.connect(lambda size_bytes: self._set_budgets(cache_disk_bytes=size_bytes))
        self._card.overflow.chosen.connect(self._choose_overflow)
        folder = services.paths.data
        Operation(lambda: limits_of(folder), owner=self).success(self._set_limits).failure(self._ignore).run(
            services.io.serial("models")
        )

    def _show_settings(self) -> None:
        current = self._settings.current
        self._card.ram.set_value(current.cache_ram_bytes)
        self._card.disk.set_value(current.cache_disk_bytes)
        self._card.overflow.choose(OVERFLOWS.index(current.overflow))

    def _set_limits(self, limits: Limits) -> None:
        self._card.ram.set_limit(limits.ram_bytes)
        self._card.disk.set_limit(limits.disk_bytes)

    def _ignore(self, error: BaseException) -> None:
        """The sliders keep the limits that they have; anything but a refusal by the system is told."""
        if not isinstance(error, OSError):
            raise error
        self._card.disk_use.setText(describe(error).text)

    def _set_budgets(self, **changes: int) -> None:
        settings = self._settings.update(**changes)
        self._engine.set_cache_budgets(settings.cache_ram_bytes, settings.cache_disk_bytes)

    def _choose_overflow(self, index: int) -> None:
        self._settings.update(overflow=OVERFLOWS[index])

    def _show_model(self, info: ModelInfo | None) -> None:
        self._card.show_kept_whole(info is not None and not info.can_cut_cache)

    def _show_usage(self, cache: CacheChanged | None) -> None:
        if cache is None:
            self._card.ram_use.setText("")
            self._card.disk_use.setText("")
            return
        usage = cache.usage
        self._card.ram_use.setText(_use_text(usage.ram_bytes, usage.ram_budget_bytes))
        problem = usage.disk_problem
        used = _use_text(usage.disk_bytes, usage.disk_budget_bytes)
        self._card.disk_use.setText(used if problem is None else problem.text)


def limits_of(folder: Path) -> Limits:
    """Half of the machine's memory, and four fifths of what is free where ``folder`` is. Waits for the disk.

    Raises OSError.
    """
    import psutil

    return Limits(psutil.virtual_memory().total // 2, psutil.disk_usage(str(folder)).free * 4 // 5)


def _use_text(used_bytes: int, budget_bytes: int) -> str:
    """``0.4 of 2 GB in use``"""
    return f"{used_bytes / _GB:.1f} of {budget_bytes / _GB:.4g} GB in use"
