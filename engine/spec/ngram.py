"""Guesses without a model: what followed the last few tokens when they stood in the conversation before.

Answers quote: code that is changed, text that is summarised, names. (Prompt lookup decoding, Saxena 2023.)
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.types import TokenId

SHORTEST = 3
LONGEST = 12


class NgramIndex:
    """The places of every run of ``SHORTEST`` tokens in one growing row of tokens. Each token is indexed once."""

    def __init__(self) -> None:
        self._ends: dict[tuple[TokenId, ...], list[int]] = {}
        self._n_indexed = 0

    def guess(self, tokens: Sequence[TokenId], n_most: int) -> tuple[tuple[TokenId, ...], int]:
        """What may follow ``tokens``, and how many tokens before that are alike; nothing and 0 where nothing is known.

        ``tokens`` only ever grows from call to call. Of the places that are most alike the latest counts.
        """
        self._extend(tokens)
        best_end, best_length = 0, 0
        for end in reversed(self._ends.get(tuple(tokens[-SHORTEST:]), ())):
            if end < len(tokens) and (length := _n_alike(tokens, end)) > best_length:
                best_end, best_length = end, length
                if length == LONGEST:
                    break
        return tuple(tokens[best_end : best_end + n_most]) if best_length else (), best_length

    def _extend(self, tokens: Sequence[TokenId]) -> None:
        for end in range(max(self._n_indexed + 1, SHORTEST), len(tokens) + 1):
            ends = self._ends.setdefault(tuple(tokens[end - SHORTEST : end]), [])
            ends.append(end)
            if len(ends) > _MOST_PLACES:
                del ends[0]
        self._n_indexed = len(tokens)


_MOST_PLACES = 32
"""Of a run that stands everywhere only the latest places are looked at."""


def _n_alike(tokens: Sequence[TokenId], end: int) -> int:
    """How many tokens before ``end`` are the last ones of all, up to ``LONGEST``."""
    n_tokens = len(tokens)
    length = SHORTEST
    while length < min(LONGEST, end) and tokens[end - 1 - length] == tokens[n_tokens - 1 - length]:
        length += 1
    return length
