"""The devices of the machine in front of us, read again when it matters, their speeds measured once and kept."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from app.files import write_atomically
from app.plans.receipts import ReceiptBook
from engine.backend.devices import EngineBuild, ask_child, probe_engine
from engine.backend.host import host_memory
from engine.client.process import worker_environment
from engine.errors import EngineStopped
from engine.plan import Corrections, Device, DeviceKind

_logger = logging.getLogger(__name__)

SPEEDS_FILE_NAME = "speeds.json"
_SPEEDS_MODULE = "engine.backend.speeds"
_SPEEDS_TIMEOUT_S = 60.0
_STALE_AFTER_S = 20.0
_MEASURED_AGAIN_AFTER_S = 24 * 3600.0
_KINDS = {
    "cpu": DeviceKind.CPU,
    "gpu": DeviceKind.GPU,
    "integrated_gpu": DeviceKind.INTEGRATED,
    "accelerator": DeviceKind.ACCELERATOR,
}


class Machine(Protocol):
    """Thread: any. Methods may block, on a child process."""

    def devices(self) -> tuple[Device, ...]:
        """As they are now, a CPU among them. Raises EngineStopped where the engine does not start."""

    def forget(self) -> None:
        """What devices have free is read anew with the next call."""

    def corrections(self, path: str) -> Corrections:
        """What receipts taught of a model file, or of any where this one was not loaded yet."""


class DeviceSpeed(msgspec.Struct, frozen=True):
    """As ``engine.backend.speeds`` prints it."""

    bandwidth_bytes_per_s: float
    matmul_flops: float
    op_latency_s: float
    upload_bytes_per_s: float | None = None


class KeptSpeeds(msgspec.Struct, frozen=True):
    """``build`` names machine and engine that were measured: others are measured anew. ``measured_s`` is Unix time."""

    build: str
    speeds: dict[str, DeviceSpeed]
    measured_s: float = 0.0


class LocalMachine:
    """Thread: any. The first call asks a child process, for about a second; later ones when what it told is old."""

    def __init__(self, speeds_file: Path, receipts: ReceiptBook | None = None) -> None:
        """Without ``receipts`` nothing is learned from earlier loads."""
        self._speeds_file = speeds_file
        self._receipts = receipts
        self._lock = threading.Lock()
        self._read_at_s = float("-inf")
        self._build: EngineBuild | None = None
        self._speeds: dict[str, DeviceSpeed] | None = None

    def devices(self) -> tuple[Device, ...]:
        with self._lock:
            if time.monotonic() - self._read_at_s > _STALE_AFTER_S and self._needs_child:
                self._build = probe_engine(worker_environment(os.environ))
                self._read_at_s = time.monotonic()
            build = self._build
            if build is None:
                raise EngineStopped("The engine did not tell its devices.", "Run ./run doctor to see why.")
            if self._speeds is None:
                self._speeds = self._read_speeds(build)
            return _devices(build, self._speeds)

    def forget(self) -> None:
        """What devices have free is read anew with the next call: a model was loaded, or went."""
        with self._lock:
            self._read_at_s = float("-inf")

    def corrections(self, path: str) -> Corrections:
        return Corrections() if self._receipts is None else self._receipts.corrections(path, self.devices())

    @property
    def _needs_child(self) -> bool:
        """A machine without a GPU has only its memory, which needs no child to be read."""
        return self._build is None or any(device.kind != "cpu" for device in self._build.devices)

    def _read_speeds(self, build: EngineBuild) -> dict[str, DeviceSpeed]:
        names = ",".join(f"{device.name}:{device.description}" for device in build.devices)
        key = f"{build.llama_commit} {names}"
        kept = self._kept_speeds(key)
        if kept is not None and time.time() - kept.measured_s < _MEASURED_AGAIN_AFTER_S:
            return kept.speeds
        measured = _measure()
        speeds = _best(measured, kept.speeds if kept else {})
        if measured:
            self._keep(KeptSpeeds(key, speeds, time.time()))
        return speeds

    def _kept_speeds(self, key: str) -> KeptSpeeds | None:
        try:
            kept = msgspec.json.decode(self._speeds_file.read_bytes(), type=KeptSpeeds)
        except (OSError, msgspec.MsgspecError):  # never measured, or by another version
            return None
        return kept if kept.build == key else None

    def _keep(self, speeds: KeptSpeeds) -> None:
        try:
            self._speeds_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._speeds_file, msgspec.json.encode(speeds))
        except OSError as error:
            _logger.info("speeds are not kept: %s", error)


def _measure() -> dict[str, DeviceSpeed]:
    environment = worker_environment(os.environ)
    try:
        return ask_child(_SPEEDS_MODULE, (), environment, dict[str, DeviceSpeed], _SPEEDS_TIMEOUT_S)
    except EngineStopped as error:
        _logger.info("devices are not measured: %s", error)
        return {}


def _best(new: dict[str, DeviceSpeed], old: dict[str, DeviceSpeed]) -> dict[str, DeviceSpeed]:
    """A device that was busy when it was measured is not as slow as that."""
    best = dict(old)
    for name, speed in new.items():
        if name not in old or speed.bandwidth_bytes_per_s > old[name].bandwidth_bytes_per_s:
            best[name] = speed
    return best


def _devices(build: EngineBuild, speeds: dict[str, DeviceSpeed]) -> tuple[Device, ...]:
    devices = []
    for found in build.devices:
        kind = _KINDS.get(found.kind)
        if kind is None:
            continue
        free_bytes, total_bytes = host_memory() if kind is DeviceKind.CPU else (found.free_bytes, found.total_bytes)
        device = Device(found.index, found.name, found.description, found.backend, kind, total_bytes, free_bytes)
        speed = speeds.get(found.name)
        devices.append(device if speed is None else replace(device, **msgspec.structs.asdict(speed)))
    return tuple(devices)
