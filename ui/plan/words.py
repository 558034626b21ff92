"""A plan in words: its speeds, and a warning before memory runs short."""

from __future__ import annotations

from engine.plan import MemoryPlan, Verdict
from ui.models.words import size_text


def speeds_text(plan: MemoryPlan) -> str:
    """``Writes about 61 tok/s, reads about 1,240 tok/s``; nothing where that is not known."""
    parts = []
    if plan.decode_tokens_per_s:
        parts.append(f"writes about {speed_text(plan.decode_tokens_per_s)}")
    if plan.prefill_tokens_per_s:
        parts.append(f"reads about {speed_text(plan.prefill_tokens_per_s)}")
    return ", ".join(parts).capitalize()


def speed_text(tokens_per_s: float) -> str:
    """``61 tok/s``, ``4.2 tok/s``"""
    return f"{tokens_per_s:,.0f} tok/s" if tokens_per_s >= 10 else f"{tokens_per_s:.1f} tok/s"


def swap_warning(name: str, plan: MemoryPlan) -> str:
    """Why loading it now is no good idea, and what mapping a file means; nothing where there is no reason to warn."""
    missing = size_text(plan.missing_bytes)
    if plan.verdict is Verdict.TOO_BIG:
        return f"{name} needs {missing} more memory than this machine has. Loading it will most likely fail."
    if plan.verdict is not Verdict.CPU_SWAPS:
        return ""
    mapped = (
        " The file is mapped: the system keeps of it what fits and reads the rest from the disk again for every token."
        if plan.use_mmap
        else ""
    )
    return f"{name} needs {missing} more memory than is free, so answers will be very slow.{mapped}"
