"""Which bytes of a file are here, and who fetches which of the others. Pure; thread: under the caller's lock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Bytes as half-open ranges, sorted, none touching another."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def n_bytes(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        at = bisect_right(self._starts, start)
        if at and self._ends[at - 1] >= start:
            at -= 1
            start = self._starts[at]
        last = at
        while last < len(self._starts) and self._starts[last] <= end:
            end = max(end, self._ends[last])
            last += 1
        self._starts[at:last] = [start]
        self._ends[at:last] = [end]

    def end_of(self, position: int) -> int:
        """How far the bytes from ``position`` on are here without a gap; ``position`` itself where that one is not."""
        at = bisect_right(self._starts, position) - 1
        return max(position, self._ends[at]) if at >= 0 else position

    def next_start(self, position: int, limit: int) -> int:
        """Where the first range behind ``position`` starts, or ``limit``."""
        at = bisect_right(self._starts, position)
        return min(self._starts[at], limit) if at < len(self._starts) else limit


class Claim:
    """What one connection fetches: from ``position`` on, which moves, to ``end``, which others may lower."""

    __slots__ = ("end", "position")

    def __init__(self, start: int, end: int) -> None:
        self.position = start
        self.end = end


class Board:
    """Hands out pieces in the file's order, so that hashing can follow closely; late ones share what others have."""

    def __init__(self, size_bytes: int, done: RangeSet, piece_bytes: int, least_bytes: int) -> None:
        """A piece of which at least twice ``least_bytes`` are left is shared when nothing else is to be had."""
        self.size_bytes = size_bytes
        self.done = done
        self._piece_bytes = piece_bytes
        self._least_bytes = least_bytes
        self._claims: set[Claim] = set()

    @property
    def is_done(self) -> bool:
        return self.done.end_of(0) >= self.size_bytes

    def claim(self) -> Claim | None:
        """The next piece; None when all are taken."""
        taken = RangeSet((*self.done, *((claim.position, claim.end) for claim in self._claims)))
        start = taken.end_of(0)
        if start < self.size_bytes:
            end = taken.next_start(start, min(start + self._piece_bytes, self.size_bytes))
            return self._take(start, end)
        largest = max(self._claims, key=lambda claim: claim.end - claim.position, default=None)
        if largest is None or largest.end - largest.position < 2 * self._least_bytes:
            return None
        middle = (largest.position + largest.end) // 2
        end, largest.end = largest.end, middle
        return self._take(middle, end)

    def claim_all(self) -> Claim | None:
        """Everything, for a server that gives nothing but everything; its claim begins at 0 whatever is here."""
        return None if self._claims or self.is_done else self._take(0, self.size_bytes)

    def advance(self, claim: Claim, n_bytes: int) -> None:
        """So many bytes of it are on the disk."""
        self.done.add(claim.position, claim.position + n_bytes)
        claim.position += n_bytes

    def release(self, claim: Claim) -> None:
        self._claims.discard(claim)

    def _take(self, start: int, end: int) -> Claim:
        claim = Claim(start, end)
        self._claims.add(claim)
        return claim
