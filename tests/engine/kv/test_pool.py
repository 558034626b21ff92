"""The accounts of the cell pool against cells that know what is right."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.kv.errors import KvError
from engine.kv.pool import CellPool
from engine.types import SeqId
from tests.doubles.cells import FakeCells
from tests.engine.kv.ledger import text

SEQUENCES = st.integers(0, 3).map(SeqId)


class PoolAgainstCells(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cells = FakeCells(n_cells=60)
        self.pool = CellPool(60, self.cells)
        self.n_computed = 0

    @rule(seq=SEQUENCES, n_tokens=st.integers(1, 12))
    def grow(self, seq: SeqId, n_tokens: int) -> None:
        if n_tokens > self.pool.n_free:
            with pytest.raises(KvError):
                self.pool.grow(seq, n_tokens)
            return
        self.cells.compute(seq, text(self.n_computed, n_tokens))
        self.pool.grow(seq, n_tokens)
        self.n_computed += n_tokens

    @rule(seq=SEQUENCES, n_keep=st.integers(0, 30))
    def trim(self, seq: SeqId, n_keep: int) -> None:
        assert self.pool.trim(seq, n_keep)

    @rule(src=SEQUENCES, dst=SEQUENCES, end=st.integers(1, 30))
    def share(self, src: SeqId, dst: SeqId, end: int) -> None:
        """From the first position on, which is all that a fresh sequence can do."""
        if src != dst and end <= self.pool.length(src):
            self.pool.trim(dst, 0)
            self.pool.share(src, dst, end)

    @rule(src=SEQUENCES, dst=SEQUENCES)
    def move(self, src: SeqId, dst: SeqId) -> None:
        """Copy a whole sequence out and in again."""
        n_tokens = self.pool.length(src)
        if src != dst and 0 < n_tokens <= self.pool.n_free:
            self.pool.trim(dst, 0)
            blob = self.pool.save(src, 0, n_tokens)
            assert blob is not None
            assert self.pool.restore(dst, n_tokens, blob)

    @invariant()
    def agrees(self) -> None:
        self.pool.check()
        assert self.pool.n_used == self.cells.n_used
        for seq in range(4):
            assert self.pool.length(SeqId(seq)) == len(self.cells.tokens(SeqId(seq)))
        assert self.pool.n_held({SeqId(seq): 1000 for seq in range(4)}) == self.pool.n_used


TestPoolAgainstCells = PoolAgainstCells.TestCase
TestPoolAgainstCells.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_is_not_there_cannot_be_shared() -> None:
    pool = CellPool(10, FakeCells(n_cells=10))

    with pytest.raises(KvError, match="cannot share"):
        pool.share(SeqId(0), SeqId(1), 1)


def test_a_part_of_a_shared_beginning_is_held_once() -> None:
    cells = FakeCells(n_cells=20)
    pool = CellPool(20, cells)
    cells.compute(SeqId(0), text(0, 10))
    pool.grow(SeqId(0), 10)
    pool.share(SeqId(0), SeqId(1), 6)

    assert pool.n_held({SeqId(1): 6}) == 6
    assert pool.n_held({SeqId(0): 8, SeqId(1): 6}) == 8
    assert pool.n_held({SeqId(0): 3}) == 3
