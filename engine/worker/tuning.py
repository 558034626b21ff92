"""How many threads a model computes with on this machine when nothing else runs: measured once, and kept.

The default, a thread for each physical core, is right for most. But a small model is sometimes faster with fewer
threads, because they wait for each other after every matrix product, and the second thread of a core often helps to
read a prompt. A choice must be clearly faster than the default to take its place.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import psutil

from engine.worker.kept import Kept

log = logging.getLogger(__name__)

_PREFILL_TOKENS = 32
_BUDGET_S = 0.2
"""What each of the two measurements takes, if every candidate has had its turn by then."""

_LIMIT_S = 1.0
"""Once a measurement took so long, candidates that had no turn are not tried."""

_MOST_TURNS = 20
_BATCHES_A_TURN = 3
_CLEARLY = 0.95

TimeBatch = Callable[[int, int], float]
"""Seconds that a batch of so many tokens takes with so many threads."""


class ThreadCounts(msgspec.Struct, frozen=True):
    """Threads for single tokens, and for several at once."""

    decode: int
    prefill: int

    @property
    def most(self) -> int:
        return max(self.decode, self.prefill)

    def within(self, n_free: int) -> ThreadCounts:
        """As many of them as there are cores free."""
        return ThreadCounts(min(self.decode, n_free), min(self.prefill, n_free))


@dataclass(frozen=True, slots=True)
class Cores:
    """That this process may use. ``logical`` counts the second threads of a core, too."""

    physical: int
    logical: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(max(1, min(logical, psutil.cpu_count(logical=False) or logical)), logical)

    @property
    def default(self) -> ThreadCounts:
        return ThreadCounts(self.physical, self.physical)

    @property
    def for_decode(self) -> tuple[int, ...]:
        """Memory is what limits it, so that half, a quarter or an eighth of many cores may be enough."""
        parts = {self.physical >> halvings for halvings in range(4)} - {0}
        return tuple(sorted(parts | {self.logical}))

    @property
    def for_prefill(self) -> tuple[int, ...]:
        return tuple(sorted({self.physical, self.logical}))


class KeptChoices(Kept[ThreadCounts]):
    def __init__(self, path: Path) -> None:
        super().__init__(path, ThreadCounts)

    def is_sound(self, value: ThreadCounts) -> bool:
        return min(value.decode, value.prefill) >= 1


def measure(cores: Cores, time_batch: TimeBatch) -> ThreadCounts:
    """The fastest numbers of threads. Takes half a second for a small model; for a large one two, or two batches."""
    return ThreadCounts(
        decode=_fastest(cores.physical, cores.for_decode, lambda n_threads: time_batch(1, n_threads)),
        prefill=_fastest(cores.physical, cores.for_prefill, lambda n_threads: time_batch(_PREFILL_TOKENS, n_threads)),
    )


def machine_key(cores: Cores) -> str:
    """Names what the choice depends on besides the model."""
    return f"{_processor()}, {cores.physical} cores, {cores.logical} threads"


def _fastest(default: int, candidates: Sequence[int], seconds_with: Callable[[int], float]) -> int:
    """Take turns, so that a moment's disturbance meets all alike; the shortest time of each counts."""
    if len(candidates) < 2:
        return default
    order = sorted(candidates, key=lambda n_threads: n_threads != default)
    best: dict[int, float] = {}
    spent_s = 0.0
    for _ in range(_MOST_TURNS):
        for n_threads in order:
            if spent_s < _LIMIT_S:
                times = _turn(partial(seconds_with, n_threads), _LIMIT_S / len(order))
                best[n_threads] = min(best.get(n_threads, times[0]), *times)
                spent_s += sum(times)
        if spent_s >= _BUDGET_S:
            break
    fastest = min(best, key=lambda n_threads: best[n_threads])
    log.info("seconds a batch by threads: %s", best)
    return fastest if best[fastest] < _CLEARLY * best[default] else default


def _turn(seconds: Callable[[], float], allowance_s: float) -> list[float]:
    """At least one batch, a few where they are quick: the first one after a change of threads is slow."""
    times = [seconds()]
    while len(times) < _BATCHES_A_TURN and sum(times) + times[-1] < allowance_s:
        times.append(seconds())
    return times


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
