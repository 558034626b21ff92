"""Which parts of a listing get which colour. The names are those of the theme's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MAX_HIGHLIGHTED_CHARS = 100_000


class ColorRun(NamedTuple):
    """``n_chars`` characters from ``start`` in the colour of the token ``color``."""

    start: int
    n_chars: int
    color: str


_COLORS = {
    "Keyword": "code-keyword",
    "Keyword.Type": "code-type",
    "Keyword.Constant": "code-number",
    "Operator.Word": "code-keyword",
    "Name.Tag": "code-keyword",
    "Name.Function": "code-function",
    "Name.Builtin": "code-function",
    "Name.Builtin.Pseudo": "code-keyword",
    "Name.Decorator": "code-function",
    "Name.Attribute": "code-function",
    "Name.Class": "code-type",
    "Name.Exception": "code-type",
    "Name.Namespace": "code-type",
    "Literal.String": "code-string",
    "Literal.Number": "code-number",
    "Comment": "code-comment",
    "Generic.Inserted": "ok",
    "Generic.Deleted": "bad",
    "Generic.Heading": "code-keyword",
    "Generic.Subheading": "code-keyword",
    "Generic.Prompt": "code-comment",
}


def preload() -> None:
    _lexer("python")


def runs(code: str, language: str) -> list[ColorRun]:
    """The coloured parts, in order. Nothing for an unknown language or a very long text. Thread: any."""
    lexer = _lexer(language.lower()) if len(code) <= MAX_HIGHLIGHTED_CHARS else None
    return list(_runs(lexer, code)) if lexer is not None else []


def _runs(lexer: Lexer, code: str) -> Iterator[ColorRun]:
    from pygments.lexer import RegexLexer

    # The other way in, get_tokens, strips the text, and positions would no longer fit.
    # Like it we end the last line, because some lexers know the end of a comment by the end of its line.
    tokens = lexer.get_tokens_unprocessed(code + "\n") if isinstance(lexer, RegexLexer) else ()
    for start, kind, text in tokens:
        color = _color(kind)
        n_chars = min(len(text), len(code) - start)
        if color is not None and n_chars > 0:
            yield ColorRun(start, n_chars, color)


@cache
def _color(kind: tuple[str, ...]) -> str | None:
    """The colour of the token type or of the nearest type above it."""
    for n_parts in range(len(kind), 0, -1):
        color = _COLORS.get(".".join(kind[:n_parts]))
        if color is not None:
            return color
    return None


@cache
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language) if language else None
    except ClassNotFound:
        return None
