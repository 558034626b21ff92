"""Plans for models by their entries or headers; shapes are read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from app.library import ModelEntry
from app.plans.machine import Machine
from engine.gguf import GgufHeader, read_header
from engine.plan import Corrections, Device, MemoryPlan, ModelShape, Wishes, plan

NO_WISHES = Wishes()
_MOST_SHAPES = 256

_Key = tuple[tuple[str, int, int], ...]


class Planner:
    """Thread: any; every method may block on the disk or on a child process, so the window uses the I/O pool."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lock = threading.Lock()
        self._shapes: OrderedDict[_Key, ModelShape] = OrderedDict()

    def devices(self) -> tuple[Device, ...]:
        """Raises EngineStopped."""
        return self._machine.devices()

    def devices_now(self) -> tuple[Device, ...]:
        """The same, read anew. Raises EngineStopped."""
        self._machine.forget()
        return self._machine.devices()

    def corrections(self, entry: ModelEntry) -> Corrections:
        """What earlier loads taught of a model."""
        return self._machine.corrections(entry.fingerprint)

    def shape_of(self, model: ModelEntry | Path | GgufHeader | Sequence[GgufHeader]) -> ModelShape:
        """Of a model of the library, of a file, or of headers from elsewhere: all parts'. Raises ModelFileError."""
        if isinstance(model, ModelEntry):
            return self._of_files(model.parts or (model.path,))
        if isinstance(model, Path):
            return self._of_files((model,))
        first, *others = (model,) if isinstance(model, GgufHeader) else model
        return ModelShape.of(first, *others)

    def plan_for(
        self,
        model: ModelEntry | Path | GgufHeader | Sequence[GgufHeader] | ModelShape,
        wishes: Wishes = NO_WISHES,
        devices: Sequence[Device] | None = None,
    ) -> MemoryPlan:
        """As it would be loaded now, or on other ``devices``. Raises ModelFileError and EngineStopped."""
        shape = model if isinstance(model, ModelShape) else self.shape_of(model)
        path = str(model.path) if isinstance(model, ModelEntry) else str(model) if isinstance(model, Path) else ""
        here = self._machine.devices() if devices is None else tuple(devices)
        return plan(shape, here, wishes, self._machine.corrections(path))

    def _of_files(self, paths: Sequence[Path]) -> ModelShape:
        key = tuple(map(_identity, paths))
        with self._lock:
            known = self._shapes.get(key)
            if known is not None:
                self._shapes.move_to_end(key)
                return known
        first, *others = map(read_header, paths)
        shape = ModelShape.of(first, *others)
        with self._lock:
            self._shapes[key] = shape
            while len(self._shapes) > _MOST_SHAPES:
                self._shapes.popitem(last=False)
        return shape


def _identity(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:  # reading its header has the words for that
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns
