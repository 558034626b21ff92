"""What earlier loads really took, kept so that the next plan is nearer to it."""

from __future__ import annotations

import logging
import statistics
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.files import write_atomically
from engine.events import Event, ModelLoaded
from engine.plan import Corrections, Device
from engine.receipt import Receipt

RECEIPTS_FILE_NAME = "receipts.json"
_logger = logging.getLogger(__name__)

_MOST_LOADS, _MOST_SPEEDS, _MOST_MODELS = 7, 5, 200
_MOST_OTHER_BYTES = 2 << 30
"""More than that was another program's doing."""
_FACTOR_RANGE = (0.2, 5.0)


class _Kept(msgspec.Struct):
    """``others``: by device, what the last loads took beyond their buffers. ``factors``: by model file, measured by
    predicted tokens per second of the last answers."""

    others: dict[str, list[int]] = {}
    factors: dict[str, list[float]] = {}


class ReceiptBook:
    """Thread: any; learning writes a file. A disk that refuses costs what was learned, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept = _read(path)

    def on_event(self, event: Event) -> None:
        """For ``EngineClient.subscribe``."""
        if isinstance(event, ModelLoaded) and event.receipt is not None:
            self.learn(event.receipt)

    def learn(self, receipt: Receipt) -> None:
        """A load is done. Devices that nothing was put on teach nothing."""
        taken = {
            use.device: receipt.other_bytes(use) for use in receipt.devices if receipt.measured_bytes(use.device) > 0
        }
        with self._lock:
            for device, n_bytes in taken.items():
                if n_bytes <= _MOST_OTHER_BYTES:
                    loads = self._kept.others.setdefault(device, [])
                    loads.append(n_bytes)
                    del loads[:-_MOST_LOADS]
            self._write()

    def learn_speed(self, path: str, predicted: float, measured: float) -> None:
        """Of an answer: tokens per second. ``predicted`` is what a plan said, with the factor that it was given."""
        with self._lock:
            before = self._factor(path)
            low, high = _FACTOR_RANGE
            factors = self._kept.factors.pop(path, [])
            factors.append(min(high, max(low, before * measured / predicted)))
            self._kept.factors[path] = factors[-_MOST_SPEEDS:]
            while len(self._kept.factors) > _MOST_MODELS:
                del self._kept.factors[next(iter(self._kept.factors))]
            self._write()

    def corrections(self, path: str, devices: Sequence[Device]) -> Corrections:
        """The middle of what was measured: one load beside another program must not spoil all later ones."""
        with self._lock:
            others = {
                device.index: int(statistics.median(self._kept.others[device.name]))
                for device in devices
                if device.is_gpu and self._kept.others.get(device.name)
            }
            return Corrections(other_bytes=others, decode_factor=self._factor(path))

    def _factor(self, path: str) -> float:
        factors = self._kept.factors.get(path)
        return statistics.median(factors) if factors else 1.0

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, msgspec.json.encode(self._kept))
        except OSError as error:
            _logger.info("receipts are not kept: %s", error)


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept()
    except (OSError, msgspec.MsgspecError) as error:
        _logger.info("receipts begin anew: %s", error)
        return _Kept()
