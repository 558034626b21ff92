"""How many threads to compute with, while other programs use the same cores.

ggml's threads wait for each other by spinning. On a busy machine one of them is always missing, and the others burn
their cores waiting for it: two threads on two busy cores are slower than one. So the count follows what is free.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import psutil

SAMPLE_S = 0.25
FIRST_LOOK_S = 0.1
"""The first look after a pause, until which all threads are used; much shorter, and the clock's ticks tell nothing."""

STALE_S = 1.0
_TOLERATED_CORES = 0.35
_CALM_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class CpuSample:
    """Seconds of processor time, summed over the cores: of everybody, and of this process alone."""

    at_s: float
    busy_s: float
    own_s: float


def read_cpu(now_s: float) -> CpuSample:
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    return CpuSample(now_s, sum(times[:8]) - idle_s, own.user + own.system)


class ThreadGovernor:
    """Decides the thread count from time to time. Fewer at once, more only after some calm. Thread: one.

    A governor of waiting, not only of counting: on a busy machine one thread was measured to be faster than any number
    with any OMP_WAIT_POLICY or GOMP_SPINCOUNT, and on a quiet one no policy beats the default.
    """

    def __init__(
        self,
        n_most: int,
        now_s: float,
        read: Callable[[float], CpuSample] = read_cpu,
        n_cores: int | None = None,
    ) -> None:
        """Made before the model is loaded, so that the first step already knows how busy the machine is."""
        self._n_most = n_most
        self._n_cores = n_cores or psutil.cpu_count() or n_most
        self._read = read
        self._last = read(now_s)
        self._n_calm = 0
        self._pause_s = SAMPLE_S
        self.n_threads = n_most

    def allow(self, n_most: int) -> None:
        """Another limit from now on."""
        is_curbed = self.n_threads < self._n_most
        self.n_threads = min(self.n_threads, n_most) if is_curbed else n_most
        self._n_most = n_most

    def update(self, now_s: float) -> int:
        """Look again if it is time to; returns how many threads to use from now on.

        What others did while there was nothing to compute says little about now, so a pause begins anew.
        """
        elapsed_s = now_s - self._last.at_s
        if elapsed_s >= STALE_S:
            self._last, self._pause_s = self._read(now_s), FIRST_LOOK_S
            self.n_threads, self._n_calm = self._n_most, 0
        elif elapsed_s >= self._pause_s:
            sample = self._read(now_s)
            self._decide(self._wanted(self._last, sample))
            self._last, self._pause_s = sample, SAMPLE_S
        return self.n_threads

    def _wanted(self, before: CpuSample, after: CpuSample) -> int:
        elapsed_s = after.at_s - before.at_s
        others = ((after.busy_s - before.busy_s) - (after.own_s - before.own_s)) / elapsed_s
        n_taken = max(0, math.ceil(others - _TOLERATED_CORES))
        return max(1, min(self._n_most, self._n_cores - n_taken))

    def _decide(self, n_wanted: int) -> None:
        self._n_calm = self._n_calm + 1 if n_wanted > self.n_threads else 0
        if n_wanted < self.n_threads or self._n_calm >= _CALM_SAMPLES:
            self.n_threads = n_wanted
            self._n_calm = 0
