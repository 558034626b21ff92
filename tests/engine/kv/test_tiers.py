"""From the cells to RAM to disk and back: what is kept, what goes, and what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kv.costs import Rate
from engine.reuse import Reason
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import PAGE, PAGE_BYTES, PLENTY, costs, reasons, text


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.page"))


def test_what_leaves_the_cells_comes_back_from_ram_with_its_tail(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 18), "a")
    ledger.crowd_out()

    lease = ledger.ask(text(0, 20), "a")

    assert (lease.report.n_cells, lease.report.n_ram, lease.n_ready) == (0, 18, 18)
    assert reasons(lease) == {Reason.NEW: 2}


def test_a_page_in_ram_serves_a_prompt_that_leaves_it_in_the_middle(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 16), "a")
    ledger.crowd_out()

    lease = ledger.ask(text(0, 6) + text(500, 5), "a")

    assert lease.report.n_ram == 6
    assert reasons(lease) == {Reason.EDITED: 5}


def test_pages_in_cells_and_in_ram_are_used_together(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 20), "a")
    ledger.ask(text(100, 20), "b")  # takes the end of a's path

    lease = ledger.ask(text(0, 24), "a")

    assert (lease.report.n_cells, lease.report.n_ram) == (12, 8)


def test_a_long_path_is_saved_from_its_beginning_as_far_as_ram_goes(make: Make) -> None:
    ledger = make(n_cells=40, ram_bytes=3 * PAGE_BYTES)
    ledger.ask(text(0, 24), "a")
    ledger.crowd_out()

    lease = ledger.ask(text(0, 25), "a")

    assert lease.report.n_ram == 3 * PAGE
    assert reasons(lease) == {Reason.EVICTED: 12, Reason.NEW: 1}


def test_a_full_ram_gives_up_what_was_not_used_for_longest(make: Make) -> None:
    ledger = make(n_cells=16, ram_bytes=6 * PAGE_BYTES)
    for number in range(3):
        ledger.ask(text(100 * number, 8), f"conversation-{number}")
        ledger.crowd_out()
    ledger.ask(text(0, 9), "conversation-0")
    ledger.crowd_out()
    ledger.ask(text(300, 8), "conversation-3")
    ledger.crowd_out()

    assert ledger.ask(text(100, 8), "conversation-1").n_ready == 0
    ledger.crowd_out()
    assert ledger.ask(text(0, 9), "conversation-0").n_ready == 8


def test_saving_in_quiet_moments_leaves_nothing_to_save_when_room_is_needed(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 18), "a")
    ledger.settle()
    n_saves = ledger.cells.n_saves

    ledger.kv.reserve(32)

    assert n_saves == ledger.cells.n_saves == 5  # four pages and the tail
    assert not ledger.kv.idle_work()


def test_pages_of_a_running_request_are_saved_as_they_fill(make: Make) -> None:
    ledger = make()
    running = ledger.open(text(0, 10), "a")
    ledger.compute(running)

    ledger.settle()

    assert ledger.kv.usage().ram_bytes == 2 * PAGE_BYTES
    ledger.close(running)


def test_a_saved_tail_is_replaced_when_its_conversation_grows(make: Make) -> None:
    ledger = make()
    for length in (5, 6, 7, 8, 9):
        ledger.ask(text(0, length), "a")
        ledger.settle()

    assert ledger.kv.usage().n_pages == 3
    assert ledger.kv.usage().ram_bytes == 2 * PAGE_BYTES + 32


def test_the_tail_of_one_conversation_is_kept_beside_the_page_of_another(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 6), "a")
    ledger.settle()
    ledger.ask(text(0, 12), "b")
    ledger.settle()

    ledger.kv.drop("b")
    ledger.crowd_out()

    assert ledger.ask(text(0, 7), "a").report.n_ram == 6


def test_restoring_that_takes_longer_than_computing_is_not_done(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 16), "a")
    ledger.crowd_out()
    ledger.costs.restore = Rate(1.0)

    lease = ledger.ask(text(0, 17), "a")

    assert lease.n_ready == 0
    assert reasons(lease) == {Reason.CHEAPER_TO_COMPUTE: 16, Reason.NEW: 1}


def test_pages_dearer_to_restore_than_to_compute_are_not_saved(make: Make) -> None:
    ledger = make(n_cells=32, costs=costs(restore=1.0))
    ledger.ask(text(0, 16), "a")
    ledger.settle()
    ledger.crowd_out()

    assert ledger.cells.n_saves == 0


def test_refused_saves_and_restores_cost_time_and_nothing_else(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.cells.refuses_save = True
    ledger.ask(text(0, 8), "a")
    ledger.settle()
    ledger.crowd_out()
    ledger.cells.refuses_save = False
    ledger.ask(text(0, 8), "a")
    ledger.crowd_out()
    ledger.cells.refuses_restore = True

    lease = ledger.ask(text(0, 9), "a")

    assert reasons(lease) == {Reason.DAMAGED: 8, Reason.NEW: 1}
    ledger.cells.refuses_restore = False
    ledger.crowd_out()
    assert ledger.ask(text(0, 9), "a").n_ready == 8


def test_a_refused_cut_costs_the_sequence_and_nothing_else(make: Make) -> None:
    ledger = make(n_cells=32, n_sequences=1)
    ledger.ask(text(0, 8), "a")
    ledger.crowd_out()
    ledger.ask(text(0, 6), "a")
    ledger.cells.refuses_trim = True

    assert ledger.ask(text(0, 8) + text(50, 2), "a").n_ready == 0
    ledger.crowd_out()
    assert ledger.ask(text(0, 6) + text(70, 2), "a").n_ready == 0
    assert ledger.ask(text(0, 6) + text(70, 3), "a").n_ready == 8


def test_a_smaller_budget_holds_at_once(make: Make) -> None:
    ledger = make(n_cells=32)
    ledger.ask(text(0, 24), "a")
    ledger.settle()
    ledger.crowd_out()

    ledger.kv.set_budgets(2 * PAGE_BYTES, 0)

    assert ledger.kv.usage().ram_bytes == 2 * PAGE_BYTES
    assert ledger.ask(text(0, 25), "a").n_ready == 8


def test_everything_on_disk_is_back_after_a_restart(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 18), "a")
    first.ask(text(0, 8) + text(100, 9), "b")
    first.end()

    second = make(folder=tmp_path)

    assert [(cache.id, cache.n_tokens, cache.n_disk) for cache in second.kv.conversations()] == [
        ("a", 18, 18),
        ("b", 17, 17),
    ]
    lease = second.ask(text(0, 20), "a")
    assert (lease.report.n_disk, lease.report.n_ram, lease.n_ready) == (18, 0, 18)
    lease = second.ask(text(0, 8) + text(100, 11), "b")
    assert (lease.report.n_cells, lease.report.n_disk) == (8, 9)


def test_a_page_read_once_comes_from_ram_the_next_time(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 8), "a")
    first.end()
    second = make(folder=tmp_path)
    second.ask(text(0, 9), "a")
    second.crowd_out()

    assert second.ask(text(0, 9), "a").report.n_ram == 8


def test_pages_on_disk_are_not_waited_for_where_computing_is_sooner(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 8), "a")
    first.end()
    second = make(folder=tmp_path, costs=costs(disk_read=1.0))

    assert second.kv.fetch(text(0, 9))
    assert reasons(second.ask(text(0, 9), "a")) == {Reason.CHEAPER_TO_COMPUTE: 8, Reason.NEW: 1}


def test_fetching_keeps_to_the_budget_and_ends_with_what_ram_can_hold(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 32), "a")
    first.end()
    file_bytes = files(tmp_path)[0].stat().st_size
    second = make(folder=tmp_path, ram_bytes=5 * PAGE_BYTES + file_bytes)

    assert not second.kv.fetch(text(0, 33))
    assert file_bytes <= second.kv.usage().ram_bytes <= second.ram_bytes
    lease = second.ask(text(0, 33), "a")

    assert lease.report.n_disk == 6 * PAGE
    assert second.kv.usage().ram_bytes <= second.ram_bytes


def test_a_page_is_read_once_however_often_it_is_asked_for(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 8), "a")
    first.end()
    second = make(folder=tmp_path)
    second.fetch(text(0, 9))
    second.kv.set_budgets(0, PLENTY)  # takes it away again
    second.kv.set_budgets(PLENTY, PLENTY)

    assert second.kv.fetch(text(0, 9))

    second.ask(text(500, 5))
    assert not second.kv.fetch(text(0, 9))  # other requests were opened meanwhile


def test_what_was_used_last_is_what_ended_last(make: Make) -> None:
    ledger = make(n_cells=32, ram_bytes=0)
    running = ledger.open(text(0, 8), "long")
    ledger.ask(text(100, 8), "short")
    ledger.compute(running)
    ledger.ask(text(200, 8), "shorter")
    ledger.close(running)

    ledger.ask(text(300, 16), "next")

    assert ledger.ask(text(0, 9), "long").n_ready == 8


def test_a_disk_budget_takes_along_what_continues_its_pages_in_ram(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 4), "a")
    first.end()
    second = make(folder=tmp_path, disk_bytes=files(tmp_path)[0].stat().st_size)
    running = second.try_open(text(0, 8), "a")  # without fetching: the first page stays where it is
    assert running is not None
    second.compute(running)
    second.close(running)
    second.settle()
    second.crowd_out()

    second.kv.set_budgets(PLENTY, 0)
    second.settle()

    assert files(tmp_path) == []
    assert second.kv.usage().n_pages == 0


def test_a_disk_budget_keeps_what_is_worth_most(make: Make, tmp_path: Path) -> None:
    budget = 2500
    ledger = make(n_cells=128, n_sequences=20, folder=tmp_path, disk_bytes=budget)
    for number in range(12):
        ledger.ask(text(100 * number, 8), f"conversation-{number}")
        ledger.settle()
        assert sum(path.stat().st_size for path in files(tmp_path)) <= budget
    ledger.end()

    ledger = make(n_cells=128, folder=tmp_path, disk_bytes=budget)

    assert ledger.ask(text(1100, 9), "conversation-11").n_ready == 8
    assert ledger.ask(text(0, 9), "conversation-0").n_ready == 0


def test_a_smaller_disk_budget_holds_after_the_next_quiet_moment(make: Make, tmp_path: Path) -> None:
    ledger = make(folder=tmp_path)
    ledger.ask(text(0, 32), "a")
    ledger.settle()

    ledger.kv.set_budgets(10**9, 1000)
    ledger.settle()

    assert 0 < sum(path.stat().st_size for path in files(tmp_path)) <= 1000
    assert ledger.kv.usage().disk_bytes <= 1000


def test_pages_of_other_settings_are_named_and_not_used(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path, fingerprint="f16")
    first.ask(text(0, 16), "a")
    first.end()

    lease = make(folder=tmp_path, fingerprint="q8_0").ask(text(0, 20), "a")

    assert reasons(lease) == {Reason.OTHER_SETTINGS: 16, Reason.NEW: 4}


def test_pages_of_other_settings_count_and_go_first(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path, fingerprint="f16")
    first.ask(text(0, 16), "a")
    first.end()
    n_foreign_bytes = sum(path.stat().st_size for path in files(tmp_path))

    second = make(folder=tmp_path, fingerprint="q8_0", disk_bytes=n_foreign_bytes)
    assert second.kv.usage().disk_bytes == n_foreign_bytes
    second.ask(text(100, 16), "b")
    second.end()

    assert sum(path.stat().st_size for path in files(tmp_path)) <= n_foreign_bytes
    assert make(folder=tmp_path, fingerprint="q8_0").ask(text(100, 17), "b").n_ready == 16


def test_a_dropped_conversation_leaves_no_file_whatever_settings_it_was_read_with(make: Make, tmp_path: Path) -> None:
    for fingerprint in ("f16", "q8_0"):
        ledger = make(folder=tmp_path, fingerprint=fingerprint)
        ledger.ask(text(0, 16), "a")
        ledger.ask(text(100, 8), "b")
        ledger.end()
    ledger = make(folder=tmp_path, fingerprint="q8_0")

    ledger.kv.drop("a")
    ledger.settle()

    assert len(files(tmp_path)) == 4  # two pages of b each
    assert ledger.ask(text(100, 9), "b").n_ready == 8


def test_a_conversation_dropped_before_its_files_were_listed_does_not_come_back(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 16), "a")
    first.end()
    second = make(folder=tmp_path, is_settled=False)

    second.kv.drop("a")
    second.settle()

    assert files(tmp_path) == []


def test_a_shared_page_outlives_the_conversation_that_wrote_it_but_not_the_last_one(make: Make, tmp_path: Path) -> None:
    first = make(folder=tmp_path)
    first.ask(text(0, 16), "a")
    first.settle()
    first.ask(text(0, 16) + text(100, 4), "b")
    first.settle()
    first.kv.drop("a")
    first.end()
    second = make(folder=tmp_path)

    assert [cache.id for cache in second.kv.conversations()] == ["b"]
    second.kv.drop("b")
    second.settle()
    assert files(tmp_path) == []


@pytest.mark.parametrize("n_ram_pages", [0, 1, 2, 5])
def test_little_ram_is_slow_and_right(make: Make, tmp_path: Path, n_ram_pages: int) -> None:
    ledger = make(n_cells=24, ram_bytes=n_ram_pages * PAGE_BYTES, folder=tmp_path)
    for _ in range(3):
        for number in range(4):
            ledger.ask(text(100 * number, 14), f"conversation-{number}")
            ledger.settle()
            assert ledger.kv.usage().ram_bytes <= n_ram_pages * PAGE_BYTES
