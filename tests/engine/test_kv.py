"""The KV ledger, alone and against a plain model of the cells."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.kv import KvError, KvManager
from engine.step import Trim
from engine.types import RequestId, SeqId, TokenId

A, B = RequestId("a"), RequestId("b")


def ids(*values: int) -> list[TokenId]:
    return [TokenId(value) for value in values]


def kept(manager: KvManager, *values: int) -> None:
    """Run a request that leaves these tokens in the cells."""
    lease = manager.open(A, ids(*values, 99))
    manager.extend(lease.seq_id, lease.n_cached, ids(*values)[lease.n_cached :])
    manager.close(A)


def test_an_empty_cache_reuses_nothing() -> None:
    manager = KvManager(16)

    assert manager.open(A, ids(1, 2, 3)).n_cached == 0
    assert manager.trims() == ()


def test_a_conversation_that_goes_on_reuses_all_of_it() -> None:
    manager = KvManager(16)
    kept(manager, 1, 2, 3)

    assert manager.open(B, ids(1, 2, 3, 4, 5)).n_cached == 3
    assert manager.trims() == ()


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    manager = KvManager(16)
    kept(manager, 1, 2, 3)

    assert manager.open(B, ids(1, 2, 3)).n_cached == 2
    assert manager.trims() == (Trim(SeqId(0), 2),)


def test_a_conversation_that_differs_drops_what_differs() -> None:
    manager = KvManager(16)
    kept(manager, 1, 2, 3, 4)

    assert manager.open(B, ids(1, 2, 7, 8)).n_cached == 2
    assert manager.trims() == (Trim(SeqId(0), 2),)


def test_a_step_that_ended_early_leaves_something_to_drop() -> None:
    manager = KvManager(16)
    lease = manager.open(A, ids(1, 2, 3))
    manager.spoil(lease.seq_id)

    assert manager.trims() == (Trim(SeqId(0), 0),)
    manager.trimmed(manager.trims())
    assert manager.trims() == ()


def test_a_lease_is_exclusive_and_given_back_once() -> None:
    manager = KvManager(16)
    manager.open(A, ids(1))

    assert not manager.can_open()
    with pytest.raises(KvError):
        manager.open(B, ids(1))
    manager.close(A)
    with pytest.raises(KvError):
        manager.close(A)


def test_tokens_must_continue_the_known_ones() -> None:
    manager = KvManager(16)
    lease = manager.open(A, ids(1, 2))

    with pytest.raises(KvError):
        manager.extend(lease.seq_id, 1, ids(2))


def test_more_tokens_than_cells_are_found_out() -> None:
    manager = KvManager(2)
    lease = manager.open(A, ids(1, 2, 3))
    manager.extend(lease.seq_id, 0, ids(1, 2, 3))

    with pytest.raises(KvError):
        manager.check()


class LedgerAgainstCells(RuleBasedStateMachine):
    """A list of cells that obeys the ledger's trims must always hold exactly what the ledger believes."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = KvManager(n_cells=64)
        self.cells: list[int] = []
        self.n_done = 0
        self.prompt: list[TokenId] | None = None
        self.seq_id = SeqId(0)

    @precondition(lambda self: self.prompt is None)
    @rule(prompt=st.lists(st.integers(0, 2), min_size=1, max_size=20))
    def open(self, prompt: list[int]) -> None:
        self.prompt = ids(*prompt)
        lease = self.manager.open(A, self.prompt)
        self.seq_id, self.n_done = lease.seq_id, lease.n_cached
        assert lease.n_cached < len(prompt)
        assert self.cells[: lease.n_cached] == prompt[: lease.n_cached]

    @precondition(lambda self: self.prompt is not None and self.n_done < len(self.prompt))
    @rule(size=st.integers(1, 8), leftovers=st.integers(0, 3), succeeds=st.booleans())
    def step(self, size: int, leftovers: int, succeeds: bool) -> None:
        assert self.prompt is not None
        for trim in (trims := self.manager.trims()):
            del self.cells[trim.n_keep :]
        self.manager.trimmed(trims)
        tokens = self.prompt[self.n_done : self.n_done + size]
        assert len(self.cells) == self.n_done
        if succeeds:
            self.cells.extend(tokens)
            self.manager.extend(self.seq_id, self.n_done, tokens)
            self.n_done += len(tokens)
        else:
            self.cells.extend(tokens[:leftovers])
            self.manager.spoil(self.seq_id)

    @precondition(lambda self: self.prompt is not None)
    @rule()
    def close(self) -> None:
        self.manager.close(A)
        self.prompt = None

    @invariant()
    def holds(self) -> None:
        self.manager.check()


TestLedgerAgainstCells = LedgerAgainstCells.TestCase
TestLedgerAgainstCells.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
