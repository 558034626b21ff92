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
        self._line = 0

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
        self._stick()
        self._line = self._steady_line()
        while self._open_visible() or self._show_visible():
            self._stick()
        self.top = max(0, min(self.top, self.max_top))
        self.row = list(self._flow.parts_between(self.top, self.bottom))
        on_stage = [*self.row, *self._held(held)]
        self._stage.arrange(on_stage, self.column, self.top)
        self._flow.close_oldest({placed.message_index for placed in on_stage})

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

    def _steady_line(self) -> int:
        """Where what was visible before begins: what is above may turn out higher or lower, this must not move."""
        visible = self._flow.parts_between(self.top, self.bottom)
        known = (placed.y for placed in visible if placed.y >= self.top and self._stage.actor_of(placed.part))
        return next(known, self.top)

    def _open_visible(self) -> bool:
        for index in self._flow.messages_between(self.top, self.bottom):
            if not self._flow.messages[index].is_open:
                y = self._flow.top_of(index)
                self._keep_steady(y, self._flow.open(index))
                return True
        return False

    def _show_visible(self) -> bool:
        has_shown = False
        shift = 0
        for placed in list(self._flow.parts_between(self.top, self.bottom)):
            if self._stage.is_current(placed.part):
                continue
            has_shown = True
            growth = self._stage.show(placed, self.column) - placed.part.height
            if growth:
                self._flow.set_part_height(placed, placed.part.height + growth)
                if not placed.part.grows_down:
                    self._keep_steady(placed.y + shift, growth)
                shift += growth
            placed.part.grows_down = False
        return has_shown

    def _keep_steady(self, y: int, growth: int) -> None:
        """Something at ``y`` has grown."""
        if y < self._line and not self.sticks:
            self.top += growth
            self._line += growth

    def _stick(self) -> None:
        if self.sticks:
            self.top = self.max_top

    def _held(self, held: Part | None) -> list[Placed]:
        actor = self._stage.actor_of(held) if held is not None else None
        if actor is None or any(placed.part is held for placed in self.row):
            return []
        return [placed for placed in self._flow.parts_of(actor.placed.message_index) if placed.part is held]
