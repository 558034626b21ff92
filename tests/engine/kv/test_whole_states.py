"""Models that cannot be cut at a page: their states are kept whole."""

from __future__ import annotations

from pathlib import Path

from engine.reuse import Reason
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import reasons, text


def test_a_conversation_that_goes_on_is_taken_over_whole(make: Make) -> None:
    ledger = make(can_cut=False)
    ledger.ask(text(0, 10), "a", answer=text(50, 5))

    lease = ledger.ask(text(0, 10) + text(50, 5) + text(90, 3), "a")

    assert lease.n_ready == lease.report.n_cells == 15


def test_an_edited_answer_goes_on_from_the_end_of_its_prompt(make: Make) -> None:
    ledger = make(can_cut=False)
    ledger.ask(text(0, 10), "a", answer=text(50, 5))
    ledger.settle()

    lease = ledger.ask(text(0, 10) + text(70, 6), "a")

    assert lease.n_ready == lease.report.n_ram == 10


def test_what_lies_between_two_states_is_not_cuttable(make: Make) -> None:
    ledger = make(can_cut=False)
    ledger.ask(text(0, 10), "a", answer=text(50, 5))

    lease = ledger.ask(text(0, 8) + text(70, 6), "a")

    assert lease.n_ready == 0
    assert reasons(lease) == {Reason.NOT_CUTTABLE: 8, Reason.EDITED: 6}


def test_a_prompt_that_stops_short_of_its_last_token_serves_the_same_prompt_again(make: Make) -> None:
    ledger = make(can_cut=False)
    running = ledger.open(text(0, 10), "a")
    ledger.compute(running, 9)
    ledger.compute(running)
    ledger.close(running)

    assert ledger.ask(text(0, 10), "a").n_ready == 9


def test_states_come_back_from_ram_and_from_disk(make: Make, tmp_path: Path) -> None:
    first = make(can_cut=False, n_cells=32, folder=tmp_path)
    first.ask(text(0, 10), "a", answer=text(50, 5))
    first.crowd_out()
    assert first.ask(text(0, 10) + text(50, 5) + text(90, 3), "a").report.n_ram == 15
    first.end()

    second = make(can_cut=False, n_cells=32, folder=tmp_path)

    lease = second.ask(text(0, 10) + text(50, 5) + text(90, 4), "a")
    assert lease.report.n_disk == 18


def test_a_step_that_ended_early_costs_the_whole_sequence(make: Make) -> None:
    ledger = make(can_cut=False)
    running = ledger.open(text(0, 10), "a")
    ledger.compute(running, 6)
    ledger.cells.compute(running.seq_id, text(70, 2))  # leftovers

    running.n_computed = ledger.kv.spoil(running.seq_id, 6)

    assert running.n_computed == 0
    ledger.compute(running)
    ledger.close(running)


def test_a_running_state_is_not_shared(make: Make) -> None:
    ledger = make(can_cut=False)
    running = ledger.open(text(0, 10))
    ledger.compute(running, 6)

    second = ledger.open(text(0, 12))

    assert second.lease.n_ready == 0
    assert reasons(second.lease) == {Reason.NOT_CUTTABLE: 6, Reason.NEW: 6}
    ledger.close(running)
    ledger.close(second)


def test_dropping_takes_the_whole_states_along(make: Make) -> None:
    ledger = make(can_cut=False)
    ledger.ask(text(0, 10), "a", answer=text(50, 5))
    ledger.settle()

    ledger.kv.drop("a")

    usage = ledger.kv.usage()
    assert (usage.cells_used, usage.ram_bytes, usage.n_pages) == (0, 0, 0)
