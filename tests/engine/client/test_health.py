"""When a worker counts as hung, and how often it may come back."""

from __future__ import annotations

from engine.client.health import MAX_RESTARTS, RESTART_WINDOW_S, Pulse, RestartBudget


def ticks_until_hung(pulse: Pulse, *, is_stopped: bool = False, is_loading: bool = False, beats: bool = False) -> int:
    for tick in range(1, 5_000):
        if beats:
            pulse.beat(n_steps=3, is_busy=True)
        if pulse.tick(is_stopped, is_loading):
            return tick
    return 0


def test_a_stopped_process_is_found_out_within_seconds() -> None:
    assert ticks_until_hung(Pulse(0.5), is_stopped=True) <= 6


def test_a_starved_process_gets_more_time_than_a_stopped_one() -> None:
    assert ticks_until_hung(Pulse(0.5)) >= 30


def test_a_heartbeat_without_progress_is_a_hang_after_minutes() -> None:
    assert ticks_until_hung(Pulse(0.5), beats=True) >= 500
    assert 100 <= ticks_until_hung(Pulse(0.5), beats=True, is_loading=True) < 500


def test_an_idle_worker_may_stay_idle_for_ever() -> None:
    pulse = Pulse(0.5)
    for _ in range(5_000):
        pulse.beat(n_steps=3, is_busy=False)
        assert pulse.tick(is_stopped=False, is_loading=False) is None


def test_progress_resets_the_patience() -> None:
    pulse = Pulse(0.5)
    for n_steps in range(5_000):
        pulse.beat(n_steps, is_busy=True)
        assert pulse.tick(is_stopped=False, is_loading=False) is None


def test_restarts_are_limited_and_come_back_with_time_or_at_a_users_word() -> None:
    budget = RestartBudget()

    assert [budget.take(float(second)) for second in range(MAX_RESTARTS + 1)] == [True] * MAX_RESTARTS + [False]
    assert budget.take(RESTART_WINDOW_S + MAX_RESTARTS + 1)
    budget.refill()
    assert budget.take(RESTART_WINDOW_S + MAX_RESTARTS + 2)
