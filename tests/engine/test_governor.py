"""The thread count follows what other programs leave free."""

from __future__ import annotations

from engine.worker.governor import FIRST_LOOK_S, SAMPLE_S, CpuSample, ThreadGovernor, read_cpu


class Machine:
    """A clock, and how many cores everybody and we ourselves keep busy."""

    def __init__(self) -> None:
        self.now_s = self.busy_s = self.own_s = 0.0

    def run(self, governor: ThreadGovernor, *, others: float, own: float = 1.0, samples: int = 1) -> int:
        n_threads = governor.update(self.now_s)
        for _ in range(samples):
            self.now_s += SAMPLE_S
            self.busy_s += (others + own) * SAMPLE_S
            self.own_s += own * SAMPLE_S
            n_threads = governor.update(self.now_s)
        return n_threads

    def read(self, _now_s: float) -> CpuSample:
        return CpuSample(self.now_s, self.busy_s, self.own_s)


def test_a_quiet_machine_gives_all_its_cores() -> None:
    machine = Machine()
    governor = ThreadGovernor(4, 0.0, machine.read, n_cores=4)

    assert machine.run(governor, others=0.2, own=4.0, samples=10) == 4


def test_a_busy_core_costs_a_thread_at_once() -> None:
    machine = Machine()
    governor = ThreadGovernor(4, 0.0, machine.read, n_cores=4)

    assert machine.run(governor, others=1.0) == 3
    assert machine.run(governor, others=3.9) == 1


def test_one_thread_always_stays() -> None:
    machine = Machine()
    governor = ThreadGovernor(2, 0.0, machine.read, n_cores=2)

    assert machine.run(governor, others=1.9, samples=20) == 1


def test_threads_come_back_only_after_some_calm() -> None:
    machine = Machine()
    governor = ThreadGovernor(2, 0.0, machine.read, n_cores=2)
    machine.run(governor, others=1.5)

    assert machine.run(governor, others=0.0, samples=3) == 1
    assert machine.run(governor, others=0.0, samples=10) == 2


def test_what_others_did_in_a_pause_says_nothing_about_now() -> None:
    machine = Machine()
    governor = ThreadGovernor(2, 0.0, machine.read, n_cores=2)
    assert machine.run(governor, others=1.5) == 1
    machine.now_s += 60.0
    machine.busy_s += 120.0

    assert governor.update(machine.now_s) == 2


def test_after_a_pause_it_looks_sooner() -> None:
    machine = Machine()
    governor = ThreadGovernor(2, 0.0, machine.read, n_cores=2)
    machine.now_s = 60.0
    assert governor.update(machine.now_s) == 2
    machine.now_s += FIRST_LOOK_S
    machine.busy_s += 2 * FIRST_LOOK_S

    assert governor.update(machine.now_s) == 1


def test_it_looks_only_now_and_then() -> None:
    machine = Machine()
    governor = ThreadGovernor(2, 0.0, machine.read, n_cores=2)
    machine.busy_s = 100.0

    assert governor.update(SAMPLE_S / 2) == 2


def test_the_systems_numbers_make_sense() -> None:
    sample = read_cpu(1.0)

    assert 0 < sample.own_s <= sample.busy_s
