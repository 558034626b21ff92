"""How probably drafted tokens hold, by their place in the draft."""

from __future__ import annotations

MOST_DRAFTED = 15
_DECAY = 0.93
_PLACE_WEIGHT = 5.0
_PARENT_WEIGHT = 2.0
_FIRST_GUESS = 0.9
"""Before anything is known: high enough to try wherever it could pay, and forgotten after a few drafts."""
_ALL_DECAY = 0.98
_ALL_WEIGHT = 4.0
_REMEMBERED_PART = 0.5
_HOPE = 0.1
_ENOUGH = 1.5


class Overall:
    """How probably a drafted token holds with this pair of models, over all conversations: where a new one begins."""

    def __init__(self) -> None:
        self._hits = 0.0
        self._tries = 0.0

    @property
    def rate(self) -> float:
        return (self._hits + _ALL_WEIGHT * _FIRST_GUESS) / (self._tries + _ALL_WEIGHT)

    @property
    def is_known(self) -> bool:
        return self._tries >= _ENOUGH

    def observe(self, n_drafted: int, n_accepted: int) -> None:
        n_tried = min(n_drafted, n_accepted + 1)
        self._hits = self._hits * _ALL_DECAY + n_accepted
        self._tries = self._tries * _ALL_DECAY + n_tried

    def hope(self) -> None:
        """A new answer begins: what did not work before may work now, so a little is forgotten."""
        self._hits *= 1 - _HOPE
        self._tries *= 1 - _HOPE


class Estimate:
    """The same for one conversation and one kind of draft, place by place: the latest drafts count most."""

    def __init__(self, overall: Overall) -> None:
        self._overall = overall
        self._hits = [0.0] * MOST_DRAFTED
        self._tries = [0.0] * MOST_DRAFTED

    @property
    def rate(self) -> float:
        """How probably a token holds after those before it did."""
        return (sum(self._hits) + _PARENT_WEIGHT * self._overall.rate) / (sum(self._tries) + _PARENT_WEIGHT)

    @property
    def is_known(self) -> bool:
        """Whether drafts were tried often enough to go by how they fared."""
        return self._overall.is_known or sum(self._tries) >= _ENOUGH

    def observe(self, n_drafted: int, n_accepted: int) -> None:
        """Of a draft the first tokens held, and no others."""
        self._fade(_DECAY)
        for place in range(min(n_drafted, n_accepted + 1)):
            self._tries[place] += 1
            self._hits[place] += place < n_accepted
        self._overall.observe(n_drafted, n_accepted)

    def survival(self, n_most: int) -> list[float]:
        """How probably the first 1, 2, 3... tokens of a draft all hold."""
        rate, chance, chances = self.rate, 1.0, []
        for place in range(min(n_most, MOST_DRAFTED)):
            chance *= (self._hits[place] + _PLACE_WEIGHT * rate) / (self._tries[place] + _PLACE_WEIGHT)
            chances.append(chance)
        return chances

    def fade(self) -> None:
        """A new answer of the conversation begins; what was learned counts half as much."""
        self._fade(_REMEMBERED_PART)

    def _fade(self, part: float) -> None:
        """Also of places that were not tried, which so go back to what holds for all."""
        self._hits = [hits * part for hits in self._hits]
        self._tries = [tries * part for tries in self._tries]
