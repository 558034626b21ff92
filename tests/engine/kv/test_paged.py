"""Opening, computing and closing over cells alone: what is reused, shared, evicted and reported."""

from __future__ import annotations

import pytest

from engine.kv.errors import KvError
from engine.reuse import Reason
from engine.types import RequestId, SeqId
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import PAGE, ids, reasons, text


def test_an_empty_cache_reuses_nothing(make: Make) -> None:
    lease = make().ask(text(0, 10))

    assert lease.n_ready == 0
    assert reasons(lease) == {Reason.NEW: 10}


def test_a_conversation_that_goes_on_reuses_all_of_it_in_its_own_sequence(make: Make) -> None:
    ledger = make()
    first = ledger.ask(text(0, 10), "a")

    second = ledger.ask(text(0, 15), "a")

    assert second.n_ready == second.report.n_cells == 10
    assert second.seq_id == first.seq_id
    assert ledger.kv.usage().cells_used == 15


def test_the_last_token_of_a_prompt_is_always_computed(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 2 * PAGE))

    lease = ledger.ask(text(0, 2 * PAGE))

    assert lease.n_ready == 2 * PAGE - 1
    assert reasons(lease) == {Reason.NEW: 1}


def test_an_edited_message_shares_what_comes_before_it(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 20), "a")

    edited = ledger.ask(text(0, 10) + text(500, 12), "a")

    assert edited.n_ready == 10
    assert reasons(edited) == {Reason.EDITED: 10, Reason.NEW: 2}
    assert ledger.kv.usage().cells_used == 32  # 10 of them shared


def test_a_branch_that_was_left_is_still_there(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 20), "a")
    ledger.ask(text(0, 10) + text(500, 10), "a")

    assert ledger.ask(text(0, 22), "a").n_ready == 20


def test_conversations_with_the_same_beginning_share_its_cells(make: Make) -> None:
    ledger = make(n_cells=80)
    for number in range(5):
        ledger.ask(text(0, 30) + text(1000 * (number + 1), 6), f"conversation-{number}")

    assert ledger.kv.usage().cells_used == 30 + 5 * 6


def test_a_beginning_is_shared_while_its_first_request_still_runs(make: Make) -> None:
    ledger = make()
    running = ledger.open(text(0, 20))
    ledger.compute(running, 10)

    lease = ledger.ask(text(0, 9) + text(500, 3))

    assert lease.n_ready == 9
    ledger.compute(running)
    ledger.close(running)


def test_pages_that_two_requests_compute_at_once_become_one(make: Make) -> None:
    ledger = make()
    prompt = text(0, 16)
    first, second = ledger.open(prompt + text(100, 1)), ledger.open(prompt + text(200, 1))

    for running in (first, second):
        ledger.compute(running, 8)
        ledger.compute(running, 8)

    assert ledger.kv.usage().cells_used == 16
    ledger.compute(first)
    ledger.compute(second)
    assert ledger.kv.usage().cells_used == 18
    ledger.close(first)
    ledger.close(second)


def test_sequences_that_run_out_take_the_place_of_what_was_not_used_for_longest(make: Make) -> None:
    ledger = make(n_sequences=2, ram_bytes=0)
    ledger.ask(text(100, 6), "old")
    ledger.ask(text(200, 6), "new")

    ledger.ask(text(300, 6), "newest")

    assert ledger.ask(text(200, 8), "new").n_ready == 6
    assert ledger.ask(text(100, 8), "old").n_ready == 0


def test_the_only_sequence_is_cut_back_to_what_an_edited_prompt_shares(make: Make) -> None:
    ledger = make(n_sequences=1, ram_bytes=0)
    ledger.ask(text(0, 20), "a")

    assert ledger.ask(text(0, 10) + text(500, 5), "a").n_ready == 10


def test_no_sequence_is_had_while_all_are_running(make: Make) -> None:
    ledger = make(n_sequences=1)
    running = ledger.open(text(0, 5))

    assert ledger.try_open(text(100, 5)) is None
    ledger.close(running)
    assert ledger.ask(text(100, 5)).n_ready == 0


