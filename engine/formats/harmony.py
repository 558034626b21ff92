"""OpenAI's harmony, as gpt-oss speaks it: every message has a channel.

::

    <|channel|>analysis<|message|>...<|end|>                                                  reasoning
    <|start|>assistant<|channel|>commentary to=functions.name <|constrain|>json<|message|>{}   a call
    <|start|>assistant<|channel|>final<|message|>...                                           text

The prompt ends behind ``<|start|>assistant``; the last marker is the end of the turn and never comes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.formats.families import HARMONY_MARKERS
from engine.formats.offered import Offered
from engine.formats.pieces import Piece, Pieces

_MOST_HEADER = 512
_MARKER = re.compile("|".join(map(re.escape, HARMONY_MARKERS)))
_OPEN = re.compile("<(?:\\|[a-z]{0,9}(?:\\|)?)?\\Z")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")


class HarmonyStream:
    """Implements ``AnswerStream``."""

    def __init__(self, tools: Offered, make_id: Callable[[], str]) -> None:
        self.is_over = False
        self._tools = tools
        self._out = Pieces(is_exact=False, make_id=make_id)
        self._header: list[str] | None = []
        self._held = ""
        self._write: Callable[[str], None] = self._out.text
        self._is_call = False
        self._has_arguments = False
        self._is_first = True

    @property
    def n_complete_calls(self) -> int:
        return self._out.n_complete

    def push(self, text: str) -> list[Piece]:
        text = self._held + text
        position = 0
        for found in _MARKER.finditer(text):
            self._take(text[position : found.start()])
            self._mark(found.group())
            position = found.end()
        rest = text[position:]
        open_ = _OPEN.search(rest, max(0, len(rest) - 16))
        n_kept = open_.start() if open_ and _may_become_marker(open_.group()) else len(rest)
        self._take(rest[:n_kept])
        self._held = rest[n_kept:]
        return self._out.take()

    def finish(self) -> list[Piece]:
        self._take(self._held)
        self._held = ""
        if self._header is None:
            self._close()
        else:
            self._give_up_header()
        self._out.release()
        return self._out.take()

    def _take(self, text: str) -> None:
        if not text:
            return
        if self._header is None:
            self._has_arguments = self._has_arguments or not text.isspace()
            self._write(text)
            return
        self._header.append(text)
        if sum(map(len, self._header)) > _MOST_HEADER or (self._is_first and not _is_header(self._header)):
            self._give_up_header()

    def _mark(self, marker: str) -> None:
        if marker == "<|message|>":
            self._open("".join(self._header or []))
        elif marker in {"<|start|>", "<|end|>", "<|call|>", "<|return|>"}:
            if self._header is None:
                self._close()
            self._header = []
        elif self._header is not None:
            self._header.append(marker)
        self._is_first = False

    def _open(self, header: str) -> None:
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        self._header = None
        self._out.turn()
        if recipient is not None and self._tools:
            self._is_call, self._has_arguments = True, False
            self._out.announce(recipient.group(1).removeprefix("functions."))
            self._write = self._out.arguments
        else:
            is_thought = channel is not None and channel.group(1) == "analysis"
            self._write = self._out.reasoning if is_thought else self._out.text

    def _close(self) -> None:
        if self._is_call:
            if not self._has_arguments:
                self._out.arguments("{}")
            self._out.complete()
        self._is_call = False
        self._out.turn()

    def _give_up_header(self) -> None:
        """What was no header after all is text."""
        header = _MARKER.sub("", "".join(self._header or []))
        self._header = None
        self._is_call = False
        self._write = self._out.text
        self._write(header)


def _is_header(parts: list[str]) -> bool:
    """Whether what the answer begins with may be the rest of a header, without any marker yet."""
    text = "".join(parts).lstrip()
    return not text or "to=".startswith(text[:3])


def _may_become_marker(text: str) -> bool:
    return any(marker.startswith(text) for marker in HARMONY_MARKERS)
