from __future__ import annotations

import pytest

from engine.reuse import ConversationCache
from ui.models.memory import Tier, cache_text, tier_of

MB = 1_000_000


def cache(n_cells: int, n_ram: int = 0, n_disk: int = 0, n_cold: int = 0) -> ConversationCache:
    n_tokens = n_cells + n_ram + n_disk + n_cold
    return ConversationCache(
        "1", n_tokens, n_cells, n_ram, n_disk, n_cold, n_cells * MB, n_ram * MB, n_disk * MB, False
    )


@pytest.mark.parametrize(
    ("of", "tier"),
    [
        (cache(1204), Tier.READY),
        (cache(1000, n_ram=256), Tier.RAM),
        (cache(1000, n_ram=256, n_disk=256), Tier.DISK),
        (cache(0, n_disk=256), Tier.DISK),
        (cache(256, n_cold=100), Tier.READY),  # a few tokens are read again in no time
        (cache(256, n_cold=1000), Tier.COLD),
        (cache(0, n_cold=10), Tier.COLD),
        (cache(0), Tier.COLD),
        (None, Tier.COLD),
    ],
)
def test_the_badge_is_the_slowest_place_that_is_needed(of: ConversationCache | None, tier: Tier) -> None:
    assert tier_of(of) is tier


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (cache(27), "27 tokens, ready; with all branches 27 MB ready"),
        (cache(1204, n_disk=3), "1,207 tokens, on disk; with all branches 1.2 GB ready, 3.0 MB on disk"),
        (cache(5, n_ram=12), "17 tokens, in RAM; with all branches 5.0 MB ready, 12 MB in RAM"),
        (cache(0, n_disk=3, n_cold=40), "43 tokens, not kept; with all branches 3.0 MB on disk"),
        (cache(0, n_cold=40), "40 tokens, not kept"),
        (None, "not kept"),
    ],
)
def test_the_words_say_how_much_is_where(of: ConversationCache | None, text: str) -> None:
    assert cache_text(of) == text


def test_copies_in_slower_places_are_told() -> None:
    both = ConversationCache("1", 1204, 1204, 0, 0, 0, 27 * MB, 0, 3 * MB, False)

    assert cache_text(both) == "1,204 tokens, ready; with all branches 27 MB ready, 3.0 MB on disk"
