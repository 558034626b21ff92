"""Idle conversations leave the cells once they can come back from RAM."""

from __future__ import annotations

from engine.cells import KvLayout
from engine.kv import Costs, PagedKv
from engine.types import RequestId, SeqId, TokenId
from tests.doubles.cells import BYTES_PER_TOKEN, FakeCells

N_CELLS = 4096


def make_kv(ram_bytes: int = 1 << 24) -> tuple[PagedKv, FakeCells]:
    cells = FakeCells(N_CELLS)
    layout = KvLayout(N_CELLS, n_sequences=8, bytes_per_token=BYTES_PER_TOKEN, can_cut=True, fingerprint="x")
    return PagedKv(layout, cells, ram_bytes, None, Costs()), cells


def talk(kv: PagedKv, cells: FakeCells, conversation: str, seed: int, n_tokens: int = 400) -> SeqId:
    """Read a conversation of its own; it is open still."""
    tokens = [TokenId(seed * 10_000 + number) for number in range(n_tokens)]
    lease = kv.open(RequestId(conversation), conversation, tokens)
    assert lease is not None
    kv.reserve(n_tokens)
    cells.compute(lease.seq_id, tokens[lease.n_ready :])
    kv.extend(lease.seq_id, lease.n_ready, tokens[lease.n_ready :])
    return lease.seq_id


def n_in_cells(kv: PagedKv) -> dict[str, int]:
    return {cache.id: cache.n_cells for cache in kv.conversations()}


def settle(kv: PagedKv) -> None:
    while kv.idle_work():
        pass


def read_both(kv: PagedKv, cells: FakeCells) -> None:
    for seed, conversation in enumerate("ab", 1):
        talk(kv, cells, conversation, seed)
        kv.close(RequestId(conversation))


def test_what_is_safe_in_ram_leaves() -> None:
    kv, cells = make_kv()
    read_both(kv, cells)
    settle(kv)
    kv.park()
    kv.check()

    assert n_in_cells(kv) == {"a": 0, "b": 0}
    assert cells.n_used == 0


def test_what_is_not_saved_is_saved_a_page_at_a_time_and_leaves() -> None:
    kv, cells = make_kv()
    read_both(kv, cells)
    kv.park()
    assert cells.n_used == 800
    n_used = []
    for _ in range(8):
        kv.park(may_save=True)
        kv.check()
        n_used.append(cells.n_used)

    assert n_used == sorted(n_used, reverse=True)
    assert n_used[0] > n_used[-1] == 0


def test_a_pinned_conversation_stays() -> None:
    kv, cells = make_kv()
    read_both(kv, cells)
    kv.pin("a", is_pinned=True)
    settle(kv)
    kv.park()

    assert n_in_cells(kv) == {"a": 400, "b": 0}


def test_what_has_no_copy_stays() -> None:
    kv, cells = make_kv(ram_bytes=0)
    for seed, conversation in enumerate("ab", 1):
        talk(kv, cells, conversation, seed)
        kv.close(RequestId(conversation))
    settle(kv)
    kv.park()
    kv.check()

    assert n_in_cells(kv) == {"a": 400, "b": 400}


def test_what_runs_is_never_parked() -> None:
    kv, cells = make_kv()
    talk(kv, cells, "a", 1, 600)
    settle(kv)
    kv.park()

    assert cells.n_used == 600


def test_a_parked_conversation_comes_back() -> None:
    kv, cells = make_kv()
    for seed, conversation in enumerate("abc", 1):
        talk(kv, cells, conversation, seed)
        kv.close(RequestId(conversation))
    settle(kv)
    kv.park()
    lease = kv.open(RequestId("again"), "a", [TokenId(10_000 + number) for number in range(400)])
    kv.check()

    assert lease is not None
    assert lease.report.n_ram >= 256
