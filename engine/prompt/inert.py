"""Keeps the text of a message from becoming control tokens, without changing how ordinary text is read.

A control token such as ``<|im_end|>`` counts only where the template wrote it. Before the template runs, each character
of a message that belongs to the text of a control token, or that could complete one at the edge of the message, gets a
stand-in from the private use planes of Unicode::

    message     Use <|im_end|> here
    rendered    <|im_start|>user\\nUse ABCDEFGHIJ here<|im_end|>      A to J are stand-ins
    parts       <|im_start|>user\\nUse     special
                <|im_end|>                not special: the stand-ins, mapped back
                 here<|im_end|>           special

Stand-ins that turn out to touch no control token in the finished prompt are mapped back where they are, so that a
message ending in ``<`` does not split the prompt. The template sees text of the same length, and all of it that is not
part of a control token.

One gap is known: a template that deletes something from the middle of a message may join what is left into a control
token. No template in use does.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.errors import InvalidRequest

_MAX_EDGE_CHARS = 256
"""No real control token is nearly as long; a made-up one may cost this much of a search at each edge, not more."""

_PRIVATE_USE = ((0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
_PRIVATE_USE_LETTER = re.compile("[\U000f0000-\U0010ffff]")

_PRIVATE_USE_ESCAPE = re.compile(r"\\\\|\\U(000f[0-9a-f]{4}|0010[0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A stretch of the prompt. ``special`` says whether the tokenizer may read control tokens in it."""

    text: str
    special: bool


class SpecialTexts:
    """Finds the texts of control tokens in other text, in time that does not depend on how many there are."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(text for text in texts if text)
        self._lengths: dict[str, list[int]] = {}
        for length, first in sorted({(len(text), text[0]) for text in self._texts}):
            self._lengths.setdefault(first, []).append(length)
        self._longest = max(map(len, self._texts), default=0)
        self._first_letter = re.compile("[" + "".join(map(re.escape, self._lengths)) + "]") if self._texts else None
        self._forwards = sorted(self._texts)
        self._backwards = sorted(text[::-1] for text in self._texts)

    def spans(self, text: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """All occurrences, overlapping ones too, that begin between ``start`` and ``stop``."""
        if self._first_letter is None:
            return
        for match in self._first_letter.finditer(text, max(start, 0), len(text) if stop is None else stop):
            position = match.start()
            for length in self._lengths[match.group()]:
                end = position + length
                if end <= len(text) and text[position:end] in self._texts:
                    yield position, end

    def touch(self, text: str, start: int, stop: int) -> bool:
        """Whether an occurrence shares a character with ``text[start:stop]``."""
        return any(end > start for _, end in self.spans(text, start - self._longest + 1, stop))

    def open_end(self, text: str) -> int:
        """How many characters at the end of ``text`` begin a control token that is not complete."""
        return _open_edge(text, self._forwards)

    def open_start(self, text: str) -> int:
        """How many characters at the start of ``text`` end a control token that is not complete."""
        return _open_edge(text[::-1], self._backwards)


def _open_edge(text: str, candidates: list[str]) -> int:
    """The length of the longest tail of ``text`` that is a proper prefix of one of the sorted candidates."""
    for length in range(len(text), 0, -1):
        tail = text[-length:]
        next_longer = bisect.bisect_right(candidates, tail)
        if next_longer < len(candidates) and candidates[next_longer].startswith(tail):
            return length
    return 0


class _Protected(str):
    """Text whose stand-ins stay what they are where a template writes out a dictionary, as Python would."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _PRIVATE_USE_ESCAPE.sub(
            lambda found: chr(int(found[1], 16)) if found[1] else found[0], super().__repr__()
        )


class StandIns:
    """The stand-ins of one rendering: a bijection between characters of messages and private use characters.

    Private use characters that are in a message get a stand-in too, and those in ``template_source`` are never used,
    so a stand-in in the output can only come from a message.
    """

    def __init__(self, special_texts: SpecialTexts, template_source: str) -> None:
        self._special_texts = special_texts
        self._taken = frozenset(_PRIVATE_USE_LETTER.findall(template_source))
        self._unused = (chr(code) for first, last in _PRIVATE_USE for code in range(first, last + 1))
        self._stand_ins: dict[str, str] = {}

    def protect(self, content: str) -> str:
        """The content with stand-ins where the template's output might otherwise gain a control token."""
        marked = bytearray(len(content))
        for start, stop in self._dangerous_spans(content):
            marked[start:stop] = b"\1" * (stop - start)
        if not any(marked):
            return content
        return _Protected(
            "".join(self._stand_in(letter) if mark else letter for letter, mark in zip(content, marked, strict=True))
        )

    def make_mark(self) -> str:
        """A character that stands for nothing and comes from no message: it finds a place in the output again."""
        return next(unused for unused in self._unused if unused not in self._taken)

    def split(self, output: str) -> tuple[PromptPart, ...]:
        """Map back, and part the output where it holds control tokens that came from messages."""
        text = output.translate({ord(stand_in): letter for letter, stand_in in self._stand_ins.items()})
        parts, position = [], 0
        for start, stop in self._runs(output):
            if self._special_texts.touch(text, start, stop):
                parts.append(PromptPart(text[position:start], special=True))
                parts.append(PromptPart(text[start:stop], special=False))
                position = stop
        parts.append(PromptPart(text[position:], special=True))
        return tuple(part for part in parts if part.text)

    def _dangerous_spans(self, content: str) -> Iterator[tuple[int, int]]:
        """Control tokens, edges that could become one, and private use.

        The edges are those of the stripped content, since many templates strip. White space stays what it is.
        """
        yield from self._special_texts.spans(content)
        start, stop = len(content) - len(content.lstrip()), len(content.rstrip())
        yield start, start + self._special_texts.open_start(content[start : start + _MAX_EDGE_CHARS])
        yield stop - self._special_texts.open_end(content[max(stop - _MAX_EDGE_CHARS, 0) : stop]), stop
        for match in _PRIVATE_USE_LETTER.finditer(content):
            yield match.span()

    def _stand_in(self, letter: str) -> str:
        known = self._stand_ins.get(letter)
        if known is None:
            known = next((unused for unused in self._unused if unused not in self._taken), None)
            if known is None:
                raise InvalidRequest("The conversation holds too many different private use characters.")
            self._stand_ins[letter] = known
        return known

    def _runs(self, output: str) -> Iterator[tuple[int, int]]:
        if self._stand_ins:
            for match in re.finditer("[" + "".join(self._stand_ins.values()) + "]+", output):
                yield match.span()
