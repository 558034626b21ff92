"""Markdown as blocks: one call for a piece of text that begins where a block begins.

The dialect is CommonMark with tables, strikethrough, task lists and formulas. Raw HTML is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ui.widgets.markdown import tex_rules
from ui.widgets.markdown.blocks import (
    Alignment,
    Block,
    CodeBlock,
    Frame,
    FrameKind,
    Marker,
    MathBlock,
    PlainBlock,
    RuleBlock,
    Span,
    SpanStyle,
    TableBlock,
    TextBlock,
)
from ui.widgets.markdown.spans import spans_of

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_MAX_NESTING = 30
"""Each quote is one level and each list two. markdown_it drops what is deeper; we show the source of it instead."""

_BULLETS = ("•", "◦", "▪")
_TASK = re.compile(r"\[([ xX])\][ \t]+")
_ALIGNMENTS = {"text-align:center": Alignment.CENTER, "text-align:right": Alignment.END}

References = MutableMapping[str, Any]
"""What markdown_it remembers of link definitions, to be handed from one call to the next."""


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level block or one item of a top-level list, with its lines: the smallest thing that ends by itself.

    ``number`` is the item's in an ordered list.
    """

    first_line: int
    end_line: int
    blocks: tuple[Block, ...]
    number: int | None = None

    @property
    def is_table(self) -> bool:
        return any(isinstance(block, TableBlock) and not block.frames for block in self.blocks)


def preload() -> None:
    _markdown()


@dataclass(frozen=True, slots=True)
class Before:
    """What comes before a piece of text: so many lines, perhaps a list that goes on with this number."""

    n_lines: int = 0
    next_number: int | None = None
    ends_blank: bool = True


def parse(text: str, references: References, before: Before) -> list[Section]:
    """The sections of ``text``; their lines count from its beginning."""
    lines = text.split("\n")
    sections: list[Section] = []
    for group in _groups(_markdown().parse(text, references)):
        section = _section(group, lines, before if not sections else replace(before, next_number=None))
        if _is_too_deep(group):
            source = "\n".join(lines[section.first_line : section.end_line])
            section = replace(section, blocks=(PlainBlock(text=source),))
        sections.append(section)
    return sections


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    # Neither "$5 and $10" nor "5$ - 6$" is a formula.
    markdown.use(dollarmath_plugin, double_inline=True, allow_space=False, allow_digits=False)
    markdown.disable("math_block")
    markdown.use(tex_rules.use)
    return markdown


@dataclass(slots=True)
class _Group:
    """The tokens of one section, and the list that it is an item of, if any."""

    tokens: list[Token]
    list_open: Token | None = None
    index: int = 0


def _groups(tokens: Sequence[Token]) -> list[_Group]:
    groups: list[_Group] = []
    list_open: Token | None = None
    index = 0
    for token in tokens:
        is_list = token.type in ("bullet_list_open", "ordered_list_open")
        if token.level == 0 and is_list:
            list_open, index = token, 0
        elif token.level == 0 and token.nesting < 0:
            list_open = None
            if not token.type.endswith("list_close"):
                groups[-1].tokens.append(token)
        elif list_open is not None and token.level == 1 and token.nesting > 0:
            groups.append(_Group([token], list_open, index))
            index += 1
        elif list_open is None and token.level == 0:
            groups.append(_Group([token]))
        else:
            groups[-1].tokens.append(token)
    return groups


def _section(group: _Group, lines: Sequence[str], before: Before) -> Section:
    walker = _Walker(lines, before)
    number = None
    if group.list_open is not None:
        number = walker.enter_list(group.list_open, group.index, before.next_number)
    for token in group.tokens:
        walker.read(token)
    first, end = group.tokens[0].map or (0, 0)
    return Section(first, end, tuple(walker.blocks), number)


def _is_too_deep(group: _Group) -> bool:
    return any(token.nesting > 0 and token.level >= _MAX_NESTING - 1 for token in group.tokens)


@dataclass(slots=True)
class _List:
    kind: FrameKind
    number: int
    depth: int


