"""run_bounded stops what runs away, passes on what does not, and leaves nothing behind in the thread."""

from __future__ import annotations

import threading
import time

import pytest

from engine.prompt.guard import Budget, BudgetExceeded, Limit, run_bounded

SHORT = Budget(time_s=0.05)


def spin() -> None:
    while True:
        pass


class TestRunBounded:
    def test_returns_the_result(self) -> None:
        assert run_bounded(lambda: 42, Budget()) == 42

    def test_passes_on_what_the_work_raises(self) -> None:
        with pytest.raises(KeyError):
            run_bounded(lambda: {"a": 1}["b"], Budget())

    def test_stops_work_that_takes_too_long(self) -> None:
        with pytest.raises(BudgetExceeded) as caught:
            run_bounded(spin, SHORT)
        assert caught.value.limit is Limit.TIME

    def test_stops_work_that_takes_too_much_memory(self) -> None:
        hoard: list[bytearray] = []

        def collect() -> None:
            while True:
                hoard.append(bytearray(b"x" * 100_000))

        with pytest.raises(BudgetExceeded) as caught:
            run_bounded(collect, Budget(time_s=60, memory_bytes=32 * 2**20))
        assert caught.value.limit is Limit.MEMORY

    def test_stops_work_that_swallows_everything_at_first(self) -> None:
        swallowed = []

        def stubborn() -> None:
            try:
                spin()
            except BaseException as error:  # noqa: BLE001 - what a badly written callback would do
                swallowed.append(error)
            spin()

        with pytest.raises(BudgetExceeded):
            run_bounded(stubborn, SHORT)
        assert len(swallowed) == 1

    def test_work_that_ends_just_as_it_is_stopped_raises_nothing_later(self) -> None:
        outcomes = set()
        for number in range(40):
            deadline_s = time.monotonic() + 0.015 + number * 0.0005

            def until_the_deadline(deadline_s: float = deadline_s) -> str:
                while time.monotonic() < deadline_s:
                    pass
                return "done"

            try:
                outcomes.add(run_bounded(until_the_deadline, Budget(time_s=0.001)))
            except BudgetExceeded:
                outcomes.add("stopped")
            for _ in range(1000):  # a late exception would come out here
                pass
        assert outcomes <= {"done", "stopped"}

    def test_leaves_no_thread(self) -> None:
        before = threading.active_count()
        run_bounded(lambda: None, Budget())
        assert threading.active_count() == before

    def test_works_in_another_thread(self) -> None:
        limits = []

        def work() -> None:
            try:
                run_bounded(spin, SHORT)
            except BudgetExceeded as error:
                limits.append(error.limit)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert limits == [Limit.TIME]
