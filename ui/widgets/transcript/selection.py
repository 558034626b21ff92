"""What of the conversation is selected: from one place to another, across any number of blocks."""

from __future__ import annotations

from dataclasses import dataclass

END = 2**31 - 1
"""Behind the last character of a block, however long it is."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Before character ``offset`` (in UTF-16 units) of part ``part`` of message ``message``, all counted from 0."""

    message: int
    part: int
    offset: int


@dataclass(frozen=True, slots=True)
class Selection:
    """``anchor`` is where it began and ``head`` where the mouse went; either may come first."""

    anchor: Place
    head: Place

    @property
    def start(self) -> Place:
        return min(self.anchor, self.head)

    @property
    def end(self) -> Place:
        return max(self.anchor, self.head)

    @property
    def is_empty(self) -> bool:
        return self.anchor == self.head

    def range_in(self, message: int, part: int, n_chars: int) -> tuple[int, int] | None:
        """Anchor and head as far as they concern one block of ``n_chars`` characters; None if it has no part in it."""
        here = (message, part)
        first, last = self.start, self.end
        if not (first.message, first.part) <= here <= (last.message, last.part):
            return None
        start = min(first.offset, n_chars) if (first.message, first.part) == here else 0
        end = min(last.offset, n_chars) if (last.message, last.part) == here else n_chars
        return (start, end) if self.anchor <= self.head else (end, start)
