"""Coroutines that read an answer letter by letter, so that it does not matter where it was split.

Each is sent one letter at a time. One that had to look at a letter too many returns it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Reader = Generator[None, str, T]
Sink = Callable[[str], None]

_LITERAL_LETTERS = frozenset("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Malformed(Exception):
    """The letters so far are no call."""


def skip_space() -> Reader[str]:
    """Returns the first letter that is no white space."""
    while (letter := (yield)).isspace():
        pass
    return letter


def expect(word: str) -> Reader[None]:
    for wanted in word:
        if (yield) != wanted:
            raise Malformed


def name_until(ends: str, n_most: int = 256) -> Reader[tuple[str, str]]:
    """A name on one line and the letter that ended it, which is one of ``ends``."""
    letters: list[str] = []
    while (letter := (yield)) not in ends:
        letters.append(letter)
        if (letter == "\n" and "".join(letters).strip()) or len(letters) > n_most:
            raise Malformed
    return "".join(letters).strip(), letter


def text_until(marker: str, sink: Sink, *, before: str = "", first: str = "") -> Reader[None]:
    """Everything up to ``marker`` goes into ``sink``, but for one ``before`` that stands right before it."""
    both, held = before + marker, first
    while True:
        while held and not both.startswith(held) and not marker.startswith(held):
            sink(held[0])
            held = held[1:]
        if held in (marker, both):
            return
        held += yield


def json_string() -> Reader[str]:
    """The text of a JSON string whose opening quote was read."""
    letters = ['"']
    yield from raw_string('"', letters.append)
    try:
        return str(json.loads("".join(letters), strict=False))
    except ValueError as error:
        raise Malformed from error


def raw_string(quote: str, sink: Sink) -> Reader[None]:
    """The rest of a quoted string, with its closing quote, as it stands."""
    is_escaped = False
    while True:
        letter = yield
        sink(letter)
        if is_escaped:
            is_escaped = False
        elif letter == "\\":
            is_escaped = True
        elif letter == quote:
            return


def json_value(first: str, sink: Sink) -> Reader[str]:
    """A JSON value that begins with ``first``, as it stands. Returns the letter behind a number or word, or nothing."""
    if first not in '{["' and first not in _LITERAL_LETTERS:
        raise Malformed
    sink(first)
    if first == '"':
        yield from raw_string('"', sink)
        return ""
    if first not in "{[":
        while (letter := (yield)) in _LITERAL_LETTERS:
            sink(letter)
        return letter
    depth = 1
    while depth:
        letter = yield
        sink(letter)
        if letter == '"':
            yield from raw_string('"', sink)
        else:
            depth += (letter in "{[") - (letter in "}]")
    return ""


def escaped(text: str) -> str:
    """Text as it stands inside of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
