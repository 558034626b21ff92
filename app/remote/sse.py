"""Server-sent events: bytes as they arrive to whole events, by the rules of the HTML standard, section 9.2.6."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """A server that never ends an event would fill the memory."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """``name`` is "message" where the server gives none. Ids and times to reconnect are of no use here."""

    data: str
    name: str = "message"


class SseParser:
    """Fed with pieces that may be cut anywhere. An event that is not ended by an empty line is none."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._n_bytes = 0
        self._is_first_line = True
        self._skips_newline = False

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that this piece completes. Raises EventTooLong."""
        if not piece:
            return []
        if self._skips_newline and piece.startswith(b"\n"):
            piece = piece[1:]  # the line ended with the piece before, between its two characters
            self._skips_newline = False
            if not piece:
                return []
        self._skips_newline = piece.endswith(b"\r")
        first, *others = _LINE_END.split(piece)
        self._keep(first)
        events = []
        for start in others:
            event = self._end_line()
            if event is not None:
                events.append(event)
            self._keep(start)
        return events

    def _keep(self, part: bytes) -> None:
        self._n_bytes += len(part)
        if self._n_bytes > self._max_event_bytes:
            raise EventTooLong
        if part:
            self._line.append(part)

    def _end_line(self) -> ServerEvent | None:
        line, self._line = b"".join(self._line), []
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(_BOM), False
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        else:  # a comment, whose field is empty, or one that is of no use here
            self._n_bytes -= len(line)
        return None

    def _end_event(self) -> ServerEvent | None:
        data, name = self._data, self._name
        self._data, self._name, self._n_bytes = [], b"", 0
        if not data:
            return None
        return ServerEvent(b"\n".join(data).decode(errors="replace"), name.decode(errors="replace") or "message")
