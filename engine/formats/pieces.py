"""What an answer is made of, and the place where a parser puts it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from engine.formats.letters import Malformed
from engine.formats.offered import Offered
from engine.types import ToolCallPart


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str


Piece = Text | Reasoning | ToolCallPart


def make_call_id() -> str:
    return "call_" + secrets.token_hex(12)


class Pieces:
    """Collects the pieces of one answer; neighbours of one kind become one.

    White space at the edges of reasoning, and between a text and a call, belongs to the form and not to the answer. It
    is held back until it is known what follows; with ``is_exact`` text is passed on as it comes.

    A call is *recorded* from its marker on: until its name is announced, it may turn out to be text.
    """

    def __init__(self, *, is_exact: bool, make_id: Callable[[], str] = make_call_id) -> None:
        self.n_calls = 0
        self.n_complete = 0
        self.recorded: list[str] | None = None
        """What may have to be given back as text; None while nothing is in doubt."""
        self.allowed: Offered | None = None
        """Names that a call may have. None: any; where a marker says so, a call is a call, whatever it calls."""
        self._is_exact = is_exact
        self._make_id = make_id
        self._kind: type[Text] | type[Reasoning] = Text
        self._pieces: list[Piece] = []
        self._parts: list[str] = []
        self._arguments: list[str] = []
        self._white: list[str] = []
        self._is_at_start = False

    def text(self, text: str) -> None:
        self._write(Text, text)

    def reasoning(self, text: str) -> None:
        self._write(Reasoning, text)

    def turn(self) -> None:
        """What comes next stands after a marker: white space around it is not part of the answer."""
        self._white.clear()
        self._is_at_start = True

    def record(self, text: str) -> None:
        """From here on a call may turn out to be text."""
        if self.recorded is None:
            self.recorded = [text]

    def give_back(self) -> str:
        """What was recorded, which is no call after all."""
        recorded, self.recorded = self.recorded, None
        return "".join(recorded or [])

    def admit(self, name: str) -> None:
        """Raises Malformed where no call has this name."""
        if not name or (self.allowed is not None and name not in self.allowed):
            raise Malformed

    def announce(self, name: str) -> None:
        """There is a call; its arguments follow. Raises Malformed where no call has this name."""
        self.admit(name)
        self.recorded = None
        self._flush()
        self.turn()
        self._pieces.append(ToolCallPart(self.n_calls, self._make_id(), name))
        self.n_calls += 1

    def arguments(self, text: str) -> None:
        """A piece of the arguments of the call that was announced last."""
        self._arguments.append(text)

    def complete(self) -> None:
        self._flush()
        self.n_complete += 1

    def release(self) -> None:
        """The answer is over: white space that was held back is its end, unless a call came before it."""
        if not self._is_at_start and self._kind is Text:
            self._parts += self._white
        self._white.clear()

    def take(self) -> list[Piece]:
        self._flush()
        pieces, self._pieces = self._pieces, []
        return pieces

    def _write(self, kind: type[Text] | type[Reasoning], text: str) -> None:
        if kind is not self._kind or self._arguments:
            self._flush()
            self._kind = kind
        if self._is_at_start:
            text = text.lstrip()
        if not text:
            return
        self._is_at_start = False
        if self._is_exact and kind is Text:
            self._parts.append(text)
            return
        stripped = text.rstrip()
        if stripped:
            self._parts += [*self._white, stripped]
            self._white.clear()
        if len(stripped) < len(text):
            self._white.append(text[len(stripped) :])

    def _flush(self) -> None:
        if self._parts:
            self._pieces.append(self._kind("".join(self._parts)))
            self._parts.clear()
        if self._arguments:
            self._pieces.append(ToolCallPart(self.n_calls - 1, arguments="".join(self._arguments)))
            self._arguments.clear()
