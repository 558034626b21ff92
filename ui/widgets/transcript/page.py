"""What of the conversation is on the screen, kept steady while estimates become heights and text grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ui.widgets.transcript import metrics
from ui.widgets.transcript.flow import Flow, Placed
from ui.widgets.transcript.message import Part
from ui.widgets.transcript.stage import Stage

_END_SLACK_PX = 4


@dataclass(frozen=True, slots=True)
class ReadingPlace:
    """What is being read: a part of a message, and how far above the screen its upper edge is."""

    message_id: int
    message_index: int
    part_index: int
    hidden_px: int


class Page:
    """``top`` is how far the conversation is scrolled; ``row`` what is visible then, from above to below.

    While ``sticks`` is set the end of the conversation stays at the lower edge.
    """

    def __init__(self, flow: Flow, stage: Stage) -> None:
        self._flow = flow
        self._stage = stage
        self.top = 0
        self.height = 0
        self.column = metrics.Column(0, 1)
        self.sticks = True
        self.row: Sequence[Placed] = ()

    @property
    def max_top(self) -> int:
        return max(0, self._flow.total - self.height)

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def resize(self, whole_width: int, height: int) -> None:
        """``whole_width`` is that of the area with its scroll bar, so that the bar does not move the column."""
        self.height = height
        column = metrics.Column.centred_in(whole_width)
        if column.width != self.column.width:
            self._flow.set_column_width(column.width)
        self.column = column

    def scroll_to(self, top: int) -> None:
        """The reader goes there."""
        self.top = max(0, min(top, self.max_top))
        self.sticks = self.top >= self.max_top - _END_SLACK_PX

    def settle(self, held: Part | None = None) -> None:
        """Show what is visible, until nothing in it is an estimate. The widget of ``held`` is kept in any case."""
        while self._open_visible() or self._show_visible():
            pass
        self.top = max(0, min(self.top, self.max_top))
        self.row = list(self._flow.parts_between(self.top, self.bottom))
        self._stage.arrange([*self.row, *self._held(held)], self.column, self.top)
        self._flow.close_oldest(self._flow.messages_between(self.top, self.bottom))

    def reading_place(self) -> ReadingPlace | None:
        for placed in self.row:
            if placed.bottom > self.top:
                message_id = placed.message.view.id
                return ReadingPlace(message_id, placed.message_index, placed.index, self.top - placed.y)
        return None

    def return_to(self, place: ReadingPlace) -> None:
        """Scroll so that the same is read as before, or what now stands in its place."""
        found = self._flow.find(place.message_id)
        index = min(place.message_index if found is None else found, len(self._flow.messages) - 1)
        if index < 0:
            return
        self._flow.open(index)
        parts = list(self._flow.parts_of(index))
        self.top = parts[min(place.part_index, len(parts) - 1)].y + place.hidden_px

    def _open_visible(self) -> bool:
        self._stick()
        for index in self._flow.messages_between(self.top, self.bottom):
            if not self._flow.messages[index].is_open:
                starts_above = self._flow.top_of(index) < self.top
                growth = self._flow.open(index)
                if starts_above and not self.sticks:
                    self.top += growth
                return True
        return False

    def _show_visible(self) -> bool:
        """What begins above the screen and turns out higher or lower than thought must not move what is below it."""
        self._stick()
        has_shown = False
        shift = 0
        for placed in list(self._flow.parts_between(self.top, self.bottom)):
            if self._stage.is_current(placed.part):
                continue
            has_shown = True
            growth = self._stage.show(placed, self.column) - placed.part.height
            if growth:
                self._flow.set_part_height(placed, placed.part.height + growth)
                if placed.y + shift < self.top and not placed.part.grows_down:
                    self.top += growth
                shift += growth
            placed.part.grows_down = False
        return has_shown

    def _stick(self) -> None:
        if self.sticks:
            self.top = self.max_top

    def _held(self, held: Part | None) -> list[Placed]:
        actor = self._stage.actor_of(held) if held is not None else None
        if actor is None or any(placed.part is held for placed in self.row):
            return []
        return [placed for placed in self._flow.parts_of(actor.placed.message_index) if placed.part is held]
