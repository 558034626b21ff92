"""A plan in a few words, for a row of a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.plan import MemoryPlan, Verdict

_SIZES = ((10**9, "GB"), (10**6, "MB"))
_NEARLY_ALL, _MOST, _HALF = 0.85, 0.6, 0.4
_SLOW_TOKENS_PER_S = 5.0
"""Slower than people read."""


class Tone(StrEnum):
    """Names of the themes' tones."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Badge:
    text: str
    tone: Tone
    tooltip: str = ""


def badge(plan: MemoryPlan, instead: str | None = None) -> Badge:
    """``instead`` is what to try where this is too big, such as ``Q3_K_M``."""
    pace = plan.decode_tokens_per_s
    at = f" at {_rate(pace)} tok/s" if pace else ""
    tone = Tone.WARN if pace is not None and pace < _SLOW_TOKENS_PER_S else Tone.OK
    match plan.verdict:
        case Verdict.FULL_GPU:
            return Badge(f"fits on GPU{at}", Tone.OK, plan.sentence)
        case Verdict.EXPERTS_ON_CPU | Verdict.PARTIAL_GPU:
            return Badge(f"{_part_on_gpu(plan)} on GPU{at}", tone, plan.sentence)
        case Verdict.CPU_ONLY:
            return Badge(f"fits in memory{at}", tone, plan.sentence)
        case Verdict.CPU_SWAPS:
            text = f"slow, {_size(plan.missing_bytes)} short of memory"
            return Badge(text + _hint(instead), Tone.WARN, plan.sentence)
        case Verdict.TOO_BIG:
            return Badge(f"too big by {_size(plan.missing_bytes)}" + _hint(instead), Tone.BAD, plan.sentence)


def best_instead(plans: Mapping[str, MemoryPlan]) -> str | None:
    """Of the types of one model, smallest loss last: the largest that does not swap. None where none fits."""
    fits = [label for label, plan in plans.items() if plan.verdict not in (Verdict.CPU_SWAPS, Verdict.TOO_BIG)]
    return max(fits, key=lambda label: sum(share.weights_bytes for share in plans[label].shares), default=None)


def _part_on_gpu(plan: MemoryPlan) -> str:
    total = sum(share.weights_bytes for share in plan.shares)
    on_gpu = sum(share.weights_bytes for share in plan.shares if share.device.is_gpu)
    fraction = on_gpu / total if total else 0.0
    if fraction >= _NEARLY_ALL:
        return "nearly all"
    if fraction >= _MOST:
        return "mostly"
    return "half" if fraction >= _HALF else "partly"


def _hint(instead: str | None) -> str:
    return f", try {instead}" if instead else ""


def _rate(rate: float) -> str:
    return f"{rate:.1f}" if rate < 10 else f"{rate:.0f}"


def _size(n_bytes: int) -> str:
    """In decimal units, as files are sold."""
    factor, unit = next((pair for pair in _SIZES if n_bytes >= pair[0]), _SIZES[-1])
    return f"{n_bytes / factor:.1f} {unit}" if factor == _SIZES[0][0] else f"{n_bytes / factor:.0f} {unit}"
