"""Blocks as plain text, for the clipboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch

from ui.widgets.markdown.blocks import Block, CodeBlock, MathBlock, PlainBlock, Span, SpanStyle, TableBlock, TextBlock

_INDENT = "  "


def plain_text(block: Block) -> str:
    """What the block shows, with its marker; formulas as TeX, cells parted by tabs."""
    indent = _INDENT * max(0, len(block.frames) - 1)
    return indent + marker_text(block) + _body(block)


def marker_text(block: Block) -> str:
    if block.marker is None:
        return ""
    if block.marker.checked is None:
        return f"{block.marker.text} "
    return "[x] " if block.marker.checked else "[ ] "


def join(texts: Iterable[tuple[Block, str]]) -> str:
    """The texts of neighbouring blocks, with an empty line between them where the page has space."""
    joined = ""
    before: Block | None = None
    for block, text in texts:
        joined += _separator(before, block) + text
        before = block
    return joined


def source_of_math(span: Span) -> str:
    return f"$${span.text}$$" if span.style & SpanStyle.DISPLAY else f"${span.text}$"


def spans_text(spans: Sequence[Span]) -> str:
    return "".join(source_of_math(span) if span.style & SpanStyle.MATH else span.text for span in spans)


def _separator(before: Block | None, block: Block) -> str:
    if before is None:
        return ""
    return "\n" if _goes_on(block) or (block.tight and before.frames) else "\n\n"


def _goes_on(block: Block) -> bool:
    """Whether it is a further piece of something long."""
    return (isinstance(block, CodeBlock) and not block.is_first) or (isinstance(block, PlainBlock) and block.tight)


@singledispatch
def _body(block: Block) -> str:
    return "---"


@_body.register
def _(block: TextBlock) -> str:
    return spans_text(block.spans)


@_body.register
def _(block: PlainBlock) -> str:
    return block.text


@_body.register
def _(block: CodeBlock) -> str:
    return block.text


@_body.register
def _(block: MathBlock) -> str:
    return f"$$\n{block.tex}\n$$"


@_body.register
def _(block: TableBlock) -> str:
    return "\n".join("\t".join(spans_text(cell) for cell in row) for row in block.rows)
