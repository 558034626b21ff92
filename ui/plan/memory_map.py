"""What holds each device's memory: a receipt, the device's own numbers and the KV cache, as parts of a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from engine.plan.types import CPU_DEVICE
from engine.receipt import BufferKind, DeviceUse, PlannedShare, Receipt
from ui.models.memory import tier_of, tier_words
from ui.models.words import size_text, tokens_text
from ui.widgets.memory_bar import BarPart, LegendItem, PartKind

if TYPE_CHECKING:
    from engine.events import CacheChanged
    from engine.plan.types import DeviceShare
    from engine.reuse import ConversationCache

_TOLERANCE_BYTES = 100 * 2**20
_TOLERANCE_SHARE = 0.02
_MAPPED = "_Mapped"
"""How llama.cpp's names of buffers end that are a view of the file: the system may drop such pages at any time."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device as it is now. A processor's ``free_bytes`` are what the system calls available."""

    name: str
    title: str
    total_bytes: int
    free_bytes: int

    @property
    def is_cpu(self) -> bool:
        return self.name == CPU_DEVICE


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a model holds on one device. ``mapped_bytes`` of its weights are pages of the file."""

    weights_bytes: int = 0
    draft_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    mapped_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.draft_bytes + self.kv_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """What of the cells is in use, and by which conversations, with their names."""

    cache: CacheChanged
    titles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """A bar and its words. ``planned_bytes`` is None where nothing was planned."""

    device: DeviceState
    parts: tuple[BarPart, ...]
    legend: tuple[LegendItem, ...]
    held_bytes: int
    planned_bytes: int | None = None
    is_planned: bool = False

    @property
    def caption(self) -> str:
        """``9.4 of 12.0 GB · planned 9.4 GB``"""
        used = self.device.total_bytes - _bytes_of(self.parts, PartKind.FREE)
        words = f"{_gigabytes(used)} of {size_text(self.device.total_bytes)}"
        if self.planned_bytes:
            words += f" · model {size_text(self.held_bytes)}, planned {size_text(self.planned_bytes)}"
        return words


def loaded_of(receipt: Receipt, device: str) -> Loaded:
    """As measured; what a GPU lost beyond its buffers is the model's as well."""
    sizes = {kind: receipt.measured_bytes(device, kind) for kind in BufferKind}
    mapped = [b.size_bytes for b in receipt.buffers if b.device == device and b.name.endswith(_MAPPED)]
    use = next((use for use in receipt.devices if use.device == device), None)
    other = receipt.other_bytes(use) if use is not None and device != CPU_DEVICE else 0
    return Loaded(
        weights_bytes=sizes[BufferKind.WEIGHTS] + sizes[BufferKind.ADAPTER],
        kv_bytes=sizes[BufferKind.KV] + sizes[BufferKind.STATE],
        compute_bytes=sizes[BufferKind.COMPUTE] + sizes[BufferKind.OUTPUT] + other,
        mapped_bytes=sum(mapped),
    )


def planned_of(share: PlannedShare | DeviceShare) -> Loaded:
    return Loaded(share.weights_bytes, share.draft_bytes, share.kv_bytes, share.compute_bytes + share.other_bytes)


def planned_in(use: DeviceUse) -> Loaded | None:
    """What a receipt can be held against; None where nothing was planned.

    Of the processor's memory that is the buffers: nobody can tell there what else a load took.
    """
    if use.planned is None:
        return None
    planned = planned_of(use.planned)
    if use.device == CPU_DEVICE:
        planned = replace(planned, compute_bytes=use.planned.compute_bytes)
    return planned


def map_device(device: DeviceState, loaded: Loaded, remembered: Remembered | None = None) -> DeviceMap:
    """A device with a model that is there."""
    free_bytes, others_bytes = _around(device, loaded)
    parts = [
        *_own_parts(loaded, _kv_parts(loaded.kv_bytes, remembered)),
        BarPart(PartKind.OTHERS, others_bytes, f"Other programs: {size_text(others_bytes)}"),
        BarPart(PartKind.FREE, free_bytes, f"Free: {size_text(free_bytes)}"),
    ]
    return DeviceMap(device, tuple(parts), _legend(parts), loaded.total_bytes)


def map_plan(device: DeviceState, planned: Loaded) -> DeviceMap:
    """A device as it will be: what is planned takes its room from what is free now."""
    others_bytes = max(0, device.total_bytes - device.free_bytes)
    free_bytes = max(0, device.free_bytes - planned.total_bytes)
    kv = [BarPart(PartKind.KV, planned.kv_bytes, f"Conversations: {size_text(planned.kv_bytes)}")]
    parts = [
        *_own_parts(planned, kv),
        BarPart(PartKind.OTHERS, others_bytes, f"Other programs: {size_text(others_bytes)}"),
        BarPart(PartKind.FREE, free_bytes, f"Free: {size_text(free_bytes)}"),
    ]
    return DeviceMap(device, tuple(parts), _legend(parts), 0, planned.total_bytes, is_planned=True)


