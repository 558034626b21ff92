"""What a load does to the devices' free memory."""

from __future__ import annotations

from collections.abc import Sequence

from engine.backend.ggml import Handle
from engine.receipt import BufferUse, DeviceMemory, DeviceUse, PlannedShare, Receipt


class MemoryWatch:
    """Remembers what was free before the load. Thread: one, but for :meth:`read`, which any may call."""

    def __init__(self, handles: Sequence[Handle], planned: Sequence[PlannedShare]) -> None:
        """Wakes the devices up, so that what their drivers take for themselves is gone already."""
        self._handles = handles
        self._planned = {share.device: share for share in planned}
        self._before = self.read()

    def read(self) -> tuple[DeviceMemory, ...]:
        """What is free now."""
        return tuple(read_memory(handle) for handle in self._handles)

    def receipt(self, buffers: tuple[BufferUse, ...]) -> Receipt:
        uses = (
            DeviceUse(now.name, now.total_bytes, before.free_bytes, now.free_bytes, self._planned.get(now.name))
            for before, now in zip(self._before, self.read(), strict=True)
        )
        return Receipt(buffers, tuple(uses))


def read_memory(handle: Handle) -> DeviceMemory:
    free_bytes, total_bytes = handle.memory()
    return DeviceMemory(handle.index, handle.name, total_bytes, free_bytes)
