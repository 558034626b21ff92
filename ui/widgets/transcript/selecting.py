"""Selecting text with the mouse, across blocks and beyond the edge of the screen, and copying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PySide6.QtCore import QObject, QPoint, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from ui.widgets.markdown.blocks import Block, CodeBlock
from ui.widgets.markdown.document import BlockDocument
from ui.widgets.markdown.plain import join, plain_text
from ui.widgets.markdown.sheet import sheet
from ui.widgets.transcript.flow import Flow, Placed
from ui.widgets.transcript.message import Part
from ui.widgets.transcript.selection import END, Place, Selection
from ui.widgets.transcript.stage import Stage
from ui.widgets.transcript.text_view import TextView

_SCROLL_INTERVAL_MS = 40


class Selecting(QObject):
    """Owns the selection of the conversation and keeps those of the text widgets in step with it."""

    def __init__(self, ground: QWidget, flow: Flow, stage: Stage, scroll: Callable[[int], None]) -> None:
        super().__init__(ground)
        self._ground = ground
        self._flow = flow
        self._stage = stage
        self._scroll = scroll
        self._selection: Selection | None = None
        self._pressed: TextView | None = None
        self._mouse = QPoint()
        self._scroll_timer = QTimer(self, interval=_SCROLL_INTERVAL_MS)
        self._scroll_timer.timeout.connect(self._on_scroll_timer)

    @property
    def is_empty(self) -> bool:
        return self._selection is None or self._selection.is_empty

    @property
    def held_part(self) -> Part | None:
        """The part whose widget has the mouse and must not go, whatever is scrolled."""
        actor = self._stage.actor_with(self._pressed)
        return actor.placed.part if actor is not None else None

    def press(self, view: TextView) -> None:
        self._pressed = view
        self._adopt(view)

    def drag(self, view: TextView, mouse: QPoint) -> None:
        if self._pressed is not view or self._selection is None:
            return
        self._mouse = mouse
        local = self._ground.mapFromGlobal(mouse)
        if self._ground.rect().contains(local):
            self._scroll_timer.stop()
        elif not self._scroll_timer.isActive():
            self._scroll_timer.start()
        if view.viewport().rect().contains(view.viewport().mapFromGlobal(mouse)):
            self._adopt(view)
        else:
            self._extend_to(local.y(), mouse)

    def release(self, view: TextView) -> None:
        self._scroll_timer.stop()
        if self._pressed is view and view.viewport().rect().contains(view.viewport().mapFromGlobal(self._mouse)):
            self._adopt(view)
        self._pressed = None

    def finish_word(self, view: TextView) -> None:
        """A double click has selected a word by itself."""
        self._adopt(view)

    def clear(self) -> None:
        self._pressed = None
        self._scroll_timer.stop()
        self._set(None)

    def select_all(self, message_index: int | None) -> None:
        """One message, or with None, or if that one is selected already, the whole conversation."""
        if not self._flow.messages:
            return
        whole = Selection(Place(0, 0, 0), Place(len(self._flow.messages) - 1, END, END))
        if message_index is None:
            self._set(whole)
            return
        one = Selection(Place(message_index, 0, 0), Place(message_index, END, END))
        self._set(whole if self._selection == one else one)

    def apply(self) -> None:
        """Let the widgets on stage show what is selected of them."""
        for placed, view in self._stage.text_views():
            found = None
            if self._selection is not None:
                found = self._selection.range_in(placed.message_index, placed.index, view.n_chars)
            if found is not None:
                view.select(*found)
            elif view.textCursor().hasSelection():
                view.select(0, 0)

    def copy(self) -> None:
        if not self.is_empty:
            QGuiApplication.clipboard().setText(self.text())

    def text(self) -> str:
        """What is selected, as it is shown."""
        if self._selection is None:
            return ""
        messages = range(self._selection.start.message, self._selection.end.message + 1)
        return "\n\n".join(text for index in messages if (text := self._text_of_message(self._selection, index)))

    def _adopt(self, view: TextView) -> None:
        """Take over what the mouse did in one widget."""
        actor = self._stage.actor_with(view)
        if actor is not None:
            message, part = actor.placed.message_index, actor.placed.index
            cursor = view.textCursor()
            self._set(Selection(Place(message, part, cursor.anchor()), Place(message, part, cursor.position())))

    def _extend_to(self, y: int, mouse: QPoint) -> None:
        found = self._nearest(y)
        if found is not None and self._selection is not None:
            placed, view = found
            head = Place(placed.message_index, placed.index, view.place_at(mouse))
            self._set(Selection(self._selection.anchor, head))

    def _nearest(self, y: int) -> tuple[Placed, TextView] | None:
        def distance(item: tuple[Placed, TextView]) -> int:
            top = item[1].mapTo(self._ground, QPoint(0, 0)).y()
            return max(top - y, y - top - item[1].height(), 0)

        return min(self._stage.text_views(), key=distance, default=None)

    def _set(self, selection: Selection | None) -> None:
        self._selection = selection
        self.apply()

    def _on_scroll_timer(self) -> None:
        y = self._ground.mapFromGlobal(self._mouse).y()
        self._scroll(y if y < 0 else y - self._ground.height())
        if self._pressed is not None:
            self.drag(self._pressed, self._mouse)

    def _text_of_message(self, selection: Selection, index: int) -> str:
        message = self._flow.messages[index]
        is_whole = selection.start <= Place(index, 0, 0) and Place(index, END, END) <= selection.end
        if is_whole:
            return message.plain_text()
        return join(self._texts_of_parts(selection, index))

    def _texts_of_parts(self, selection: Selection, message_index: int) -> Iterator[tuple[Block, str]]:
        for index, part in enumerate(self._flow.messages[message_index].block_parts):
            found = selection.range_in(message_index, index, END)
            if found is None or part.block is None:
                continue
            start, end = min(found), max(found)
            yield part.block, plain_text(part.block) if (start, end) == (0, END) else self._piece(part, start, end)

    def _piece(self, part: Part, start: int, end: int) -> str:
        actor = self._stage.actor_of(part)
        view = actor.widget.text_view() if actor is not None else None
        document = view.content if view is not None else _document_of(part.block)
        return document.text_between(start, min(end, document.characterCount() - 1))


def _document_of(block: Block | None) -> BlockDocument:
    """A block as it would be on the screen, for one that is not there now."""
    document = BlockDocument()
    if isinstance(block, CodeBlock):
        document.write_code(0, block.text, (), sheet())
    elif block is not None:
        document.fill(block, sheet(), 1.0)
    return document
