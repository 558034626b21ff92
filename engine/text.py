"""Turns the bytes of token pieces into text that may be shown at once."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


class TextStream:
    """One answer's text. What :meth:`push` returns is final: whole characters, and nothing of a stop string.

    Characters may be spread over pieces, and stop strings over characters; bytes that are no UTF-8 become U+FFFD. The
    text ends before the stop string that is complete first (of several that end on the same character, the longest).
    Only what may still become a stop string is held back. Time is linear in what was pushed. One thread.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self.stopped: str | None = None
        """The stop string that ended the text."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._root = _build_automaton(stop)
        self._state = self._root
        self._held: deque[str] = deque()

    def push(self, piece: bytes) -> str:
        """The text that became final with this piece. Empty once a stop string was found."""
        return self._advance(self._decoder.decode(piece))

    def push_text(self, text: str) -> str:
        """The same for text that consists of whole characters already."""
        return self._advance(text)

    def finish(self) -> str:
        """The rest, when no more pieces come."""
        text = self._advance(self._decoder.decode(b"", final=True))
        rest = "" if self.stopped else "".join(self._held)
        self._held.clear()
        self._state = self._root
        return text + rest

    def _advance(self, text: str) -> str:
        if self.stopped is not None:
            return ""
        if not self._root.next:
            return text
        final: list[str] = []
        for letter in text:
            self._state = _step(self._state, letter)
            self._held.append(letter)
            if self._state.complete:
                self._stop(self._state.complete, final)
                break
            while len(self._held) > self._state.depth:
                final.append(self._held.popleft())
        return "".join(final)

    def _stop(self, found: str, final: list[str]) -> None:
        while len(self._held) > len(found):
            final.append(self._held.popleft())
        self._held.clear()
        self.stopped = found


@dataclass(slots=True, eq=False)
class _State:
    """A node of the automaton of Aho and Corasick: the last ``depth`` characters begin a stop string.

    ``fallback`` is the node for the longest proper tail of those that begins one too. ``complete`` is the longest stop
    string that ends here.
    """

    depth: int = 0
    complete: str | None = None
    fallback: _State | None = None
    next: dict[str, _State] = field(default_factory=dict)


def _build_automaton(stop: Iterable[str]) -> _State:
    root = _State()
    for text in stop:
        state = root
        for letter in text:
            state = state.next.setdefault(letter, _State(state.depth + 1))
        if text:
            state.complete = text
    waiting = deque([root])
    while waiting:  # by depth, so that every fallback is ready before it is needed
        parent = waiting.popleft()
        for letter, child in parent.next.items():
            child.fallback = _step(parent.fallback, letter) if parent.fallback else root
            child.complete = child.complete or child.fallback.complete
            waiting.append(child)
    return root


def _step(state: _State, letter: str) -> _State:
    while letter not in state.next:
        if state.fallback is None:
            return state
        state = state.fallback
    return state.next[letter]
