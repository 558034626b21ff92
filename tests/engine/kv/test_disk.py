"""Page files that are lost, damaged, foreign, or cannot be written: always computed again, never wrong, never dead."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.kv.disk import DiskTier
from engine.kv.folder import ABANDONED_S
from engine.reuse import Reason
from tests.doubles.small_disk import SmallDisk
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import SETTLE_S, Ledger, reasons, text

N_PAGES = 4
PROMPT = text(0, 4 * N_PAGES + 1)


def files(folder: Path) -> list[Path]:
    """Page files, in no order that means anything."""
    return sorted(folder.glob("*/*.page"))


def saved(make: Make, folder: Path, **settings: str) -> list[Path]:
    """The files of a conversation of four pages."""
    ledger = make(folder=folder, **settings)
    ledger.ask(PROMPT[:-1], "a")
    ledger.end()
    assert len(files(folder)) == N_PAGES
    return files(folder)


def asked_again(make: Make, folder: Path) -> tuple[int, dict[Reason, int]]:
    """How much of the conversation a new start finds; what it says is checked token for token."""
    ledger = make(folder=folder)
    lease = ledger.ask(PROMPT, "a")
    ledger.end()
    return lease.n_ready, reasons(lease)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_a_bit_of_the_content(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 16
    path.write_bytes(content)


def replace_by_text(path: Path) -> None:
    path.write_text("this was a page once", encoding="utf-8")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_another_page(path: Path) -> None:
    other = next(other for other in files(path.parent.parent) if other != path)
    shutil.copy(other, path)


DAMAGES = [cut_in_half, empty, flip_a_bit_of_the_content, replace_by_text, replace_by_a_folder, replace_by_another_page]


@pytest.mark.parametrize("which", range(N_PAGES))
@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_file_spoilt_between_two_starts_costs_computing_and_nothing_else(
    make: Make, tmp_path: Path, damage: Callable[[Path], None], which: int
) -> None:
    damage(saved(make, tmp_path)[which])

    n_ready, _ = asked_again(make, tmp_path)

    assert n_ready % 4 == 0
    assert n_ready < 4 * N_PAGES
    assert asked_again(make, tmp_path)[0] == (4 * N_PAGES if damage is not replace_by_a_folder else n_ready)


@pytest.mark.parametrize("which", range(N_PAGES))
@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_file_spoilt_under_our_feet_costs_computing_and_nothing_else(
    make: Make, tmp_path: Path, damage: Callable[[Path], None], which: int
) -> None:
    paths = saved(make, tmp_path)
    ledger = make(folder=tmp_path)

    damage(paths[which])
    lease = ledger.ask(PROMPT, "a")

    assert lease.n_ready % 4 == 0
    assert lease.n_ready < 4 * N_PAGES
    lost = Reason.EVICTED if damage is Path.unlink else Reason.DAMAGED
    assert reasons(lease) == {lost: 4 * N_PAGES - lease.n_ready, Reason.NEW: 1}


def test_a_folder_deleted_under_our_feet_is_made_again(make: Make, tmp_path: Path) -> None:
    saved(make, tmp_path)
    ledger = make(folder=tmp_path)
    shutil.rmtree(tmp_path)

    assert ledger.ask(PROMPT, "a").n_ready == 0
    ledger.end()

    assert asked_again(make, tmp_path)[0] == 4 * N_PAGES


def test_a_file_of_another_model_under_a_right_name_is_not_used(make: Make, tmp_path: Path) -> None:
    (own, *_) = saved(make, tmp_path / "one")
    (other, *_) = saved(make, tmp_path / "two", fingerprint="other")
    shutil.copy(other, own)

    assert asked_again(make, tmp_path / "one")[0] < 4 * N_PAGES


def test_what_is_not_ours_is_left_alone(make: Make, tmp_path: Path) -> None:
    strangers = [tmp_path / "notes.txt", tmp_path / "photos" / "page.page", tmp_path / "0123456789abcdef" / "b.txt"]
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000))

    ledger = make(folder=tmp_path, disk_bytes=500)
    ledger.ask(PROMPT, "a")
    ledger.kv.drop("a")
    ledger.end()

    assert all(path.stat().st_size == 1000 for path in strangers)


def test_what_a_killed_process_left_half_written_is_removed_when_it_is_old(make: Make, tmp_path: Path) -> None:
    (first, *_) = saved(make, tmp_path)
    old, young = first.with_suffix(".x.tmp"), first.with_suffix(".y.tmp")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (old.stat().st_mtime - 2 * ABANDONED_S,) * 2)

    make(folder=tmp_path).end()

    assert not old.exists()
    assert young.exists()


def test_a_full_disk_stops_the_writing_and_nothing_else(make: Make, small_disk: SmallDisk) -> None:
    small_disk.fill()
    ledger = make(folder=small_disk.root)
    ledger.ask(PROMPT, "a")
    ledger.settle()

    problem = ledger.kv.usage().disk_problem

    assert problem is not None
    assert "No space left" in problem.text
    assert ledger.ask([*PROMPT, *text(50, 2)], "a").n_ready == len(PROMPT)
    small_disk.free()
    for number in range(4):
        ledger.ask(text(1000 * number, 5), "b")
        ledger.settle()
    assert ledger.kv.usage().disk_problem is None
    ledger.end()
    assert asked_again(make, small_disk.root)[0] == 4 * N_PAGES


def look_again(ledger: Ledger) -> None:
    assert ledger.disk is not None
    ledger.disk.look()
    ledger.settle()
    ledger.settle()


def test_a_read_only_disk_is_read_and_not_written(make: Make, small_disk: SmallDisk) -> None:
    saved(make, small_disk.root)
    with small_disk.read_only():
        ledger = make(folder=small_disk.root)
        assert ledger.ask(PROMPT, "a").n_ready == 4 * N_PAGES
        ledger.ask(text(500, 9), "b")
        ledger.settle()
        assert ledger.kv.usage().disk_problem is not None
        ledger.kv.drop("a")
        ledger.settle()
        ledger.end()


def test_a_folder_that_cannot_be_made_is_a_problem_and_no_end(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ledger = make(folder=tmp_path / "file" / "below")
    ledger.ask(PROMPT, "a")
    ledger.settle()

    assert ledger.kv.usage().disk_problem is not None
    assert ledger.ask(PROMPT, "a").n_ready == 4 * N_PAGES


def test_two_instances_on_one_folder_use_each_others_pages(make: Make, tmp_path: Path) -> None:
    first, second = make(folder=tmp_path), make(folder=tmp_path)
    first.ask(PROMPT[:-1], "a")
    second.ask(text(500, 8), "b")
    first.settle()
    second.settle()
    look_again(first)
    look_again(second)

    assert second.ask(PROMPT, "a").report.n_disk == 4 * N_PAGES
    assert first.ask(text(500, 9), "b").report.n_disk == 8


def test_what_one_instance_deletes_the_other_computes(make: Make, tmp_path: Path) -> None:
    saved(make, tmp_path)
    first, second = make(folder=tmp_path), make(folder=tmp_path)

    first.kv.drop("a")
    first.settle()

    assert second.ask(PROMPT, "a").n_ready == 0
    look_again(first)
    look_again(second)
    assert second.kv.usage().disk_problem is None


def test_two_instances_with_too_small_a_budget_stay_right(make: Make, tmp_path: Path) -> None:
    ledgers = [make(folder=tmp_path, disk_bytes=900) for _ in range(2)]
    for number in range(10):
        for ledger in ledgers:
            ledger.ask(text(100 * (number % 3), 10), f"conversation-{number % 3}")
            ledger.kv.idle_work()
    for ledger in ledgers:
        look_again(ledger)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 2 * 900
    look_again(ledgers[0])
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 900


def test_the_ledger_is_told_when_there_is_news(tmp_path: Path) -> None:
    told = threading.Event()
    disk = DiskTier(tmp_path, "model", 1000, on_news=told.set)

    assert told.wait(SETTLE_S)
    assert disk.poll() is not None
    disk.close(SETTLE_S)


def test_closing_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    release = threading.Event()
    disk = DiskTier(tmp_path, "model", 1000, on_news=lambda: bool(release.wait(SETTLE_S)) and None)

    disk.close(timeout_s=0.0)

    release.set()