def test_a_prompt_waits_while_running_requests_need_the_cells_for_theirs(make: Make) -> None:
    ledger = make(n_cells=20)
    running = ledger.open(text(0, 12))

    assert ledger.try_open(text(100, 9)) is None
    second = ledger.open(text(100, 8))
    ledger.compute(running)
    ledger.compute(second)
    ledger.close(running)
    ledger.close(second)


def test_what_a_running_request_holds_needs_no_cells_of_its_own(make: Make) -> None:
    ledger = make(n_cells=20)
    running = ledger.open(text(0, 12))
    ledger.compute(running)

    second = ledger.open(text(0, 12) + text(500, 8))

    assert second.lease.n_ready == 12
    ledger.compute(second)
    ledger.close(running)
    ledger.close(second)


def test_idle_pages_give_way_from_their_ends_to_a_running_request(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(0, 16), "a")

    ledger.ask(text(100, 10), "b")

    assert ledger.ask(text(0, 17), "a").n_ready == 8


def test_cells_that_running_requests_hold_cannot_be_reserved(make: Make) -> None:
    ledger = make(n_cells=20)
    running = ledger.open(text(0, 12))
    ledger.compute(running)

    assert not ledger.kv.reserve(9)
    assert ledger.kv.reserve(8)
    ledger.close(running)
    assert ledger.kv.reserve(20)


def test_a_reservation_that_is_impossible_evicts_nothing(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(100, 6), "idle")
    running = ledger.open(text(0, 12))
    ledger.compute(running)

    assert not ledger.kv.reserve(9)

    ledger.close(running)
    assert ledger.ask(text(100, 7), "idle").n_ready == 6


def test_a_pinned_conversation_stays_longest(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(0, 6), "pinned")
    ledger.kv.pin("pinned", True)
    ledger.ask(text(100, 8), "other")

    ledger.ask(text(200, 14), "new")

    assert ledger.ask(text(0, 7), "pinned").n_ready == 6
    ledger.kv.pin("pinned", False)
    ledger.ask(text(300, 20), "newest")
    assert ledger.ask(text(0, 7), "pinned").n_ready == 0


def test_what_was_evicted_is_told_from_what_was_never_read(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(0, 14), "a")
    ledger.ask(text(100, 20), "b")

    lease = ledger.ask(text(0, 18), "a")

    assert reasons(lease) == {Reason.EVICTED: 14, Reason.NEW: 4}


def test_pages_without_a_conversation_are_known_to_be_evicted_too(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(0, 14))
    ledger.ask(text(100, 20))

    assert reasons(ledger.ask(text(0, 18))) == {Reason.EVICTED: 12, Reason.NEW: 6}


def test_a_step_that_ended_early_leaves_nothing_behind(make: Make) -> None:
    ledger = make()
    running = ledger.open(text(0, 10))
    ledger.compute(running, 6)
    ledger.cells.compute(running.seq_id, ids(7, 7, 7))  # leftovers

    assert ledger.kv.spoil(running.seq_id, 6) == 6
    ledger.check(running)
    assert ledger.kv.spoil(running.seq_id, 3) == 3  # a draft that was rejected
    running.n_computed = 3
    ledger.check(running)
    ledger.compute(running)
    ledger.close(running)


def test_what_is_not_to_be_trusted_is_gone(make: Make) -> None:
    ledger = make()
    running = ledger.open(text(0, 10))
    ledger.compute(running)

    ledger.kv.abandon(running.id)

    assert ledger.kv.usage().cells_used == 0
    assert ledger.ask(text(0, 10)).n_ready == 0


def test_a_request_that_computed_nothing_gives_its_sequence_back(make: Make) -> None:
    ledger = make(n_sequences=1)
    for _ in range(3):
        ledger.close(ledger.open(text(0, 5)))

    assert ledger.kv.usage().cells_used == 0


