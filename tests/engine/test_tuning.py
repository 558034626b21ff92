"""Thread counts are measured once for a model and a machine, and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.backend.fake import FakeBackend
from engine.worker.governor import SAMPLE_S, CpuSample, ThreadGovernor
from engine.worker.threads import Threads
from engine.worker.tuning import Cores, KeptChoices, ThreadCounts, measure

FOUR = Cores(physical=4, logical=8)


class Machine:
    """Time passes by what is computed. ``seconds`` has how long so many tokens take with so many threads."""

    def __init__(self, seconds: Callable[[int, int], float], others: float = 0.0) -> None:
        self.now_s = 0.0
        self.others = others
        self.tried: list[tuple[int, int]] = []
        self._seconds = seconds

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        self.tried.append((n_tokens, n_threads))
        seconds = self._seconds(n_tokens, n_threads)
        self.now_s += seconds
        return seconds

    def read(self, _now_s: float) -> CpuSample:
        return CpuSample(self.now_s, self.now_s * self.others, 0.0)

    def clock(self) -> float:
        return self.now_s


class Backend(FakeBackend):
    """Computes on a machine."""

    machine: Machine

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        return self.machine.time_batch(n_tokens, n_threads)


def fastest_with(decode: int, prefill: int, gain: float = 0.5) -> Callable[[int, int], float]:
    return lambda n_tokens, n_threads: 0.01 * (gain if n_threads == (decode if n_tokens == 1 else prefill) else 1.0)


def test_the_fastest_numbers_win_each_for_its_own_work() -> None:
    assert measure(FOUR, Machine(fastest_with(2, 8)).time_batch) == ThreadCounts(2, 8)


def test_what_is_not_clearly_faster_than_a_thread_a_core_is_not_taken() -> None:
    assert measure(FOUR, Machine(fastest_with(2, 8, gain=0.97)).time_batch) == ThreadCounts(4, 4)


def test_one_slow_moment_decides_nothing() -> None:
    machine = Machine(lambda _n_tokens, n_threads: 0.01 / n_threads + (0.5 if len(machine.tried) == 1 else 0.0))

    assert measure(FOUR, machine.time_batch).decode == 8


@pytest.mark.parametrize("batch_s", [0.0001, 0.002, 0.1, 0.7])
def test_it_takes_some_tenths_of_a_second_and_never_more_than_two(batch_s: float) -> None:
    machine = Machine(lambda n_tokens, _n_threads: batch_s if n_tokens == 1 else batch_s * 3)

    measure(FOUR, machine.time_batch)

    assert machine.now_s <= max(2.5, 4.2 * batch_s + 1.0)


def test_a_model_that_is_very_slow_keeps_the_default_after_one_batch_of_each_kind() -> None:
    machine = Machine(lambda _n_tokens, _n_threads: 5.0)

    assert measure(FOUR, machine.time_batch) == ThreadCounts(4, 4)
    assert len(machine.tried) == 2


def test_candidates_are_parts_of_the_cores_and_all_threads() -> None:
    assert Cores(64, 128).for_decode == (8, 16, 32, 64, 128)
    assert Cores(2, 2).for_decode == (1, 2)
    assert Cores(1, 1).for_decode == (1,)
    assert Cores(2, 2).for_prefill == (2,)


def test_one_core_leaves_nothing_to_measure() -> None:
    machine = Machine(fastest_with(1, 1))

    assert measure(Cores(1, 1), machine.time_batch) == ThreadCounts(1, 1)
    assert machine.tried == []


def make(machine: Machine, kept: KeptChoices, model: str = "model", wished: int | None = None) -> FakeBackend:
    """Load a model and take the first step."""
    backend = Backend()
    backend.machine = machine
    governor = ThreadGovernor(4, machine.now_s, machine.read, n_cores=8)
    threads = Threads(wished, FOUR, governor, machine.clock)
    machine.now_s += 2 * SAMPLE_S
    threads.tune(backend, model, kept)
    threads.apply(backend)
    return backend


@pytest.fixture
def kept(tmp_path: Path) -> KeptChoices:
    return KeptChoices(tmp_path / "cache" / "threads.json")


def test_the_second_load_knows_what_the_first_measured(kept: KeptChoices) -> None:
    first, second = Machine(fastest_with(2, 8)), Machine(fastest_with(1, 1))

    before, after = make(first, kept), make(second, kept)

    assert (before.n_threads, before.n_prefill_threads) == (after.n_threads, after.n_prefill_threads) == (2, 8)
    assert second.tried == []


def test_another_model_is_measured_anew(kept: KeptChoices) -> None:
    make(Machine(fastest_with(2, 8)), kept)
    other = Machine(fastest_with(1, 4))

    assert make(other, kept, "other").n_threads == 1


def test_a_busy_machine_is_not_measured_and_the_next_load_tries_again(kept: KeptChoices) -> None:
    busy, quiet = Machine(fastest_with(2, 8), others=7.0), Machine(fastest_with(2, 8))

    assert make(busy, kept).n_threads == 1
    assert busy.tried == []
    assert make(quiet, kept).n_threads == 2


def test_what_was_measured_while_others_came_is_not_kept(kept: KeptChoices) -> None:
    machine = Machine(fastest_with(2, 8))

    class GetsBusy(Machine):
        def time_batch(self, n_tokens: int, n_threads: int) -> float:
            self.others = 20.0
            return super().time_batch(n_tokens, n_threads)

    make(GetsBusy(fastest_with(1, 1)), kept)

    assert make(machine, kept).n_threads == 2


def test_a_busy_machine_gets_fewer_than_were_measured(kept: KeptChoices) -> None:
    make(Machine(fastest_with(4, 8)), kept)

    busy = make(Machine(fastest_with(4, 8), others=6.0), kept)

    assert (busy.n_threads, busy.n_prefill_threads) == (2, 2)


def test_a_number_that_the_user_chose_stands(kept: KeptChoices) -> None:
    machine = Machine(fastest_with(2, 8))
    backend = make(machine, kept, wished=3)

    assert machine.tried == []
    assert backend.n_threads == 1  # as the backend was made; nobody changes it


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": 3}', b"\xff\xfe", b"[" * 10_000])
def test_a_damaged_file_is_measured_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "threads.json"
    path.write_bytes(content)

    make(Machine(fastest_with(2, 8)), KeptChoices(path))

    assert make(Machine(fastest_with(1, 1)), KeptChoices(path)).n_threads == 2


def test_impossible_numbers_in_the_file_are_not_believed(tmp_path: Path) -> None:
    kept = KeptChoices(tmp_path / "threads.json")
    kept.put("model", ThreadCounts(0, -3))

    assert kept.get("model") is None


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the folder's place")
    kept = KeptChoices(tmp_path / "cache" / "threads.json")

    assert make(Machine(fastest_with(2, 8)), kept).n_threads == 2
