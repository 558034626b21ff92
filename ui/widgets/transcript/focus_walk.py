"""Tab through the conversation in reading order, further than what is on the screen now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget

from ui.widgets.transcript.flow import Flow, Placed
from ui.widgets.transcript.stage import Actor, Stage


class FocusWalk:
    """``bring_into_view`` puts a part of the conversation on stage."""

    def __init__(self, flow: Flow, stage: Stage, bring_into_view: Callable[[Placed], None]) -> None:
        self._flow = flow
        self._stage = stage
        self._bring_into_view = bring_into_view

    def enter(self) -> bool:
        """Go to the first thing on the screen. Returns False if there is none."""
        return any(self._focus(_open_stops(actor), forward=True) for actor in self._stage.actors())

    def step(self, forward: bool) -> bool:
        """Go on from where the focus is. Returns False at the end of the conversation."""
        current = QApplication.focusWidget()
        actor = self._stage.actor_with(current)
        if actor is None or current is None:
            return False
        stops = _open_stops(actor)
        if current in stops:
            index = stops.index(current)
            rest = stops[index + 1 :] if forward else stops[:index]
            if self._focus(rest, forward):
                return True
        return any(self._enter_part(placed, forward) for placed in self._beyond(actor.placed, forward))

    def _beyond(self, here: Placed, forward: bool) -> Iterator[Placed]:
        """All parts after (or before) this one, in the order of the walk."""
        n_messages = len(self._flow.messages)
        steps = range(here.message_index, n_messages) if forward else range(here.message_index, -1, -1)
        for message_index in steps:
            self._flow.open(message_index)
            parts = list(self._flow.parts_of(message_index))
            for placed in parts if forward else reversed(parts):
                is_here = message_index == here.message_index
                if not is_here or (placed.index > here.index if forward else placed.index < here.index):
                    yield placed

    def _enter_part(self, placed: Placed, forward: bool) -> bool:
        self._bring_into_view(placed)
        actor = self._stage.actor_of(placed.part)
        return actor is not None and self._focus(_open_stops(actor), forward)

    def _focus(self, stops: Sequence[QWidget], forward: bool) -> bool:
        if not stops:
            return False
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        stops[0 if forward else -1].setFocus(reason)
        return True


def _open_stops(actor: Actor) -> list[QWidget]:
    return [widget for widget in actor.widget.focus_stops() if widget.isVisible() and widget.isEnabled()]
