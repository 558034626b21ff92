"""Prompts of a wanted length that no cache has seen."""

from __future__ import annotations

import random

_COMMON = """
the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot but some
what there we can out other were all your when up use word how said an each she which do their time if will way about
many then them would write like so these her long make thing see him two has look more day could go
"""


def words(n_words: int, seed: int) -> str:
    """Common English words, about one token each, the same for the same seed."""
    generator, common = random.Random(seed), _COMMON.split()
    return " ".join(generator.choice(common) for _ in range(n_words))
