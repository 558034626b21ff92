"""Settings know their own ranges."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.errors import BugError, ErrorInfo, ModelFileError
from engine.types import SamplingParams, Timings


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_p": 1.1},
        {"min_p": -1},
        {"repeat_penalty": 0.0},
        {"repeat_last_n": 2**31 - 1},
        {"seed": 2**32 - 1},
    ],
)
def test_a_sampling_setting_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    problem = SamplingParams(**wrong).problem()

    assert problem is not None
    assert next(iter(wrong)) in problem


def test_the_defaults_are_in_range() -> None:
    assert SamplingParams().problem() is None
    assert EngineConfig().problem() is None


def test_a_ubatch_larger_than_the_batch_is_a_problem() -> None:
    assert "n_ubatch" in (EngineConfig(n_batch=256, n_ubatch=512).problem() or "")


def test_speed_needs_two_tokens() -> None:
    assert Timings(0.0, 0.1, 2.0).decode_tokens_per_s(1) is None
    assert Timings(0.0, 0.1, 2.0).decode_tokens_per_s(21) == 10.0


def test_a_known_error_keeps_its_words_and_a_bug_keeps_its_type() -> None:
    known = ErrorInfo.of(ModelFileError("It is empty.", "Get it again."))
    bug = ErrorInfo.of(BugError("x != y"))

    assert (known.kind, known.sentence) == ("ModelFileError", "It is empty. Get it again.")
    assert bug.kind == "BugError"
    assert "x != y" in bug.detail
