"""A plan in words: one sentence for everyone, and the reasons for who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.plan.cache import CacheSettings
from engine.plan.placement import Placement, Room, margin_bytes
from engine.plan.shape import ModelShape
from engine.plan.speed import Speed
from engine.plan.types import DeviceShare, KvType, Verdict, Wishes

_GIB, _MIB = 1 << 30, 1 << 20


class Chosen(Protocol):
    """What the planner chose."""

    @property
    def room(self) -> Room: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def shares(self) -> tuple[DeviceShare, ...]: ...


def sentence(
    shape: ModelShape, verdict: Verdict, shares: Sequence[DeviceShare], missing_bytes: int, decode: float | None
) -> str:
    """What will happen, how fast, and what would help."""
    pace = f", at about {rate_text(decode)} tokens a second" if decode else ""
    gpus = _names([share for share in shares if share.device.is_gpu])
    cpu_bytes = shares[-1].weights_bytes
    match verdict:
        case Verdict.FULL_GPU:
            return f"All of it fits on {gpus}{pace}."
        case Verdict.EXPERTS_ON_CPU:
            part = "experts" if shape.has_experts else "feed-forward weights"
            return f"Attention and cache fit on {gpus}; {size(cpu_bytes)} of {part} stay with the processor{pace}."
        case Verdict.PARTIAL_GPU:
            return f"Part of it fits on {gpus}, and {size(cpu_bytes)} of weights stay with the processor{pace}."
        case Verdict.CPU_ONLY:
            return f"The processor runs it, out of {size(shares[-1].total_bytes)} of memory{pace}."
        case Verdict.CPU_SWAPS:
            return (
                f"It needs {size(missing_bytes)} more memory than is free, so the system will read weights from the "
                "disk again and again, and answers will be slow. Close other programs, or pick a smaller file."
            )
        case Verdict.TOO_BIG:
            return f"It is too big for this machine by {size(missing_bytes)}. Pick a smaller file or a shorter context."


def reasons(
    shape: ModelShape, wishes: Wishes, settings: CacheSettings, choice: Chosen, speed: Speed
) -> tuple[str, ...]:
    """Everything that was decided, each with its cause."""
    lines = [_context(shape, wishes, settings, choice), _cache(shape, wishes, settings), *_where(shape, choice)]
    lines += [_share(share) for share in choice.shares]
    if shape.window:
        lines.append(_windows(shape, settings))
    if settings.n_sequences and shape.has_state:
        lines.append(f"Its state does not grow with the context; there is room for {settings.n_sequences} of it.")
    if speed.prefill:
        lines.append(f"Prompts are read at about {rate_text(speed.prefill)} tokens a second.")
    lines += _mapping(choice)
    return tuple(lines)


def size(n_bytes: int) -> str:
    """In binary units, as memory is sold."""
    return f"{n_bytes / _GIB:.1f} GiB" if n_bytes >= _GIB else f"{n_bytes / _MIB:.0f} MiB"


def rate_text(rate: float) -> str:
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def _context(shape: ModelShape, wishes: Wishes, settings: CacheSettings, choice: Chosen) -> str:
    if settings.n_ctx == shape.n_ctx_train:
        why = "all that the model was trained for"
    elif wishes.n_ctx is not None:
        why = "as you asked"
    elif choice.verdict in (Verdict.EXPERTS_ON_CPU, Verdict.PARTIAL_GPU):
        why = "so that more of the model fits on a GPU"
    else:
        why = "of the usual lengths the longest that fits"
    return f"Context: {settings.n_ctx:,} tokens, {why}."


def _cache(shape: ModelShape, wishes: Wishes, settings: CacheSettings) -> str:
    if not any(layer.cache.key_width for layer in shape.layers):
        return "It has no cache that grows: it keeps a state instead."
    if wishes.kv_type is not None:
        return f"Keys and values are kept as {settings.kv_type}, as you asked."
    if settings.kv_type is KvType.F16:
        return "Keys and values are kept as f16, exactly."
    return "Keys and values are kept as q8_0: half the memory, and a difference that is hardly measurable."


def _windows(shape: ModelShape, settings: CacheSettings) -> str:
    start = f"Some layers see only the last {shape.window:,} tokens; "
    if settings.swa_full:
        return start + "their cells are kept for the whole context all the same, so that nothing need be read again."
    return start + "their cells beyond that are not kept, which saves memory, and some things are read again."


def _where(shape: ModelShape, choice: Chosen) -> list[str]:
    placement, n_all = choice.placement, shape.n_layers + 1
    if not placement.n_gpu_layers:
        return ["No GPU is used." if choice.room.gpus else "There is no GPU that could be used."]
    lines = []
    if placement.n_gpu_layers < n_all:
        lines.append(f"{placement.n_gpu_layers} of {n_all} layers fit on a GPU, the output first.")
    else:
        lines.append(f"All {n_all} layers are on a GPU.")
    if placement.n_ffn_on_cpu:
        part = "experts" if shape.has_experts else "feed-forward matrices"
        lines.append(
            f"The {part} of {placement.n_ffn_on_cpu} layers stay with the processor: a token reads them once, while "
            "attention, which gains most, stays on the GPU."
        )
    if sum(map(bool, placement.counts)) > 1:
        parts = zip(choice.room.gpus, placement.counts, strict=True)
        lines.append("Layers: " + ", ".join(f"{count} on {gpu.name}" for gpu, count in parts if count) + ".")
    return lines


def _share(share: DeviceShare) -> str:
    parts = {
        "weights": share.weights_bytes,
        "cache": share.kv_bytes,
        "computing": share.compute_bytes,
        "draft model": share.draft_bytes,
        "other": share.other_bytes,
    }
    listed = ", ".join(f"{size(n_bytes)} {what}" for what, n_bytes in parts.items() if n_bytes)
    taken, free, left = size(share.total_bytes), size(share.device.free_bytes), size(margin_bytes(share.device))
    return f"{share.device.name}: {taken} of {free} free ({listed}); {left} is left alone."


def _mapping(choice: Chosen) -> list[str]:
    if choice.verdict is Verdict.CPU_ONLY:
        return ["Weights are mapped from the file: the system drops them when memory is scarce, and reads them again."]
    if choice.verdict is Verdict.CPU_SWAPS:
        return ["Weights are mapped from the file, so what does not fit is read from the disk for every token."]
    return []


def _names(shares: Sequence[DeviceShare]) -> str:
    names = [share.device.description or share.device.name for share in shares]
    if len(set(names)) == 1 and len(names) > 1:
        return f"{len(names)} times {names[0]}"
    return " and ".join(names) or "the GPU"
