from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from app.plans import machine as module
from app.plans.machine import DeviceSpeed, LocalMachine
from engine.backend.devices import Device, EngineBuild
from engine.errors import EngineStopped
from engine.plan import DeviceKind

CPU = Device("CPU", "A processor", "cpu", 1, 2, index=1, backend="CPU")
GPU = Device("CUDA0", "A GPU", "gpu", 3, 4, index=0, backend="CUDA")
SPEED = DeviceSpeed(1e12, 1e14, 2e-6, 2e10)


class Engine:
    """The child processes, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *devices: Device) -> None:
        self.devices = devices
        self.speeds = {device.name: SPEED for device in devices}
        self.n_probes = self.n_measurements = 0
        self.now_s = 1000.0
        monkeypatch.setattr(module, "probe_engine", self._probe)
        monkeypatch.setattr(module, "ask_child", self._measure)
        monkeypatch.setattr(module, "host_memory", lambda: (5, 6))
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now_s)

    def _probe(self, environment: dict[str, str]) -> EngineBuild:
        self.n_probes += 1
        return EngineBuild("1", "2", "abc", (), self.devices)

    def _measure(self, *_: object) -> dict[str, DeviceSpeed]:
        self.n_measurements += 1
        return self.speeds


def test_devices_come_with_their_speeds_and_the_machines_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Engine(monkeypatch, GPU, CPU)
    gpu, cpu = LocalMachine(tmp_path / "speeds.json").devices()
    assert (gpu.name, gpu.kind, gpu.free_bytes, gpu.bandwidth_bytes_per_s) == ("CUDA0", DeviceKind.GPU, 3, 1e12)
    assert (cpu.kind, cpu.free_bytes, cpu.total_bytes) == (DeviceKind.CPU, 5, 6)


def test_a_gpu_is_asked_again_when_what_it_said_is_old_and_when_something_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, here = Engine(monkeypatch, GPU, CPU), LocalMachine(tmp_path / "speeds.json")
    here.devices()
    here.devices()
    assert engine.n_probes == 1
    engine.now_s += 60
    here.devices()
    assert engine.n_probes == 2
    here.forget()
    here.devices()
    assert engine.n_probes == 3


def test_a_machine_without_a_gpu_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, here = Engine(monkeypatch, CPU), LocalMachine(tmp_path / "speeds.json")
    here.devices()
    engine.now_s += 600
    here.devices()
    assert engine.n_probes == 1


def test_speeds_are_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, path = Engine(monkeypatch, CPU), tmp_path / "cache" / "speeds.json"
    first = LocalMachine(path).devices()
    assert LocalMachine(path).devices() == first
    assert engine.n_measurements == 1


def test_a_busy_machine_does_not_become_slow_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, path = Engine(monkeypatch, CPU), tmp_path / "speeds.json"
    LocalMachine(path).devices()
    kept = msgspec.json.decode(path.read_bytes(), type=module.KeptSpeeds)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, measured_s=0.0)))
    engine.speeds = {"CPU": msgspec.structs.replace(SPEED, bandwidth_bytes_per_s=1.0)}
    (cpu,) = LocalMachine(path).devices()
    assert engine.n_measurements == 2
    assert cpu.bandwidth_bytes_per_s == 1e12


def test_where_nothing_can_be_measured_there_are_no_speeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Engine(monkeypatch, CPU)

    def fail(*_: object) -> dict[str, DeviceSpeed]:
        raise EngineStopped("It does not start.")

    monkeypatch.setattr(module, "ask_child", fail)
    (cpu,) = LocalMachine(tmp_path / "speeds.json").devices()
    assert cpu.bandwidth_bytes_per_s is None
