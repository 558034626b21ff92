"""What a batch costs, by its number of rows: measured once, and corrected by every batch since."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

_ALL_WEIGHT = 0.05
_OWN_WEIGHT = 0.1
_FARTHEST = 2.0
"""One batch is never taken to be further from what was expected: it met something else."""


class CostCurve:
    """Seconds of a batch. The curve is not a line: kernels change with the number of rows.

    What is observed moves the whole curve a little (the machine is busier, the context longer) and its own place more.
    """

    def __init__(self, seconds_by_rows: Mapping[int, float]) -> None:
        if 1 not in seconds_by_rows:
            raise ValueError("a curve begins with a batch of one row")
        self._rows = sorted(seconds_by_rows)
        self._seconds = [seconds_by_rows[n_rows] for n_rows in self._rows]

    def seconds(self, n_rows: int) -> float:
        """Between measured places along a line, beyond them along the last one."""
        if n_rows == 0:
            return 0.0
        if len(self._rows) == 1:
            return self._seconds[0] * n_rows
        right = min(max(bisect_left(self._rows, n_rows), 1), len(self._rows) - 1)
        left = right - 1
        part = (n_rows - self._rows[left]) / (self._rows[right] - self._rows[left])
        return self._seconds[left] + part * (self._seconds[right] - self._seconds[left])

    def observe(self, n_rows: int, seconds: float) -> None:
        expected_s = self.seconds(n_rows)
        ratio = min(max(seconds / expected_s, 1 / _FARTHEST), _FARTHEST)
        nearest = min(range(len(self._rows)), key=lambda place: abs(self._rows[place] - n_rows))
        for place in range(len(self._rows)):
            weight = _ALL_WEIGHT + _OWN_WEIGHT * (place == nearest)
            self._seconds[place] *= 1 + weight * (ratio - 1)