def test_a_request_that_was_cancelled_early_does_not_shorten_its_conversation(make: Make) -> None:
    ledger = make(n_cells=20, ram_bytes=0)
    ledger.ask(text(0, 16), "a")
    ledger.ask(text(100, 20), "b")
    running = ledger.open(text(0, 18), "a")
    ledger.compute(running, 8)
    ledger.close(running)

    (cache,) = [cache for cache in ledger.kv.conversations() if cache.id == "a"]

    assert (cache.n_tokens, cache.n_cells, cache.n_cold) == (16, 8, 8)


def test_a_dropped_conversation_leaves_nothing_and_says_so(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 16), "a")
    ledger.settle()

    ledger.kv.drop("a")

    usage = ledger.kv.usage()
    assert (usage.cells_used, usage.ram_bytes, usage.n_pages) == (0, 0, 0)
    assert ledger.kv.conversations() == ()
    assert reasons(ledger.ask(text(0, 18))) == {Reason.DROPPED: 16, Reason.NEW: 2}


def test_dropping_keeps_what_another_conversation_uses(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 8) + text(100, 8), "a")
    ledger.ask(text(0, 8) + text(200, 8), "b")
    ledger.settle()

    ledger.kv.drop("a")

    assert ledger.kv.usage().cells_used == 16
    assert ledger.ask(text(0, 8) + text(200, 9), "b").n_ready == 16
    assert ledger.ask(text(0, 8) + text(100, 8)).n_ready == 8


def test_all_branches_of_a_conversation_are_dropped(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 16), "a")
    ledger.ask(text(0, 10) + text(500, 10), "a")
    ledger.settle()

    ledger.kv.drop("a")

    assert ledger.kv.usage().n_pages == ledger.kv.usage().cells_used == 0


def test_a_conversation_dropped_while_it_runs_is_gone_when_it_ends(make: Make) -> None:
    ledger = make()
    ledger.ask(text(0, 12), "a")
    ledger.ask(text(0, 12) + text(100, 4), "b")
    running = ledger.open(text(0, 20), "a")
    ledger.compute(running, 4)

    ledger.kv.drop("a")
    ledger.settle()
    ledger.compute(running)
    ledger.close(running)

    assert ledger.kv.usage().cells_used == 16
    assert [cache.id for cache in ledger.kv.conversations()] == ["b"]


def test_conversations_tell_where_they_are(make: Make) -> None:
    ledger = make(n_cells=40)
    ledger.ask(text(0, 18), "a")
    ledger.settle()
    ledger.crowd_out()
    ledger.ask(text(100, 10), "b")
    ledger.kv.pin("b", True)

    a, b = ledger.kv.conversations()

    assert (a.id, a.n_tokens, a.n_cells, a.n_ram, a.n_disk, a.n_cold) == ("a", 18, 0, 18, 0, 0)
    assert a.ram_bytes == ledger.kv.usage().ram_bytes
    assert (b.id, b.n_cells, b.cells_bytes, b.is_pinned) == ("b", 10, 10 * 16, True)


def test_contradictions_are_bugs(make: Make) -> None:
    ledger = make()
    running = ledger.open(text(0, 10))

    with pytest.raises(KvError, match="do not continue"):
        ledger.kv.extend(running.seq_id, 1, ids(2))
    with pytest.raises(KvError, match="no request owns"):
        ledger.kv.extend(SeqId(7), 0, ids(2))
    with pytest.raises(KvError, match="cannot be opened"):
        ledger.kv.open(running.id, None, text(0, 10))
    with pytest.raises(KvError, match="cannot be opened"):
        ledger.kv.open(RequestId("empty"), None, [])
    with pytest.raises(KvError, match="only 0 tokens"):
        ledger.kv.spoil(running.seq_id, 1)
    with pytest.raises(KvError, match="were computed where"):
        ledger.kv.extend(running.seq_id, 0, text(0, 65))
    ledger.close(running)
    with pytest.raises(KvError, match="has no sequence"):
        ledger.kv.close(running.id)
