"""A machine whose devices a test chooses, and a planner for models that have no files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from app.library import ModelEntry
from app.plans import Planner
from engine.gguf import GgufHeader, read_header
from engine.plan import Corrections, Device, DeviceKind, ModelShape
from tests.doubles.geometries import write_geometry

GB = 10**9


def make_cpu(free_bytes: int = 24 * GB, total_bytes: int = 32 * GB) -> Device:
    return Device(1, "CPU", "A processor", "CPU", DeviceKind.CPU, total_bytes, free_bytes, 40e9, 1e12)


def make_gpu(free_bytes: int = 10 * GB, total_bytes: int = 12 * GB, name: str = "CUDA0") -> Device:
    return Device(0, name, "RTX 3060", "CUDA", DeviceKind.GPU, total_bytes, free_bytes, 300e9, 2e13, 1e-6, 1e10)


class FakeMachine:
    def __init__(self, *devices: Device) -> None:
        self.known = devices or (make_cpu(),)

    def devices(self) -> tuple[Device, ...]:
        return self.known

    def forget(self) -> None:
        pass

    def corrections(self, fingerprint: str) -> Corrections:
        return Corrections()


class FakePlanner(Planner):
    """All models have the shape of one well-known model, whose name is in ``geometry``."""

    def __init__(self, machine: FakeMachine, geometry: str = "llama-8b") -> None:
        super().__init__(machine)
        self.geometry = geometry

    def shape_of(self, model: ModelEntry | Path | GgufHeader | Sequence[GgufHeader]) -> ModelShape:
        return shape_of_geometry(self.geometry)


@cache
def shape_of_geometry(name: str) -> ModelShape:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_geometry(path, name)
        return ModelShape.of(read_header(path))
