"""Speeds out of the events of requests, by a clock that a test turns."""

from __future__ import annotations

import pytest

from ui.models.throughput import N_BUCKETS, Throughput, Work


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Throughput:
    return Throughput(clock)


def write(meter: Throughput, clock: Clock, *requests: str, n: int, each_s: float) -> None:
    for n_tokens in range(2, n + 2):
        clock.now_s += each_s
        for request in requests:
            meter.written(request, n_tokens)


def test_nothing_is_known_before_anything_ran(meter: Throughput) -> None:
    speeds = meter.speeds(Work.WRITING)

    assert speeds.series == (None,) * N_BUCKETS
    assert (speeds.now, speeds.last, speeds.peak) == (None, None, 0.0)


def test_writing_counts_tokens_after_the_first(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 10, 10)
    meter.written("a", 1)
    write(meter, clock, "a", n=40, each_s=0.1)

    assert meter.speeds(Work.WRITING).now == pytest.approx(10)


def test_two_answers_at_once_are_twice_as_fast(meter: Throughput, clock: Clock) -> None:
    for request in ("a", "b"):
        meter.started(request, 10, 10)
        meter.written(request, 1)
    write(meter, clock, "a", "b", n=40, each_s=0.1)

    assert meter.speeds(Work.WRITING).now == pytest.approx(20)


def test_reading_leaves_out_what_was_remembered(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 1100, 100)
    clock.now_s += 0.5
    meter.read("a", 600)
    clock.now_s += 0.5
    meter.written("a", 1)

    assert meter.speeds(Work.READING).last == pytest.approx(1000)


def test_pauses_are_gaps_and_not_slowness(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 10, 10)
    meter.written("a", 1)
    write(meter, clock, "a", n=10, each_s=0.1)
    meter.ended("a")
    clock.now_s += 10

    speeds = meter.speeds(Work.WRITING)
    assert speeds.now is None
    assert speeds.last == pytest.approx(10)
    assert speeds.series[-1] is None
    assert speeds.peak == pytest.approx(10)


def test_a_prompt_that_was_there_already_says_nothing_about_reading(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 500, 490)
    clock.now_s += 0.001
    meter.written("a", 1)

    assert meter.speeds(Work.READING).last is None


def test_what_is_older_than_the_span_is_forgotten(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 10, 10)
    meter.written("a", 1)
    write(meter, clock, "a", n=10, each_s=0.1)
    meter.ended("a")
    clock.now_s += 1000

    assert set(meter.speeds(Work.WRITING).series) == {None}


def test_another_model_begins_anew(meter: Throughput, clock: Clock) -> None:
    meter.started("a", 10, 10)
    meter.written("a", 1)
    write(meter, clock, "a", n=10, each_s=0.1)

    meter.forget()

    assert meter.speeds(Work.WRITING).last is None
    meter.written("a", 50)  # of a request that is no longer known
    assert meter.speeds(Work.WRITING).last is None
