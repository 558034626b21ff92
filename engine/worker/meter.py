"""What the devices have left while a model is loaded."""

from __future__ import annotations

from collections.abc import Callable

from engine.events import DevicesRead
from engine.receipt import DeviceMemory, Receipt

NOTICEABLE_BYTES = 1 << 20


class MemoryMeter:
    """Thread: one, any."""

    def __init__(self, read: Callable[[], tuple[DeviceMemory, ...]], receipt: Receipt) -> None:
        self._read = read
        self._receipt = receipt
        self._told: tuple[DeviceMemory, ...] = ()

    def read(self) -> DevicesRead | None:
        """None where nothing changed that anybody would notice."""
        now = self._read()
        if len(now) == len(self._told) and not any(map(_differ, now, self._told)):
            return None
        self._told = now
        return DevicesRead(now, tuple(self._receipt.measured_bytes(device.name) for device in now))


def _differ(now: DeviceMemory, before: DeviceMemory) -> bool:
    return abs(now.free_bytes - before.free_bytes) >= NOTICEABLE_BYTES
