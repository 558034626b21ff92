from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.plans import Tone, badge, best_instead
from engine.plan import Device, MemoryPlan, Verdict, Wishes, plan
from tests.doubles.machines import MACHINES, cpu, gpu, shape_of, unified


def _plan(folder: Path, name: str, *devices: Device, tokens_per_s: float = 61.4) -> MemoryPlan:
    made = plan(shape_of(folder, name), devices)
    return replace(made, decode_tokens_per_s=made.decode_tokens_per_s and tokens_per_s)


def test_a_model_that_fits_tells_how_fast(tmp_path: Path) -> None:
    made = badge(_plan(tmp_path, "llama-8b", gpu(24), cpu()))
    assert made.text == "fits on GPU at 61 tok/s"
    assert made.tone is Tone.OK
    assert made.tooltip.startswith("All of it fits on A GPU")


def test_a_part_is_told_in_words(tmp_path: Path) -> None:
    made = badge(_plan(tmp_path, "qwen3-30b-a3b", gpu(8), cpu()))
    assert made.text == "partly on GPU at 61 tok/s"
    assert badge(_plan(tmp_path, "qwen3-30b-a3b", gpu(12), cpu())).text.startswith("mostly on GPU")
    assert badge(_plan(tmp_path, "llama-70b", gpu(24), cpu())).text.startswith("half on GPU")


def test_what_is_slower_than_reading_is_a_warning(tmp_path: Path) -> None:
    made = badge(_plan(tmp_path, "llama-70b", gpu(24), cpu(), tokens_per_s=2.04))
    assert made.text == "half on GPU at 2.0 tok/s"
    assert made.tone is Tone.WARN


def test_a_processor_alone(tmp_path: Path) -> None:
    assert badge(_plan(tmp_path, "llama-1b", cpu())).text == "fits in memory at 61 tok/s"


def test_too_big_says_by_how_much_and_what_to_try(tmp_path: Path) -> None:
    made = _plan(tmp_path, "llama-70b", unified(20), cpu(20, 24))
    assert badge(made, "Q3_K_M").text == "too big by 20.9 GB, try Q3_K_M"
    assert badge(made, "Q3_K_M").tone is Tone.BAD
    assert badge(made).text == "too big by 20.9 GB"


def test_what_would_swap_is_a_warning_without_a_speed(tmp_path: Path) -> None:
    made = badge(_plan(tmp_path, "llama-8b", *MACHINES["8 GB of RAM"]))
    assert made.text == "slow, 1.5 GB short of memory"
    assert made.tone is Tone.WARN


def test_the_largest_that_fits_is_what_to_try(tmp_path: Path) -> None:
    devices = (cpu(6, 8),)
    plans = {
        "Q8_0": plan(shape_of(tmp_path, "qwen3-14b"), devices),
        "Q4_K_M": plan(shape_of(tmp_path, "gemma3-4b"), devices),
        "Q2_K": plan(shape_of(tmp_path, "llama-1b"), devices),
    }
    assert best_instead(plans) == "Q4_K_M"
    assert best_instead({"Q8_0": plans["Q8_0"]}) is None


def test_every_verdict_has_a_badge(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b")
    seen = {}
    for wishes in (Wishes(), Wishes(n_gpu_layers=10), Wishes(n_gpu_layers=0)):
        for devices in ((gpu(24), cpu()), (gpu(4), cpu()), (cpu(5, 8),), (cpu(1, 2),)):
            made = plan(shape, devices, wishes)
            seen[made.verdict] = badge(made).text
    assert seen.keys() == set(Verdict)
    assert all(seen.values())
