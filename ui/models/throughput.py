"""How fast prompts are read and answers written, over the last minutes.

Counted from the events of requests, so that it costs nothing while nobody looks: no timer, a few additions an event.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

SPAN_S = 120.0
"""What is remembered."""
BUCKET_S = 1.0
N_BUCKETS = round(SPAN_S / BUCKET_S)
N_ANSWERS = 60
"""Of which it is remembered how well they were guessed."""
_LEAST_S = 0.05
"""Less than this between two events says how they travelled, and not how fast anything was."""
_NOW_S = 2.0
"""A speed is of now if something was done within this time."""


class Work(Enum):
    READING = "reading"
    WRITING = "writing"


@dataclass(slots=True)
class _Bucket:
    """Tokens of one stretch of time, and for how long of it any request was at that work."""

    n_tokens: dict[Work, float] = field(default_factory=lambda: dict.fromkeys(Work, 0.0))
    active_s: dict[Work, float] = field(default_factory=lambda: dict.fromkeys(Work, 0.0))

    def speed(self, work: Work) -> float | None:
        active_s = self.active_s[work]
        return self.n_tokens[work] / active_s if active_s > 0 and self.n_tokens[work] else None


@dataclass(slots=True)
class _Running:
    """``n_done`` tokens of its work were counted at ``since_s``."""

    n_prompt: int
    n_done: int
    since_s: float
    work: Work = Work.READING


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens per second of the stretches of time, the oldest first; None where nothing was done."""

    series: tuple[float | None, ...]
    now: float | None
    last: float | None

    @property
    def peak(self) -> float:
        return max((speed for speed in self.series if speed is not None), default=0.0)


@dataclass(slots=True)
class Drafts:
    """How many of the tokens that were guessed ahead held, of the last answers that had any."""

    answers: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=N_ANSWERS))

    def add(self, n_drafted: int, n_accepted: int) -> None:
        if n_drafted:
            self.answers.append((n_drafted, n_accepted))

    @property
    def series(self) -> tuple[float, ...]:
        return tuple(n_accepted / n_drafted for n_drafted, n_accepted in self.answers)

    @property
    def n_drafted(self) -> int:
        return sum(n_drafted for n_drafted, _ in self.answers)

    @property
    def n_accepted(self) -> int:
        return sum(n_accepted for _, n_accepted in self.answers)


class Throughput:
    """Of all requests together: two answers that are written at once are twice as fast. Thread: GUI."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}
        self._running: dict[str, _Running] = {}
        self._at_s = clock()
        self._last: dict[Work, float] = {}
        self._last_s: dict[Work, float] = {}

    def started(self, request_id: str, n_prompt: int, n_cached: int) -> None:
        """Its prompt is read from ``n_cached`` on."""
        self._running[request_id] = _Running(n_prompt, n_cached, self._advance())

    def read(self, request_id: str, n_done: int) -> None:
        running = self._running.get(request_id)
        if running is not None and running.work is Work.READING:
            self._count(running, n_done, self._advance())

    def written(self, request_id: str, n_tokens: int) -> None:
        """``n_tokens`` of its answer so far. The first of them come with the end of the reading."""
        running = self._running.get(request_id)
        if running is None:
            return
        now_s = self._advance()
        if running.work is Work.READING:
            self._count(running, running.n_prompt, now_s)
            running.work, running.n_done, running.since_s = Work.WRITING, n_tokens, now_s
        else:
            self._count(running, n_tokens, now_s)

    def ended(self, request_id: str) -> None:
        self._advance()
        self._running.pop(request_id, None)

    def stop(self) -> None:
        """Whatever ran is over."""
        self._advance()
        self._running.clear()

    def forget(self) -> None:
        """Another model: its speeds have nothing to do with these."""
        self._buckets.clear()
        self._running.clear()
        self._last.clear()
        self._last_s.clear()

    @property
    def is_busy(self) -> bool:
        return bool(self._running)

    def speeds(self, work: Work) -> Speeds:
        now_s = self._clock()
        newest = int(now_s / BUCKET_S)
        numbers = range(newest - N_BUCKETS + 1, newest + 1)
        found = map(self._buckets.get, numbers)
        series = tuple(None if bucket is None else bucket.speed(work) for bucket in found)
        last = self._last.get(work)
        is_now = now_s - self._last_s.get(work, -_NOW_S) < _NOW_S
        return Speeds(series, last if is_now else None, last)

    def _count(self, running: _Running, n_done: int, now_s: float) -> None:
        n_new, begin_s = n_done - running.n_done, running.since_s
        if now_s - begin_s < _LEAST_S:
            return  # counted with what comes next
        running.n_done, running.since_s = n_done, now_s
        if n_new > 0:
            self._spread(running.work, n_new, begin_s, now_s)
            self._remember(running.work, now_s)

    def _advance(self) -> float:
        """Count the time since the last event for the works that were going on."""
        now_s = self._clock()
        works = {running.work for running in self._running.values()}
        for number, duration_s in _stretches(self._at_s, now_s):
            for work in works:
                self._bucket(number).active_s[work] += duration_s
        self._at_s = now_s
        return now_s

    def _spread(self, work: Work, n_tokens: int, begin_s: float, end_s: float) -> None:
        """Tokens that came together were made one after the other."""
        whole_s = end_s - begin_s
        for number, duration_s in _stretches(begin_s, end_s):
            self._bucket(number).n_tokens[work] += n_tokens * duration_s / whole_s

    def _remember(self, work: Work, now_s: float) -> None:
        """The speed of now: of this stretch and the one before, so that it does not jump."""
        newest = int(now_s / BUCKET_S)
        near = [self._buckets[n] for n in (newest - 1, newest) if n in self._buckets]
        active_s = sum(bucket.active_s[work] for bucket in near)
        if active_s > 0:
            self._last[work] = sum(bucket.n_tokens[work] for bucket in near) / active_s
            self._last_s[work] = now_s

    def _bucket(self, number: int) -> _Bucket:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
            for old in [n for n in self._buckets if n <= number - N_BUCKETS]:
                del self._buckets[old]
        return bucket


def _stretches(begin_s: float, end_s: float) -> list[tuple[int, float]]:
    """The buckets that a time lies in, and how much of it in each. Times before what is remembered are left out."""
    begin_s = max(begin_s, end_s - SPAN_S)
    stretches = []
    for number in range(int(begin_s / BUCKET_S), int(end_s / BUCKET_S) + 1):
        duration_s = min(end_s, (number + 1) * BUCKET_S) - max(begin_s, number * BUCKET_S)
        if duration_s > 0:
            stretches.append((number, duration_s))
    return stretches
