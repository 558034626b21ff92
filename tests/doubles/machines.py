"""Machines as values, with rates that make a plan's speed a number."""

from __future__ import annotations

from pathlib import Path

from engine.gguf import read_header
from engine.plan import Corrections, Device, DeviceKind, ModelShape
from tests.doubles.geometries import write_geometry

GIB, MIB = 1 << 30, 1 << 20
CPU_INDEX = 9


def cpu(free_gib: float = 56, total_gib: float = 64) -> Device:
    return Device(
        CPU_INDEX,
        "CPU",
        "A processor",
        "CPU",
        DeviceKind.CPU,
        int(total_gib * GIB),
        int(free_gib * GIB),
        40e9,
        4e11,
        2e-6,
    )


def gpu(free_gib: float, index: int = 0, *, bandwidth: float = 1.0e12, total_gib: float = 80) -> Device:
    return Device(
        index,
        f"CUDA{index}",
        "A GPU",
        "CUDA",
        DeviceKind.GPU,
        int(total_gib * GIB),
        int(free_gib * GIB),
        bandwidth,
        1e14,
        2e-6,
        2e10,
    )


def unified(free_gib: float) -> Device:
    """A GPU whose memory is the machine's."""
    free = int(free_gib * GIB)
    return Device(
        0, "Vulkan0", "An integrated GPU", "Vulkan", DeviceKind.INTEGRATED, free, free, 90e9, 5e12, 6e-6, 2e10
    )


MACHINES = {
    "no GPU": (cpu(),),
    "4 GB": (gpu(4), cpu()),
    "8 GB": (gpu(8), cpu()),
    "12 GB": (gpu(12), cpu()),
    "24 GB": (gpu(24), cpu()),
    "80 GB": (gpu(80), cpu()),
    "8 and 12 GB": (gpu(8), gpu(12, 1, bandwidth=6e11), cpu()),
    "24 GB unified": (unified(20), cpu(20, 24)),
    "8 GB of RAM": (cpu(5, 8),),
}

_shapes: dict[tuple[str, tuple[tuple[str, object], ...]], ModelShape] = {}


def shape_of(folder: Path, name: str, **changes: object) -> ModelShape:
    """The shape of a geometry. Written and read once in a test run."""
    key = (name, tuple(sorted(changes.items())))
    if key not in _shapes:
        path = write_geometry(folder / f"{name}.gguf", name, **changes)
        _shapes[key] = ModelShape.of(read_header(path))
        path.unlink()
    return _shapes[key]


class FakeMachine:
    """A machine of ``app.plans`` that is what the test says."""

    def __init__(self, *devices: Device, corrections: Corrections | None = None) -> None:
        self.here = devices or (gpu(24), cpu())
        self._corrections = corrections or Corrections()
        self.asked: list[str] = []

    def devices(self) -> tuple[Device, ...]:
        return self.here

    def corrections(self, path: str) -> Corrections:
        self.asked.append(path)
        return self._corrections
