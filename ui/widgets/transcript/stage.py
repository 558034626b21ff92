"""The widgets of what is visible. Those that leave the screen come back with other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRect
from PySide6.QtWidgets import QApplication, QWidget

from ui.widgets.transcript import metrics
from ui.widgets.transcript.block_views import BlockView, CodeView
from ui.widgets.transcript.flow import Placed
from ui.widgets.transcript.footers import AnswerFooter, UserFooter
from ui.widgets.transcript.message import Message, Part, PartKind
from ui.widgets.transcript.notices import Activity, Notice
from ui.widgets.transcript.text_view import TextView
from ui.widgets.transcript.thought import ThoughtLine

PartWidget = ThoughtLine | BlockView | CodeView | AnswerFooter | UserFooter | Notice | Activity

_WIDGETS: dict[PartKind, type[PartWidget]] = {
    PartKind.THOUGHT: ThoughtLine,
    PartKind.TEXT: BlockView,
    PartKind.CODE: CodeView,
    PartKind.ACTIVITY: Activity,
    PartKind.NOTICE: Notice,
    PartKind.ANSWER_FOOTER: AnswerFooter,
    PartKind.USER_FOOTER: UserFooter,
}


@dataclass(slots=True)
class Actor:
    """A widget and the part that it shows."""

    widget: PartWidget
    placed: Placed


class Stage:
    """The widgets stand on ``ground``; ``home`` gets the focus of one that goes."""

    def __init__(self, home: QWidget, ground: QWidget, on_new_widget: Callable[[PartWidget], None]) -> None:
        self._home = home
        self._ground = ground
        self._on_new_widget = on_new_widget
        self._actors: dict[Part, Actor] = {}
        self._idle: dict[PartKind, list[PartWidget]] = {kind: [] for kind in _WIDGETS}

    def is_current(self, part: Part) -> bool:
        """Whether the part is on stage as it is now, and its height therefore exact."""
        return part.kind is PartKind.RULE or (part in self._actors and not part.is_stale)

    def show(self, placed: Placed, column: metrics.Column) -> int:
        """Put a part on stage, without a position yet, and return its height."""
        part = placed.part
        if part.kind is PartKind.RULE:
            return metrics.rule_height()
        actor = self._actors.get(part)
        if actor is None:
            actor = self._actors[part] = Actor(self._take(part.kind), placed)
        actor.placed = placed
        height = actor.widget.show_part(placed.message, part, width_of(placed, column))
        part.is_stale = False
        return height

    def arrange(self, row: Sequence[Placed], column: metrics.Column, offset: int) -> None:
        """Show exactly these parts, which are all on stage, at their places; ``offset`` is the scrolled way."""
        wanted = {placed.part: placed for placed in row if placed.part.kind is not PartKind.RULE}
        for part in [part for part in self._actors if part not in wanted]:
            self._dismiss(part)
        for part, placed in wanted.items():
            actor = self._actors[part]
            actor.placed = placed
            actor.widget.setGeometry(rect_of(placed, column).translated(0, -offset))
            actor.widget.show()

    def clear(self) -> None:
        for part in list(self._actors):
            self._dismiss(part)

    def actors(self) -> Iterator[Actor]:
        """From above to below."""
        return iter(sorted(self._actors.values(), key=_reading_order))

    def actor_of(self, part: Part) -> Actor | None:
        return self._actors.get(part)

    def actor_with(self, widget: QWidget | None) -> Actor | None:
        """Whose widget this is, or is inside of."""
        actors = {id(actor.widget): actor for actor in self._actors.values()}
        while widget is not None and widget is not self._ground:
            if id(widget) in actors:
                return actors[id(widget)]
            widget = widget.parentWidget()
        return None

    def text_views(self) -> Iterator[tuple[Placed, TextView]]:
        """Everything with text that can be selected, from above to below."""
        for actor in self.actors():
            view = actor.widget.text_view()
            if view is not None:
                yield actor.placed, view

    def _take(self, kind: PartKind) -> PartWidget:
        if self._idle[kind]:
            return self._idle[kind].pop()
        widget = _WIDGETS[kind](self._ground)
        self._on_new_widget(widget)
        return widget

    def _dismiss(self, part: Part) -> None:
        actor = self._actors.pop(part)
        focused = QApplication.focusWidget()
        if focused is not None and (focused is actor.widget or actor.widget.isAncestorOf(focused)):
            # Qt would give the focus to whatever widget comes next in its own order.
            self._home.setFocus()
        actor.widget.hide()
        actor.widget.release()
        self._idle[part.kind].append(actor.widget)


def width_of(placed: Placed, column: metrics.Column) -> int:
    """The most that a part may take of the column."""
    block = placed.part.block
    if block is None:
        return column.width
    return column.bubble_text_width if placed.message.view.is_user else column.width - metrics.indent(block)


def rect_of(placed: Placed, column: metrics.Column) -> QRect:
    part, block = placed.part, placed.part.block
    inset = metrics.footer_inset()
    if part.kind in (PartKind.ANSWER_FOOTER, PartKind.THOUGHT):
        return QRect(column.x - inset, placed.y, column.width + inset, part.height)
    if part.kind is PartKind.USER_FOOTER:
        return QRect(column.x, placed.y, column.width + inset, part.height)
    if block is None:
        return QRect(column.x, placed.y, column.width, part.height)
    y = placed.y - (metrics.text_lift() if part.kind is PartKind.TEXT else 0)
    if placed.message.view.is_user:
        left = _text_right(column) - (part.width if part.is_rtl else bubble_text_width(placed.message))
        return QRect(left, y, part.width, part.height)
    indent = metrics.indent(block)
    return QRect(column.x if part.is_rtl else column.x + indent, y, column.width - indent, part.height)


def bubble_rect(row: Sequence[Placed], column: metrics.Column) -> QRect:
    """Around all parts of one message of the user."""
    blocks = [placed for placed in row if placed.part.block is not None]
    width = bubble_text_width(row[0].message) + 2 * metrics.bubble_padding()
    top = blocks[0].y - metrics.bubble_padding_top()
    return QRect(column.right - width, top, width, blocks[-1].bottom + metrics.bubble_padding_top() - top)


def bubble_text_width(message: Message) -> int:
    return max((part.width for part in message.block_parts), default=0)


def _text_right(column: metrics.Column) -> int:
    return column.right - metrics.bubble_padding()


def _reading_order(actor: Actor) -> tuple[int, int]:
    return actor.placed.message_index, actor.placed.index