def with_plan(shown: DeviceMap, use: DeviceUse | None) -> DeviceMap:
    planned = planned_in(use) if use is not None else None
    return shown if planned is None else replace(shown, planned_bytes=planned.total_bytes)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well a plan came true. ``tone`` is that of a badge."""

    words: str
    tone: str
    explanation: str


def verdict_of(receipt: Receipt) -> Verdict | None:
    """None where nothing was planned."""
    differences = []
    for use in receipt.devices:
        wanted = planned_in(use)
        if wanted is not None and wanted.total_bytes:
            planned, measured = wanted.total_bytes, loaded_of(receipt, use.device).total_bytes
            differences.append((abs(measured - planned), measured - planned, planned, use.device))
    if not differences:
        return None
    off, signed, planned, device = max(differences)
    is_close = off <= max(_TOLERANCE_BYTES, planned * _TOLERANCE_SHARE)
    explanation = (
        f"{device}: {size_text(off)} {'more' if signed > 0 else 'less'} than the {size_text(planned)} planned."
    )
    if is_close:
        return Verdict(f"Everything as planned · off by {size_text(off)}", "ok", explanation)
    return Verdict(f"Off the plan by {size_text(off)}", "warn", explanation)


def _around(device: DeviceState, loaded: Loaded) -> tuple[int, int]:
    """Free bytes and those of others.

    What is mapped counts as available with the system although it is in use, as far as it fits.
    """
    if not device.is_cpu:
        free_bytes = device.free_bytes
        return free_bytes, max(0, device.total_bytes - free_bytes - loaded.total_bytes)
    free_bytes = max(0, device.free_bytes - loaded.mapped_bytes)
    fixed_bytes = loaded.total_bytes - loaded.mapped_bytes
    return free_bytes, max(0, device.total_bytes - device.free_bytes - fixed_bytes)


def _own_parts(loaded: Loaded, kv: Sequence[BarPart]) -> list[BarPart]:
    weights = f"Weights: {size_text(loaded.weights_bytes)}"
    if loaded.mapped_bytes:
        weights += ", mapped from the file: the system can take this memory back and read it again"
    return [
        BarPart(PartKind.WEIGHTS, loaded.weights_bytes, weights),
        BarPart(PartKind.DRAFT, loaded.draft_bytes, f"Draft model: {size_text(loaded.draft_bytes)}"),
        *kv,
        BarPart(PartKind.COMPUTE, loaded.compute_bytes, f"Room to compute in: {size_text(loaded.compute_bytes)}"),
    ]


def _kv_parts(kv_bytes: int, remembered: Remembered | None) -> list[BarPart]:
    """Conversations by their share of the cells, what else is in cells, and the cells that are empty."""
    if remembered is None or not remembered.cache.usage.n_cells:
        return [BarPart(PartKind.KV_FREE, kv_bytes, f"For conversations: {size_text(kv_bytes)}")]
    usage = remembered.cache.usage
    used_bytes = round(kv_bytes * min(1.0, usage.cells_used / usage.n_cells))
    shown = [cache for cache in remembered.cache.conversations if cache.cells_bytes]
    counted = sum(cache.cells_bytes for cache in shown)
    scale = min(1.0, used_bytes / counted) if counted else 0.0  # what several share is counted for each of them
    parts = [_conversation_part(cache, round(cache.cells_bytes * scale), remembered.titles) for cache in shown]
    rest = max(0, used_bytes - sum(part.n_bytes for part in parts))
    free = max(0, kv_bytes - used_bytes)
    return [
        *parts,
        BarPart(PartKind.KV_OTHER, rest, f"Requests of no conversation: {size_text(rest)}"),
        BarPart(PartKind.KV_FREE, free, f"Free for conversations: {size_text(free)}"),
    ]


def _conversation_part(cache: ConversationCache, n_bytes: int, titles: Mapping[str, str]) -> BarPart:
    words = _conversation_words(cache, title_of(cache.id, titles))
    return BarPart(PartKind.KV, n_bytes, words, cache.id, cache.is_pinned)


@lru_cache(maxsize=256)
def _conversation_words(cache: ConversationCache, title: str) -> str:
    """Kept, because every device has a part of every conversation."""
    place = tier_words(tier_of(cache)) + (", kept ready" if cache.is_pinned else "")
    return f"{title}: {size_text(cache.cells_bytes)}, {tokens_text(cache.n_tokens)}, {place}"


def title_of(conversation: str, titles: Mapping[str, str]) -> str:
    """Clients of the API name their conversations as they like."""
    return titles.get(conversation) or f"API: {conversation}"


def _legend(parts: Sequence[BarPart]) -> tuple[LegendItem, ...]:
    groups = (
        ("weights", PartKind.WEIGHTS, (PartKind.WEIGHTS,)),
        ("draft", PartKind.DRAFT, (PartKind.DRAFT,)),
        ("KV in use", PartKind.KV, (PartKind.KV, PartKind.KV_OTHER)),
        ("KV free", PartKind.KV_FREE, (PartKind.KV_FREE,)),
        ("compute", PartKind.COMPUTE, (PartKind.COMPUTE,)),
        ("other programs", PartKind.OTHERS, (PartKind.OTHERS,)),
        ("free", PartKind.FREE, (PartKind.FREE,)),
    )
    items = []
    for words, kind, kinds in groups:
        n_bytes = _bytes_of(parts, *kinds)
        if n_bytes:
            items.append(LegendItem(kind, f"{words} {size_text(n_bytes)}"))
    return tuple(items)


def _bytes_of(parts: Sequence[BarPart], *kinds: PartKind) -> int:
    return sum(part.n_bytes for part in parts if part.kind in kinds)


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f}"
