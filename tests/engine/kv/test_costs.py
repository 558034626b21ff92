"""Estimates follow what is measured, and give things another chance."""

from __future__ import annotations

import pytest

from engine.kv.costs import Costs, PrefillCost, Rate


def test_a_rate_follows_its_observations() -> None:
    rate = Rate(1e-9)
    for _ in range(20):
        rate.observe(10**8, 0.05)

    assert rate.seconds(10**6) == pytest.approx(5e-4, rel=0.01)


def test_a_bad_observation_fades_with_the_requests_that_follow() -> None:
    costs = Costs()
    before_s = costs.disk_read.seconds(10**6)
    costs.disk_read.observe(10**7, 60.0)
    assert costs.disk_read.seconds(10**6) > 1.0

    for _ in range(1000):
        costs.forget_some()

    assert costs.disk_read.seconds(10**6) == pytest.approx(before_s, rel=0.01)


def test_prefill_gets_dearer_with_the_position() -> None:
    prefill = PrefillCost(1.0, 0.0)
    for _ in range(5):
        for begin in range(0, 8192, 512):
            prefill.observe(begin, 512, 512 * (1e-3 + 1e-6 * (begin + 256)))

    assert prefill.seconds(0, 1000) == pytest.approx(1000 * (1e-3 + 1e-6 * 500), rel=0.02)
    assert prefill.seconds(8000, 9000) == pytest.approx(1000 * (1e-3 + 1e-6 * 8500), rel=0.02)


def test_short_prompts_alone_teach_the_level_and_not_the_slope() -> None:
    prefill = PrefillCost(1.0, 1e-7)
    for n_tokens in (100, 130, 90, 110) * 10:
        prefill.observe(0, n_tokens, n_tokens * 2e-3)

    assert prefill.slope_s == 1e-7
    assert prefill.seconds(0, 100) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(("n_tokens", "seconds"), [(0, 1.0), (-1, 1.0), (5, -1.0)])
def test_nonsense_is_not_learnt(n_tokens: int, seconds: float) -> None:
    prefill, rate = PrefillCost(1e-3, 0.0), Rate(1e-9)

    prefill.observe(0, n_tokens, seconds)
    rate.observe(n_tokens, seconds)

    assert prefill.seconds(0, 1000) == pytest.approx(1.0)
    assert rate.seconds(10**9) == pytest.approx(1.0)
