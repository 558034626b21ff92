from __future__ import annotations

import pytest

from engine.backend import speeds
from engine.backend.ggml import DeviceKind, handles


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "WIDTH", 256)
    monkeypatch.setattr(speeds, "_BUDGET_S", 0.0)


@pytest.mark.usefixtures("quick")
def test_the_processor_is_measured() -> None:
    cpu = next(handle for handle in handles() if handle.kind is DeviceKind.CPU)
    speed = speeds.measure(cpu, n_threads=1)
    assert speed is not None
    assert min(speed.bandwidth_bytes_per_s, speed.matmul_flops, speed.op_latency_s) > 0
    assert speed.upload_bytes_per_s is None


def test_a_device_that_is_nearly_full_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "_MIN_FREE_BYTES", 1 << 60)
    assert speeds.measure(handles()[0], n_threads=1) is None
