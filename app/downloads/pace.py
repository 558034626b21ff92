"""How fast: a limit for all downloads together, and the speed that is shown. Thread: any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_S = 0.25
_SMOOTHED_S = 4.0


class Limiter:
    """A bucket that fills with the allowed speed, and holds a quarter of a second of it."""

    def __init__(self, bytes_per_s: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bytes_per_s = bytes_per_s
        self._available = 0.0
        self._at_s = clock()

    def set_speed(self, bytes_per_s: int | None) -> None:
        with self._lock:
            self._bytes_per_s = bytes_per_s
            self._available = 0.0
            self._at_s = self._clock()

    @property
    def chunk_bytes(self) -> int | None:
        """How much to read at a time, so that the limit holds evenly; None without a limit."""
        speed = self._bytes_per_s
        return max(1024, int(speed * _BURST_S / 4)) if speed is not None else None

    def spend(self, n_bytes: int) -> float:
        """Account for what was read; returns for how many seconds to read no more."""
        with self._lock:
            speed = self._bytes_per_s
            if speed is None:
                return 0.0
            now = self._clock()
            self._available = min(self._available + (now - self._at_s) * speed, speed * _BURST_S) - n_bytes
            self._at_s = now
            return max(0.0, -self._available / speed)


class Speed:
    """Bytes per second, smoothed over some seconds, so that the time left does not jump."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at_s: float | None = None
        self._n_bytes = 0
        self._speed = 0.0
        self._weight = 0.0

    def note(self, n_bytes: int) -> float:
        """``n_bytes`` are here in all. Returns the speed."""
        now = self._clock()
        if self._at_s is None or n_bytes < self._n_bytes:
            self._at_s, self._n_bytes = now, n_bytes
            return self._speed
        passed = now - self._at_s
        if passed < 0.05:
            return self._speed
        share = min(1.0, passed / _SMOOTHED_S)
        momentary = (n_bytes - self._n_bytes) / passed
        # As an average of what there is so far; a plain exponential one would begin near zero.
        self._weight = self._weight * (1 - share) + share
        self._speed += (momentary - self._speed) * share / self._weight
        self._at_s, self._n_bytes = now, n_bytes
        return self._speed

    def restart(self) -> None:
        self._at_s, self._n_bytes, self._speed, self._weight = None, 0, 0.0, 0.0
