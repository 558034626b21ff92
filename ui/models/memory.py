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


KEPT_WHOLE = "This model's memory cannot be kept in pages; it is kept whole."
"""Of models with a state of their own, and of those with a sliding window that there was no room to keep all of."""


def cache_text(cache: ConversationCache | None) -> str:
    """``1,204 tokens, ready; with all branches 27 MB ready, 3.0 MB on disk``

    Tokens are of the path that was read last, bytes of all branches.
    """
    if cache is None:
        return tier_words(Tier.COLD)
    sizes = ((Tier.READY, cache.cells_bytes), (Tier.RAM, cache.ram_bytes), (Tier.DISK, cache.disk_bytes))
    places = ", ".join(f"{size_text(n_bytes)} {tier_words(tier)}" for tier, n_bytes in sizes if n_bytes)
    path = f"{tokens_text(cache.n_tokens)}, {tier_words(tier_of(cache))}"
    return f"{path}; with all branches {places}" if places else path
