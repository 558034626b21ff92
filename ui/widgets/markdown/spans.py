"""Inline tokens of markdown_it as spans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ui.widgets.markdown.blocks import Span, SpanStyle, is_safe_link

if TYPE_CHECKING:
    from markdown_it.token import Token

_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\[\]]+")
_NOT_LAST_IN_ADDRESS = ".,:;!?*_~"
_OPENING = {"strong_open": SpanStyle.BOLD, "em_open": SpanStyle.ITALIC, "s_open": SpanStyle.STRIKE}
_CLOSING = {"strong_close": SpanStyle.BOLD, "em_close": SpanStyle.ITALIC, "s_close": SpanStyle.STRIKE}
_FORMULAS = {"math_inline": SpanStyle.MATH, "math_inline_double": SpanStyle.MATH | SpanStyle.DISPLAY}
_IMAGE_WITHOUT_TEXT = "image"


def spans_of(tokens: Sequence[Token]) -> tuple[Span, ...]:
    reader = _SpanReader()
    for token in tokens:
        reader.read(token)
    return tuple(_joined(reader.spans))


class _SpanReader:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._style = SpanStyle.NONE
        self._href = ""

    def read(self, token: Token) -> None:
        kind = token.type
        if kind in _OPENING:
            self._style |= _OPENING[kind]
        elif kind in _CLOSING:
            self._style &= ~_CLOSING[kind]
        elif kind == "link_open":
            self._href = _safe(token.attrGet("href"))
        elif kind == "link_close":
            self._href = ""
        else:
            self._read_text(kind, token)

    def _read_text(self, kind: str, token: Token) -> None:
        if kind in ("softbreak", "hardbreak"):
            self._add("\n")
        elif kind in _FORMULAS:
            self._add(token.content.strip(), _FORMULAS[kind])
        elif kind == "code_inline":
            self._add(token.content, SpanStyle.CODE)
        elif kind == "image":
            self._add_image(token)
        elif self._href:
            self._add(token.content)
        else:
            self._add_with_addresses(token.content)

    def _add(self, text: str, style: SpanStyle = SpanStyle.NONE) -> None:
        if text:
            self.spans.append(Span(text, self._style | style, self._href))

    def _add_image(self, token: Token) -> None:
        """An image is its description; it is a link to the picture, which only a click follows."""
        href = self._href or _safe(token.attrGet("src"))
        self.spans.append(Span(token.content or _IMAGE_WITHOUT_TEXT, self._style | SpanStyle.ITALIC, href))

    def _add_with_addresses(self, text: str) -> None:
        position = 0
        for start, end in _addresses(text):
            self._add(text[position:start])
            self.spans.append(Span(text[start:end], self._style, text[start:end]))
            position = end
        self._add(text[position:])


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where bare web addresses stand, without the punctuation of the sentence around them."""
    if "://" not in text:
        return
    for match in _ADDRESS.finditer(text):
        address = match.group().rstrip(_NOT_LAST_IN_ADDRESS)
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(_NOT_LAST_IN_ADDRESS)
        yield match.start(), match.start() + len(address)


def _safe(address: object) -> str:
    return address if isinstance(address, str) and is_safe_link(address) else ""


def _joined(spans: Sequence[Span]) -> Iterator[Span]:
    """Neighbours of one style as one span, which makes fewer pieces to lay out."""
    run: list[Span] = []
    for span in spans:
        if run and (span.style != run[0].style or span.href != run[0].href or span.style & SpanStyle.MATH):
            yield _merged(run)
            run = []
        run.append(span)
    if run:
        yield _merged(run)


def _merged(run: Sequence[Span]) -> Span:
    if len(run) == 1:
        return run[0]
    return Span("".join(span.text for span in run), run[0].style, run[0].href)
