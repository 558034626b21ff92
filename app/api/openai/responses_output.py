"""What a model says, as items of a response: each is opened, grows, and is closed before the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from app.api.openai.responses_shapes import (
    ArgumentsDelta,
    ArgumentsDone,
    CallItem,
    ItemAdded,
    ItemDone,
    ItemStatus,
    MessageItem,
    OutputItem,
    OutputTextDelta,
    OutputTextDone,
    OutputTextPart,
    PartAdded,
    PartDone,
    ReasoningDelta,
    ReasoningDone,
    ReasoningItem,
    ReasoningPart,
    ResponseEvent,
)
from app.api.openai.shapes import Logprob, logprobs_of
from app.api.openai.streaming import new_id
from engine.events import TokensEmitted
from engine.types import TokenLogprob, ToolCallPart


class OpenMessage:
    """A message that is being said. ``index`` is its place in the output."""

    def __init__(self, index: int) -> None:
        self.id: str = new_id("msg_")
        self.index = index
        self._text: list[str] = []
        self._logprobs: list[Logprob] = []

    def began(self) -> list[ResponseEvent]:
        part = OutputTextPart("", [], [])
        return [
            ItemAdded(self.index, MessageItem(self.id, "in_progress", [])),
            PartAdded(self.id, self.index, part),
        ]

    def note(self, text: str) -> None:
        """Text without log-probabilities, whose event somebody else writes."""
        self._text.append(text)

    def said(self, text: str, logprobs: Sequence[TokenLogprob]) -> OutputTextDelta:
        shown = logprobs_of(logprobs)
        self._text.append(text)
        self._logprobs += shown
        return OutputTextDelta(self.id, self.index, text, shown)

    def ended(self, status: ItemStatus) -> tuple[OutputItem, list[ResponseEvent]]:
        text = "".join(self._text)
        part = OutputTextPart(text, [], self._logprobs)
        item = MessageItem(self.id, status, [part])
        return item, [
            OutputTextDone(self.id, self.index, text, self._logprobs),
            PartDone(self.id, self.index, part),
            ItemDone(self.index, item),
        ]


class _OpenReasoning:
    def __init__(self, index: int) -> None:
        self.id: str = new_id("rs_")
        self.index = index
        self._text: list[str] = []

    def began(self) -> list[ResponseEvent]:
        return [
            ItemAdded(self.index, ReasoningItem(self.id, "in_progress", [])),
            PartAdded(self.id, self.index, ReasoningPart("")),
        ]

    def said(self, text: str) -> ReasoningDelta:
        self._text.append(text)
        return ReasoningDelta(self.id, self.index, text)

    def ended(self, status: ItemStatus) -> tuple[OutputItem, list[ResponseEvent]]:
        text = "".join(self._text)
        item = ReasoningItem(self.id, status, [ReasoningPart(text)])
        return item, [
            ReasoningDone(self.id, self.index, text),
            PartDone(self.id, self.index, ReasoningPart(text)),
            ItemDone(self.index, item),
        ]


class _OpenCall:
    """``number`` counts the calls of the answer."""

    def __init__(self, index: int, part: ToolCallPart) -> None:
        self.id: str = new_id("fc_")
        self.index = index
        self.number = part.index
        self._call_id = part.id
        self._name = part.name
        self._arguments: list[str] = []

    def began(self) -> list[ResponseEvent]:
        return [ItemAdded(self.index, CallItem(self.id, "in_progress", self._call_id, self._name, ""))]

    def said(self, arguments: str) -> ArgumentsDelta:
        self._arguments.append(arguments)
        return ArgumentsDelta(self.id, self.index, arguments)

    def ended(self, status: ItemStatus) -> tuple[OutputItem, list[ResponseEvent]]:
        arguments = "".join(self._arguments)
        item = CallItem(self.id, status, self._call_id, self._name, arguments)
        return item, [ArgumentsDone(self.id, self.index, self._name, arguments), ItemDone(self.index, item)]


_Open: TypeAlias = OpenMessage | _OpenReasoning | _OpenCall


class Output:
    """The items so far, and the one that is open."""

    def __init__(self) -> None:
        self.items: list[OutputItem] = []
        self._open: _Open | None = None

    @property
    def open_message(self) -> OpenMessage | None:
        return self._open if isinstance(self._open, OpenMessage) else None

    def add(self, event: TokensEmitted) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if event.reasoning:
            events += self._reason(event.reasoning)
        if event.text:
            events += self._say(event.text, event.logprobs)
        for part in event.calls:
            events += self._call(part)
        return events

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """Close what is open. An answer without a word is an empty message."""
        began = [] if self._open or self.items else self._opened(OpenMessage(0))
        return began + self._closed(status)

    def _reason(self, text: str) -> list[ResponseEvent]:
        if isinstance(self._open, _OpenReasoning):
            return [self._open.said(text)]
        item = _OpenReasoning(self._next_index)
        return [*self._opened(item), item.said(text)]

    def _say(self, text: str, logprobs: Sequence[TokenLogprob]) -> list[ResponseEvent]:
        if isinstance(self._open, OpenMessage):
            return [self._open.said(text, logprobs)]
        item = OpenMessage(self._next_index)
        return [*self._opened(item), item.said(text, logprobs)]

    def _call(self, part: ToolCallPart) -> list[ResponseEvent]:
        if isinstance(self._open, _OpenCall) and self._open.number == part.index:
            return [self._open.said(part.arguments)] if part.arguments else []
        item = _OpenCall(self._next_index, part)
        return self._opened(item) + ([item.said(part.arguments)] if part.arguments else [])

    @property
    def _next_index(self) -> int:
        return len(self.items) + (self._open is not None)

    def _opened(self, item: _Open) -> list[ResponseEvent]:
        closed = self._closed("completed")
        self._open = item
        return closed + item.began()

    def _closed(self, status: ItemStatus) -> list[ResponseEvent]:
        if self._open is None:
            return []
        item, events = self._open.ended(status)
        self.items.append(item)
        self._open = None
        return events
