"""Takes an answer apart while it streams: text, reasoning, and calls of tools."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from engine.formats.calls import Body
from engine.formats.families import Format
from engine.formats.harmony import HarmonyStream
from engine.formats.letters import Malformed, Reader
from engine.formats.offered import Offered
from engine.formats.pieces import Piece, Pieces, make_call_id

_MOST_SPACE = 256
"""So much white space before a marker at most; with more of it the answer has begun."""


class AnswerStream(Protocol):
    """One answer. The pieces do not depend on how the text was split. Time is linear in it. One thread."""

    is_over: bool
    """The model has said all: what it writes from here on belongs to somebody else's turn."""

    @property
    def n_complete_calls(self) -> int: ...

    def push(self, text: str) -> list[Piece]:
        """The pieces that became final with this text."""

    def finish(self) -> list[Piece]:
        """The rest, when no more text comes. A call that was never announced is text."""


def open_stream(
    form: Format, tools: Offered, *, in_reasoning: bool = False, make_id: Callable[[], str] = make_call_id
) -> AnswerStream | None:
    """A stream for an answer, or None where the form has nothing to find in it.

    ``tools`` are those that may be called; without any, calls are text. ``in_reasoning``: the prompt ends where
    reasoning has begun.
    """
    if form.is_harmony:
        return HarmonyStream(tools, make_id)
    if form.reasoning is None and not tools:
        return None
    return MarkerStream(form, tools, in_reasoning, make_id)


class MarkerStream:
    """For forms that put markers into their text: all but harmony."""

    def __init__(self, form: Format, tools: Offered, in_reasoning: bool, make_id: Callable[[], str]) -> None:
        self.is_over = False
        self._tools = tools
        self._out = Pieces(is_exact=not tools, make_id=make_id)
        self._calls = form.calls if tools else None
        self._reasoning = form.reasoning
        self._openers: dict[str, Body] = dict(self._calls.openers) if self._calls else {}
        self._text_markers = _Markers((*self._openers, *self._around()))
        self._thought_markers = _Markers((form.reasoning[1], *self._openers)) if form.reasoning else _Markers(())
        self._mode: Callable[[str], str] = self._start
        self._back: Callable[[str], str] = self._text
        self._call: Reader[str] | None = None
        self._held = ""
        self._is_line_blank = True
        if in_reasoning and form.reasoning is not None:
            self._think()

    @property
    def n_complete_calls(self) -> int:
        return self._out.n_complete

    def push(self, text: str) -> list[Piece]:
        while text and not self.is_over:
            text = self._mode(text)
        return self._out.take()

    def finish(self) -> list[Piece]:
        if self._call is not None:
            self._call.close()
            self._call = None
            self._write(self._out.give_back())
        elif not self.is_over:
            self._write(self._held)
        self._held = ""
        self._out.release()
        return self._out.take()

    def _around(self) -> tuple[str, ...]:
        return (*self._calls.silent, *self._calls.ends) if self._calls else ()

    def _start(self, text: str) -> str:
        """Nothing but white space has been said: reasoning may begin here, and a call without a marker."""
        self._held += text
        begun = self._held.lstrip()
        n_space = len(self._held) - len(begun)
        if n_space <= _MOST_SPACE:
            opener = self._reasoning[0] if self._reasoning else ""
            if opener and begun.startswith(opener):
                self._held = ""
                self._think()
                return begun[len(opener) :]
            if opener.startswith(begun):
                return ""
            if self._calls is not None and begun[0] in self._calls.bare:
                held, self._held = self._held, ""
                self._open(held[: n_space + 1], self._calls.bare[begun[0]])
                return held[n_space + 1 :]
        held, self._held = self._held, ""
        self._mode = self._text
        return held

    def _think(self) -> None:
        self._out.turn()
        self._mode = self._thought
        self._is_line_blank = True

    def _text(self, text: str) -> str:
        marker, rest = self._scan(text, self._text_markers)
        if self._calls is not None and marker in self._calls.ends:
            self.is_over = True
            self._out.turn()
        elif marker in self._openers:
            self._open(marker, self._openers[marker])
        elif marker:
            self._out.turn()
        return rest

    def _thought(self, text: str) -> str:
        """Within reasoning. A call of a tool that is offered ends it where it begins a line:
        some models forget to close it."""
        marker, rest = self._scan(text, self._thought_markers)
        if marker in self._openers:
            if self._is_line_blank:
                self._open(marker, self._openers[marker])
            else:
                self._write(marker)
        elif marker:
            self._out.turn()
            self._mode = self._start
            self._reasoning = None  # only what stands before the answer is reasoning
        return rest

    def _scan(self, text: str, markers: _Markers) -> tuple[str, str]:
        """Write what is before the next marker; return the marker, if it is complete, and what is behind it."""
        text = self._held + text
        found = markers.search(text)
        if found is None:
            n_open = markers.open_end(text)
            self._held = text[len(text) - n_open :]
            self._write(text[: len(text) - n_open])
            return "", ""
        self._held = ""
        self._write(text[: found.start()])
        return found.group(), text[found.end() :]

    def _write(self, text: str) -> None:
        is_thought = (self._back if self._mode == self._in_call else self._mode) == self._thought
        if not is_thought:
            self._out.text(text)
            return
        self._out.reasoning(text)
        last_line = text.rpartition("\n")[2]
        self._is_line_blank = not last_line.strip() and (self._is_line_blank or "\n" in text)

    def _open(self, marker: str, body: Body) -> None:
        has_marker = marker in self._openers and self._mode != self._thought
        self._out.allowed = None if has_marker else self._tools
        self._back = self._mode if self._mode == self._thought else self._text
        self._mode = self._in_call
        self._out.record(marker)
        self._call = body(self._out, self._tools)
        next(self._call)

    def _in_call(self, text: str) -> str:
        assert self._call is not None  # as in every moment of this mode
        for position, letter in enumerate(text):
            recorded = self._out.recorded
            if recorded is not None:
                recorded.append(letter)
            try:
                self._call.send(letter)
            except StopIteration as end:
                self._close()
                return str(end.value) + text[position + 1 :]
            except Malformed:
                return self._reject(letter) + text[position + 1 :]
        return ""

    def _close(self) -> None:
        self._call, self._mode = None, self._text
        self._out.recorded = None
        self._out.turn()

    def _reject(self, letter: str) -> str:
        """It is no call, and was not announced: it is text, but for the last letter, which may begin something."""
        self._call = None
        if self._out.recorded is None:  # the call was announced, so it stays as it is
            self._mode = self._text
            return letter
        back = self._out.give_back()
        self._mode = self._back
        self._write(back[:-1])
        return letter


class _Markers:
    """Finds the first of some texts, none of which is a part of another."""

    def __init__(self, markers: tuple[str, ...]) -> None:
        self._longest = max(map(len, markers), default=0)
        beginnings = {marker[:length] for marker in markers for length in range(1, len(marker))}
        self._all = _one_of(markers)
        self._open = _one_of(sorted(beginnings, key=len, reverse=True), r"\Z")

    def search(self, text: str) -> re.Match[str] | None:
        return self._all.search(text)

    def open_end(self, text: str) -> int:
        """How many letters at the end may become a marker."""
        found = self._open.search(text, max(0, len(text) - self._longest + 1))
        return len(text) - found.start() if found else 0


def _one_of(texts: list[str] | tuple[str, ...], behind: str = "") -> re.Pattern[str]:
    """A pattern that never matches where there are none."""
    return re.compile("(?:" + "|".join(map(re.escape, texts)) + ")" + behind if texts else r"(?!)")