@dataclass(slots=True)
class _Walker:
    """Goes through the tokens of a section once and keeps where it is."""

    lines: Sequence[str]
    before: Before
    blocks: list[Block] = field(default_factory=list)
    _frames: list[Frame] = field(default_factory=list)
    _lists: list[_List] = field(default_factory=list)
    _marker: Marker | None = None
    _heading: int = 0
    _line: int = 0
    _table_line: int = 0
    _rows: list[list[tuple[Span, ...]]] | None = None
    _alignments: list[Alignment] = field(default_factory=list)

    def enter_list(self, token: Token, index: int = 0, first_number: int | None = None) -> int | None:
        """Returns the number of the item that comes next, if the list is ordered."""
        is_ordered = token.type == "ordered_list_open"
        start = token.attrGet("start")
        first = first_number if first_number is not None else start if isinstance(start, int) else 1
        kind = FrameKind.ORDERED_ITEM if is_ordered else FrameKind.BULLET_ITEM
        self._lists.append(_List(kind, first + index, len(self._lists)))
        return first + index if is_ordered else None

    def read(self, token: Token) -> None:
        if token.map:
            self._line = token.map[0]
        reader = _READERS.get(token.type)
        if reader is not None:
            reader(self, token)

    def _open_item(self, _token: Token) -> None:
        parent = self._lists[-1]
        self._frames.append(self._frame(parent.kind))
        if parent.kind is FrameKind.ORDERED_ITEM:
            self._marker = Marker(f"{parent.number}.")
            parent.number += 1
        else:
            self._marker = Marker(_BULLETS[min(parent.depth, len(_BULLETS) - 1)])

    def _close_item(self, _token: Token) -> None:
        if self._marker is not None:  # an empty item still shows its marker
            self._add_text(())
        self._frames.pop()

    def _close_list(self, _token: Token) -> None:
        self._lists.pop()

    def _open_quote(self, _token: Token) -> None:
        self._frames.append(self._frame(FrameKind.QUOTE))

    def _close_quote(self, _token: Token) -> None:
        self._frames.pop()

    def _frame(self, kind: FrameKind) -> Frame:
        return Frame(kind, (self.before.n_lines + self._line, len(self._frames)))

    def _open_heading(self, token: Token) -> None:
        self._heading = int(token.tag[1:])

    def _close_heading(self, _token: Token) -> None:
        self._heading = 0

    def _read_inline(self, token: Token) -> None:
        spans = spans_of(token.children or ())
        if self._rows is not None:
            self._rows[-1].append(spans)
        elif _is_formula_alone(spans):
            self._add(MathBlock(tex=spans[0].text))
        else:
            self._add_text(spans)

    def _add_text(self, spans: tuple[Span, ...]) -> None:
        if self._marker is not None and (task := _task(spans)) is not None:
            self._marker, spans = task
        self._add(TextBlock(spans=spans, level=self._heading))

    def _read_code(self, token: Token) -> None:
        language = token.info.strip().split(maxsplit=1)[0] if token.info.strip() else ""
        fence = self.before.n_lines + self._line
        self._add(CodeBlock(text=token.content.removesuffix("\n"), language=language, fence=fence))

    def _read_math(self, token: Token) -> None:
        self._add(MathBlock(tex=token.content.strip()))

    def _read_rule(self, _token: Token) -> None:
        self._add(RuleBlock())

    def _open_table(self, _token: Token) -> None:
        self._rows, self._alignments, self._table_line = [], [], self._line

    def _open_row(self, _token: Token) -> None:
        if self._rows is not None:
            self._rows.append([])

    def _open_head_cell(self, token: Token) -> None:
        self._alignments.append(_ALIGNMENTS.get(str(token.attrGet("style")), Alignment.START))

    def _close_table(self, _token: Token) -> None:
        rows = tuple(tuple(row) for row in self._rows or ())
        self._rows, self._line = None, self._table_line
        self._add(TableBlock(rows=rows, alignments=tuple(self._alignments)))

    def _add(self, block: Block) -> None:
        tight = bool(self._frames) and not self._follows_blank_line()
        self.blocks.append(replace(block, frames=tuple(self._frames), marker=self._marker, tight=tight))
        self._marker = None

    def _follows_blank_line(self) -> bool:
        """Unlike CommonMark's loose and tight lists, this does not depend on what comes later."""
        return not self.lines[self._line - 1].strip(" \t>") if self._line else self.before.ends_blank


_READERS: dict[str, Callable[[_Walker, Token], object]] = {
    "bullet_list_open": _Walker.enter_list,
    "ordered_list_open": _Walker.enter_list,
    "bullet_list_close": _Walker._close_list,
    "ordered_list_close": _Walker._close_list,
    "list_item_open": _Walker._open_item,
    "list_item_close": _Walker._close_item,
    "blockquote_open": _Walker._open_quote,
    "blockquote_close": _Walker._close_quote,
    "heading_open": _Walker._open_heading,
    "heading_close": _Walker._close_heading,
    "inline": _Walker._read_inline,
    "fence": _Walker._read_code,
    "code_block": _Walker._read_code,
    "math_block": _Walker._read_math,
    "hr": _Walker._read_rule,
    "table_open": _Walker._open_table,
    "tr_open": _Walker._open_row,
    "th_open": _Walker._open_head_cell,
    "table_close": _Walker._close_table,
}


def _is_formula_alone(spans: Sequence[Span]) -> bool:
    display = SpanStyle.MATH | SpanStyle.DISPLAY
    return len(spans) == 1 and spans[0].style & display == display


def _task(spans: tuple[Span, ...]) -> tuple[Marker, tuple[Span, ...]] | None:
    """``[ ]`` or ``[x]`` at the beginning of an item, and the spans without it."""
    match = _TASK.match(spans[0].text) if spans and spans[0].style is SpanStyle.NONE else None
    if match is None:
        return None
    rest = replace(spans[0], text=spans[0].text[match.end() :])
    marker = Marker("☐" if match.group(1) == " " else "☑", checked=match.group(1) != " ")
    return marker, ((rest, *spans[1:]) if rest.text else spans[1:])
