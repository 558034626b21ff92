"""Where a conversation's tokens are, and what the words and colours for that are."""

from __future__ import annotations

from enum import Enum

from engine.reuse import ConversationCache
from ui.models.words import size_text, tokens_text


class Tier(Enum):
    """From the fastest to the slowest. The value is the token of its colour; what is not kept has none."""

    READY = "gpu"
    RAM = "ram"
    DISK = "disk"
    COLD = None


_WORDS = {Tier.READY: "ready", Tier.RAM: "in RAM", Tier.DISK: "on disk", Tier.COLD: "not kept"}


def tier_of(cache: ConversationCache | None) -> Tier:
    """The slowest tier without which the conversation is not complete; COLD where most of it must be read again."""
    if cache is None or cache.n_cold * 2 > cache.n_tokens or not cache.n_tokens:
        return Tier.COLD
    if cache.n_disk:
        return Tier.DISK
    return Tier.RAM if cache.n_ram else Tier.READY


def tier_words(tier: Tier) -> str:
    return _WORDS[tier]


def cache_text(cache: ConversationCache | None) -> str:
    """``1,204 tokens, 27 MB, ready; 3 MB on disk``"""
    if cache is None:
        return tier_words(Tier.COLD)
    tier = tier_of(cache)
    sizes = {Tier.READY: cache.cells_bytes, Tier.RAM: cache.ram_bytes, Tier.DISK: cache.disk_bytes}
    own_bytes = sizes.pop(tier, 0)
    first = [tokens_text(cache.n_tokens), size_text(own_bytes) if own_bytes else "", tier_words(tier)]
    others = [f"{size_text(n_bytes)} {tier_words(other)}" for other, n_bytes in sizes.items() if n_bytes]
    return "; ".join([", ".join(part for part in first if part), *others])
