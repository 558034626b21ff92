"""Exact accounts of the cell pool: which sequences hold which cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from engine.cells import Blob, Cells
from engine.kv.errors import KvError
from engine.types import SeqId


@dataclass(slots=True, eq=False)
class _Span:
    """Cells of neighbouring positions that the same sequences hold, so one physical copy of them."""

    begin: int
    end: int
    holders: set[SeqId]

    @property
    def n_cells(self) -> int:
        return self.end - self.begin


class CellPool:
    """Does to the cells what it is told and keeps count, so that the two never differ.

    ::

        sequence 0   |---- span {0,1} ----|-- span {0} --|
        sequence 1   |---- span {0,1} ----|---- span {1} ----|
    """

    def __init__(self, n_cells: int, cells: Cells) -> None:
        self.n_cells = n_cells
        self.n_used = 0
        self._cells = cells
        self._spans: defaultdict[SeqId, list[_Span]] = defaultdict(list)

    @property
    def n_free(self) -> int:
        return self.n_cells - self.n_used

    def length(self, seq: SeqId) -> int:
        """Positions that the sequence has."""
        spans = self._spans[seq]
        return spans[-1].end if spans else 0

    def grow(self, seq: SeqId, n_tokens: int) -> None:
        """Tokens were computed at the end of the sequence."""
        if n_tokens > self.n_free:
            raise KvError(f"{n_tokens} tokens were computed where {self.n_free} cells were free")
        self.n_used += n_tokens
        spans, begin = self._spans[seq], self.length(seq)
        if spans and len(spans[-1].holders) == 1:
            spans[-1].end += n_tokens
        elif n_tokens:
            spans.append(_Span(begin, begin + n_tokens, {seq}))

    def share(self, src: SeqId, dst: SeqId, end: int) -> None:
        """``dst`` goes on with the positions of ``src`` up to ``end``."""
        begin = self.length(dst)
        if not begin <= end <= self.length(src):
            raise KvError(f"sequence {dst} ends at {begin} and cannot share {src} up to {end}")
        self._cells.share(src, dst, begin, end)
        self._split(src, begin)
        self._split(src, end)
        for span in self._spans[src]:
            if begin <= span.begin and span.end <= end:
                span.holders.add(dst)
                self._spans[dst].append(span)

    def trim(self, seq: SeqId, n_keep: int) -> bool:
        """False: refused, and the sequence is empty now."""
        is_cut = self._cells.trim(seq, n_keep)
        self._let_go(seq, n_keep if is_cut else 0)
        return is_cut

    def save(self, seq: SeqId, begin: int, end: int) -> Blob | None:
        return self._cells.save(seq, begin, end)

    def restore(self, seq: SeqId, n_tokens: int, blob: Blob) -> bool:
        """Put a saved range at the end of the sequence. False: refused, and nothing changed."""
        begin = self.length(seq)
        if not self._cells.restore(seq, begin, begin + n_tokens, blob):
            return False
        self.grow(seq, n_tokens)
        return True

    def n_held(self, cover: Mapping[SeqId, int]) -> int:
        """Cells among the first so many positions of these sequences, each counted once."""
        reach: dict[_Span, int] = {}
        for seq, n_tokens in cover.items():
            for span in self._spans[seq]:
                if span.begin >= n_tokens:
                    break
                reach[span] = max(reach.get(span, 0), min(span.end, n_tokens))
        return sum(end - span.begin for span, end in reach.items())

    def check(self) -> None:
        """Raises KvError unless every used cell is counted once and held by exactly those who say so."""
        holders: defaultdict[_Span, set[SeqId]] = defaultdict(set)
        for seq, spans in self._spans.items():
            ends = [0, *(span.end for span in spans)]
            if any(span.begin != end or span.n_cells <= 0 for span, end in zip(spans, ends, strict=False)):
                raise KvError(f"the spans of sequence {seq} have a gap")
            for span in spans:
                holders[span].add(seq)
        if any(span.holders != seqs for span, seqs in holders.items()):
            raise KvError("a span and its holders contradict each other")
        n_used = sum(span.n_cells for span in holders)
        if n_used != self.n_used or n_used > self.n_cells:
            raise KvError(f"{n_used} of {self.n_cells} cells are held, {self.n_used} are booked")

    def _let_go(self, seq: SeqId, n_keep: int) -> None:
        self._split(seq, n_keep)
        spans = self._spans[seq]
        while spans and spans[-1].end > n_keep:
            span = spans.pop()
            span.holders.discard(seq)
            if not span.holders:
                self.n_used -= span.n_cells

    def _split(self, seq: SeqId, position: int) -> None:
        """Make ``position`` the border of two spans, for everybody who holds them."""
        span = next((span for span in self._spans[seq] if span.begin < position < span.end), None)
        if span is None:
            return
        rest = _Span(position, span.end, set(span.holders))
        span.end = position
        for holder in span.holders:
            spans = self._spans[holder]
            spans.insert(spans.index(span) + 1, rest)
