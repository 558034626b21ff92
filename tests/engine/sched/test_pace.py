"""How much prefill a step carries beside running answers."""

from __future__ import annotations

from engine.sched.pace import Pace


def test_with_nobody_waiting_a_prompt_gets_whole_chunks() -> None:
    pace = Pace(512)
    pace.observe(0, 512, 1.0)

    assert pace.prefill_tokens(n_decoding=0) == 512


def test_before_anything_was_measured_nothing_is_held_back() -> None:
    assert Pace(512).prefill_tokens(n_decoding=3) == 512


def test_beside_running_answers_prefill_takes_three_quarters_of_a_step() -> None:
    pace = Pace(512)
    for _ in range(50):
        pace.observe(1, 0, 0.010)
        pace.observe(0, 100, 0.030)  # 0.3 ms a token

    assert 95 <= pace.prefill_tokens(n_decoding=1) <= 101


def test_a_slow_machine_still_reads_a_little_in_every_step() -> None:
    pace = Pace(512)
    pace.observe(1, 0, 0.001)
    pace.observe(0, 10, 10.0)

    assert pace.prefill_tokens(n_decoding=1) == 16


def test_mixed_steps_are_taken_apart() -> None:
    pace = Pace(512)
    pace.observe(1, 0, 0.010)
    for _ in range(50):
        pace.observe(1, 100, 0.010 + 0.020)

    assert pace.prefill_s is not None
    assert abs(pace.prefill_s - 0.0002) < 0.00001
