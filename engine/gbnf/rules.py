"""A grammar as rules: what a text of GBNF says, and what the machine runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chars:
    """One character (a code point) out of ranges, or one that is in none of them."""

    ranges: tuple[tuple[int, int], ...]
    is_inverse: bool = False

    def has(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges) != self.is_inverse

    def has_any(self, low: int, high: int) -> bool:
        """Whether one of the characters from ``low`` to ``high`` is among them."""
        if not self.is_inverse:
            return any(first <= high and low <= last for first, last in self.ranges)
        for first, last in sorted(self.ranges):
            if low < first:
                return True
            low = max(low, last + 1)
        return low <= high


@dataclass(frozen=True, slots=True)
class OneToken:
    """A token of the vocabulary by its number, or any other one."""

    token: int
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """Another rule, by its place."""

    rule: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """A rule several times in a row; ``high`` is None where there is no end."""

    rule: int
    low: int
    high: int | None


Item = Chars | OneToken | Call | Repeat
Sequence = tuple[Item, ...]
Alternatives = tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Rules by their places; ``root`` is where a text begins. None of them begins with itself."""

    rules: tuple[Alternatives, ...]
    root: int
