"""Where every part of every message is: arithmetic over messages and heights, no widgets.

Positions ("y") are pixels from the top of the whole conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from ui.widgets.transcript import metrics
from ui.widgets.transcript.heights import HeightIndex
from ui.widgets.transcript.message import Message, Part
from ui.widgets.transcript.view_model import MessageStatus, MessageView

_N_OPEN = 128
"""How many messages keep their parts after they were seen; the others are read again when they come back."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Part ``index`` of message ``message_index``, whose upper edge is at ``y``."""

    message_index: int
    index: int
    message: Message
    part: Part
    y: int

    @property
    def bottom(self) -> int:
        return self.y + self.part.height


class Flow:
    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._indices: dict[int, int] = {}
        self._heights = HeightIndex()
        self._first_seen: int | None = None
        self._open: OrderedDict[int, Message] = OrderedDict()
        self.column_width = 1

    @property
    def messages(self) -> Sequence[Message]:
        return self._messages

    @property
    def total(self) -> int:
        return self._heights.total + 2 * metrics.page_margin()

    def set_views(self, views: Sequence[MessageView]) -> None:
        """Messages that are there already stay what they are, with their parts."""
        known = {message.view.id: message for message in self._messages}
        self._messages = [self._message(known.get(view.id), view) for view in views]
        self._indices = {message.view.id: index for index, message in enumerate(self._messages)}
        self._heights = HeightIndex(message.height for message in self._messages)
        self._first_seen = next((index for index, view in enumerate(views) if view.is_first_seen), None)
        self._open = OrderedDict((message.view.id, message) for message in self._messages if message.is_open)

    def append(self, view: MessageView) -> None:
        message = Message(view, self.column_width)
        self._indices[view.id] = len(self._messages)
        self._messages.append(message)
        self._heights.append(message.height)

    @property
    def veiled_to(self) -> int | None:
        """Where what the model does not see ends, with the line that says so; None where it sees everything."""
        if self._first_seen is None:
            return None
        return self.top_of(self._first_seen) + metrics.divider_height()

    def find(self, message_id: int) -> int | None:
        return self._indices.get(message_id)

    def set_column_width(self, width: int) -> None:
        self.column_width = width
        for message in self._messages:
            message.set_column_width(width)

    def top_of(self, message_index: int) -> int:
        return metrics.page_margin() + self._heights.top_of(message_index)

    def message_at(self, y: int) -> int:
        """The nearest message. There must be one."""
        return self._heights.at(max(0, y - metrics.page_margin()))

    def open(self, message_index: int) -> int:
        """Make sure the message has parts. Returns by how much it grew."""
        message = self._messages[message_index]
        before = self._heights[message_index]
        message.open()
        self._open[message.view.id] = message
        self._open.move_to_end(message.view.id)
        self.update_height(message_index)
        return message.height - before

    def update_height(self, message_index: int) -> None:
        """After anything happened to a message."""
        self._heights.set(message_index, self._messages[message_index].height)

    @property
    def is_reading(self) -> bool:
        """Whether a long text on the page has not been read to its end."""
        return any(message.is_reading for message in self._open.values())

    def read_on(self) -> None:
        for message_id, message in self._open.items():
            if message.is_reading:
                message.read_on()
                self.update_height(self._indices[message_id])

    def set_part_height(self, placed: Placed, height: int) -> None:
        placed.message.set_height(placed.part, height)
        self.update_height(placed.message_index)

    def messages_between(self, top: int, bottom: int) -> range:
        if not self._messages:
            return range(0)
        return range(self.message_at(top), self.message_at(max(top, bottom - 1)) + 1)

    def parts_between(self, top: int, bottom: int) -> Iterator[Placed]:
        """Parts of open messages that are at least partly there, from above to below."""
        for message_index in self.messages_between(top, bottom):
            for placed in self.parts_of(message_index):
                if placed.bottom > top and placed.y < bottom:
                    yield placed

    def parts_of(self, message_index: int) -> Iterator[Placed]:
        message = self._messages[message_index]
        y = self.top_of(message_index) + message.top_space
        for index, part in enumerate(message.parts):
            y += part.gap
            yield Placed(message_index, index, message, part, y)
            y += part.height

    def close_oldest(self, in_use: Container[int]) -> None:
        """Forget parts of messages that have not been on the screen for long."""
        for message_id in list(self._open)[: max(0, len(self._open) - _N_OPEN)]:
            message = self._open[message_id]
            index = self._indices[message_id]
            if index not in in_use and message.view.status is not MessageStatus.STREAMING:
                message.close()
                del self._open[message_id]

    def _message(self, known: Message | None, view: MessageView) -> Message:
        if known is None or known.view.is_user is not view.is_user:
            return Message(view, self.column_width)
        if known.view != view:
            known.update(view)
        return known
