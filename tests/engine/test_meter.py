from __future__ import annotations

from engine.receipt import BufferKind, BufferUse, DeviceMemory, Receipt
from engine.worker.meter import NOTICEABLE_BYTES, MemoryMeter

RECEIPT = Receipt(
    (BufferUse("CUDA0", "CUDA0", BufferKind.WEIGHTS, 700), BufferUse("CUDA0", "CUDA0", BufferKind.KV, 30))
)


class World:
    def __init__(self) -> None:
        self.free_bytes = 1 << 30
        self.meter = MemoryMeter(self.read, RECEIPT)

    def read(self) -> tuple[DeviceMemory, ...]:
        return (DeviceMemory(0, "CUDA0", 1 << 31, self.free_bytes), DeviceMemory(1, "CPU", 1 << 31, 5))


def test_what_devices_have_left_is_told_with_what_is_our_own() -> None:
    world = World()
    told = world.meter.read()
    assert told is not None
    assert told.devices == world.read()
    assert told.own_bytes == (730, 0)


def test_nothing_is_told_twice_or_of_little_changes() -> None:
    world = World()
    world.meter.read()
    world.free_bytes -= NOTICEABLE_BYTES - 1
    assert world.meter.read() is None
    world.free_bytes -= 1
    assert world.meter.read() is not None
    assert world.meter.read() is None
