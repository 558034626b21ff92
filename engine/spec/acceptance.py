"""Which drafted tokens hold.

The target draws every token itself, with the request's own chain of samplers, from its own distribution after the
tokens before it. A drafted token holds where it is the very token that was drawn. For a draft that is one certain token
this is the rule of Leviathan et al. 2023 ("Fast Inference from Transformers via Speculative Decoding") and Chen et al.
2023: accepted with the target's probability of it, otherwise replaced by a draw from what is left of the distribution;
here both come from one draw. So the answer has the target's distribution whatever is drafted, under every sampler,
also those with a memory (penalties, DRY, mirostat, grammars), and the same seed gives the same answer with and without
drafts. Greedy is the limit in which the draw is the likeliest token.

A draft model guesses with a copy of that chain, its random numbers included: where both models agree about the
distribution, they draw the same token, however hot the sampling (a coupling as in Daliri et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from engine.types import TokenId


class Drawn(Protocol):
    """What a draw yields, whatever else is known of it."""

    @property
    def token(self) -> TokenId: ...


D = TypeVar("D", bound=Drawn)


def accept(drafted: Sequence[TokenId], draw: Callable[[int], D], goes_on: Callable[[D], bool]) -> list[D]:
    """The tokens that a verified batch yields: those drafted ones that hold, then one that the target drew instead.

    ``draw`` draws the target's token in place of the drafted token of that number, or after the last one, and is
    called in order, never beyond the first token that differs. Nothing follows a token for which ``goes_on`` is False.
    """
    run: list[D] = []
    for number in range(len(drafted) + 1):
        run.append(draw(number))
        if number == len(drafted) or run[-1].token != drafted[number] or not goes_on(run[-1]):
            break
    return run
