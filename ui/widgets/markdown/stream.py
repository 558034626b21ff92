"""Markdown that grows at its end: what can no longer change is read once, only the rest is read again.

A piece that would become long is cut, so that the cost of one step has a bound whatever the text is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from math import inf

from ui.widgets.markdown.blocks import Block, CodeBlock, PlainBlock, Span, SpanStyle, TextBlock
from ui.widgets.markdown.fences import MAX_LINE_CHARS, OpenFence
from ui.widgets.markdown.parser import Before, References, Section, parse
from ui.widgets.markdown.tex_rules import unfinished_formula

MAX_SECTION_CHARS = 4_000
"""Longer than any paragraph meant to be read. At this length the worst inputs cost markdown_it about 0.1 s."""

_MAX_OUTLINE_CHARS = 12_000
"""For an item with many short paragraphs and listings in it, which costs in proportion to its length."""

_SHORT_CHARS = 1_000
_MAX_TABLE_LINES = 100
_MIN_STEP_CHARS = 512
_STEP_LINES = 100
_FENCE_STEP_CHARS = 64_000
_MAX_PLAIN_CHARS = 4_000

_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:", re.MULTILINE)
_UNDECIDED = re.compile(r"[\s>]*(?:[-=*_+#`~|:]+|\d{1,9}[.)]?|\[[^\]\n]+\]:.*)?[ \t]*")
_CODE_SPAN = re.compile(r"`[^`]*`")
_NOT_TO_CLOSE = ("```", "~~~", "$$", "***")
_INDENT_OF_CODE = " " * 4


class MarkdownStream:
    """Text in, blocks out: ``feed`` only takes the text, ``advance`` reads it and says what changed."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._waiting = ""
        self._references: References = {}
        self._reader = _Reader(self._references)
        self._is_finished = False
        self._has_definitions = False

    @property
    def blocks(self) -> Sequence[Block]:
        return self._reader.blocks

    @property
    def text(self) -> str:
        """All that was fed, with line ends as ``\\n``."""
        if len(self._heard) != 1:
            self._heard = ["".join(self._heard)]
        return self._heard[0]

    @property
    def n_waiting_chars(self) -> int:
        """How much of the text has not been read yet."""
        return len(self._waiting)

    def feed(self, text: str) -> None:
        self._heard.append(text)
        self._waiting += text.replace("\r", "")

    def finish(self) -> None:
        """No more text comes. Links to definitions that come later in the text become links."""
        self._is_finished = True
        self._has_definitions = _DEFINITION.search(self.text) is not None

    def advance(self, budget_s: float = inf) -> int:
        """Read for about ``budget_s``, at least one step.

        Returns the index of the first block that may have changed.
        """
        deadline = time.perf_counter() + budget_s
        first_changed = self._reader.n_stable
        while True:
            self._step()
            if self._waiting == "" and self._is_finished and self._has_definitions:
                self._read_again()
                first_changed = 0
            if not self._waiting or time.perf_counter() > deadline:
                return first_changed

    def _step(self) -> None:
        n_chars = self._reader.n_wanted(self._waiting)
        chunk, self._waiting = self._waiting[:n_chars], self._waiting[n_chars:]
        self._reader.read(chunk, is_end=self._is_finished and not self._waiting)

    def _read_again(self) -> None:
        """Once more from the start, now that all definitions are known."""
        self._has_definitions = False
        self._reader = _Reader(self._references)
        self._waiting = self.text.replace("\r", "")


def plain_blocks(text: str) -> list[Block]:
    """Text that is no Markdown, in pieces of a size that a text widget lays out quickly."""
    pieces: list[list[str]] = [[]]
    n_chars = 0
    for line in text.replace("\r", "").split("\n"):
        for start in range(0, max(len(line), 1), _MAX_PLAIN_CHARS):
            part = line[start : start + _MAX_PLAIN_CHARS]
            if n_chars + len(part) > _MAX_PLAIN_CHARS and pieces[-1]:
                pieces.append([])
                n_chars = 0
            pieces[-1].append(part)
            n_chars += len(part) + 1
    return [PlainBlock(text="\n".join(piece), tight=True) for piece in pieces]


class _Reader:
    """The blocks so far, of which the first ``n_stable`` never change, and the text behind those."""

    def __init__(self, references: References) -> None:
        self.blocks: list[Block] = []
        self.n_stable = 0
        self._references = references
        self._tail = ""
        self._n_lines = 0
        self._number: int | None = None
        self._ends_blank = True
        self._table_head = ""
        self._fence: OpenFence | None = None

    def n_wanted(self, waiting: str) -> int:
        """How many characters of what waits the next :meth:`read` should get."""
        if self._fence is not None:
            return _FENCE_STEP_CHARS
        chunk = waiting[: max(MAX_SECTION_CHARS - len(self._tail), _MIN_STEP_CHARS)]
        lines = chunk.split("\n", _STEP_LINES)
        return len(chunk) - len(lines[-1]) if len(lines) > _STEP_LINES else len(chunk)

    def read(self, text: str, is_end: bool) -> None:
        self._tail += text
        del self.blocks[self.n_stable :]
        if self._fence is None or self._read_fence(self._fence, is_end):
            self._read_sections(is_end)

    def _read_sections(self, is_end: bool) -> None:
        while True:
            shown, formula = (self._tail, "") if is_end else _settled(self._tail)
            rest = self._freeze_all_but_last(self._parse(shown))
            if self._enter_fence(is_end):
                return
            if not self._cut(rest, shown.endswith(self._tail)):
                break
        for section in rest if is_end else self._polished(rest):
            self.blocks.extend(section.blocks)
        if formula:
            self.blocks.append(TextBlock(spans=(Span(formula, SpanStyle.CODE),)))

    def _polished(self, rest: Sequence[Section]) -> Sequence[Section]:
        """The rest as it looks without the signs of styles that have not ended yet."""
        shown, _ = _settled(self._tail)
        closed = _with_closed_ends(shown)
        polished = self._parse(closed) if closed != shown else rest
        return polished if len(polished) == len(rest) else rest

    def _parse(self, text: str) -> list[Section]:
        if not text:
            return []
        head = self._head
        n_lines = self._n_lines - head.count("\n")
        return parse(head + text, self._references, Before(n_lines, self._number, self._ends_blank))

    @property
    def _head(self) -> str:
        """The head of a table that was cut, while rows of it follow."""
        return self._table_head if "|" in self._tail.partition("\n")[0] else ""

    def _freeze_all_but_last(self, sections: Sequence[Section]) -> Sequence[Section]:
        """Freeze what has ended and return the rest."""
        lines = self._tail.split("\n")
        n_head_lines = self._head.count("\n")
        for index in range(len(sections) - 1, -1, -1):
            line = sections[index].first_line - n_head_lines
            # An item that is indented like this would be code if it stood at the beginning.
            if line > 0 and not lines[line].startswith(_INDENT_OF_CODE):
                self._freeze(sections[:index], sum(len(text) + 1 for text in lines[:line]))
                self._number = sections[index].number
                return sections[index:]
        return sections

    def _freeze(self, sections: Sequence[Section], n_chars: int) -> None:
        for section in sections:
            self.blocks.extend(section.blocks)
        self.n_stable = len(self.blocks)
        self._n_lines += self._tail.count("\n", 0, n_chars)
        self._ends_blank = not self._tail[:n_chars].removesuffix("\n").rpartition("\n")[2].strip(" \t>")
        self._tail = self._tail[n_chars:]
        self._table_head = ""

    def _cut(self, rest: Sequence[Section], is_whole: bool) -> bool:
        """End what is too long where it is; returns False if nothing is. ``is_whole``: ``rest`` is all of the tail."""
        limit = self._limit(rest[-1]) if rest else MAX_SECTION_CHARS
        if len(self._tail) < limit:
            return False
        end = self._tail.rfind("\n", 0, limit) + 1 or self._tail.rfind(" ", 0, limit) + 1 or limit
        head = self._head
        if rest and rest[-1].is_table:
            head = head or "".join(self._tail.splitlines(keepends=True)[:2])
        self._freeze(rest if is_whole and end == len(self._tail) else self._parse(self._tail[:end]), end)
        self._table_head = head
        return True

    def _limit(self, last: Section) -> int:
        """How many characters the tail may have, which ends with this section."""
        if not last.is_table:
            return _MAX_OUTLINE_CHARS if _is_outline(last) else MAX_SECTION_CHARS
        if last.end_line - last.first_line <= _MAX_TABLE_LINES:
            return MAX_SECTION_CHARS
        rows = self._tail.split("\n", _MAX_TABLE_LINES)[:_MAX_TABLE_LINES]
        return min(MAX_SECTION_CHARS, sum(len(row) + 1 for row in rows))

    def _enter_fence(self, is_end: bool) -> bool:
        """If the tail is an open listing, read its lines; returns False if it is none or has ended."""
        opening, newline, content = self._tail.partition("\n")
        fence = OpenFence.at(opening, self._n_lines) if newline else None
        if fence is None or any(fence.closes(line) for line in content.split("\n")):
            return False
        self._fence = fence
        self._tail = content
        self._n_lines += 1
        return not self._read_fence(fence, is_end)

    def _read_fence(self, fence: OpenFence, is_end: bool) -> bool:
        """Returns True if the listing ended and Markdown follows."""
        *lines, unfinished = self._tail.split("\n")
        for index, line in enumerate(lines):
            if fence.closes(line):
                self._tail = "\n".join([*lines[index + 1 :], unfinished])
                self._close_fence(fence)
                return True
            self._add_line(fence, line)
        while len(unfinished) > MAX_LINE_CHARS:
            self._add_line(fence, unfinished[:MAX_LINE_CHARS])
            unfinished = unfinished[MAX_LINE_CHARS:]
        self._tail = unfinished
        is_hidden = unfinished == "" or (fence.closes(unfinished) if is_end else fence.may_close(unfinished))
        self.blocks.append(fence.piece(None if is_hidden else unfinished, is_last=True, is_closed=is_end))
        return False

    def _add_line(self, fence: OpenFence, line: str) -> None:
        self._n_lines += 1
        if fence.is_full:
            self.blocks.append(fence.piece(None, is_last=False, is_closed=True))
            self.n_stable = len(self.blocks)
            fence.start_piece()
        fence.add(line)

    def _close_fence(self, fence: OpenFence) -> None:
        self._n_lines += 1
        self._fence = None
        self._number = None
        self.blocks.append(fence.piece(None, is_last=True, is_closed=True))
        self.n_stable = len(self.blocks)


def _is_outline(section: Section) -> bool:
    return all(isinstance(block, CodeBlock) or _is_short(block) for block in section.blocks)


def _is_short(block: Block) -> bool:
    return isinstance(block, TextBlock) and sum(len(span.text) for span in block.spans) < _SHORT_CHARS


def _settled(text: str) -> tuple[str, str]:
    """What of growing text can be read by now, and a formula at its end that cannot.

    A last line whose meaning is open is left out: only a sign so far, such as ``-``, or half a definition.
    """
    start = text.rfind("\n") + 1
    if _UNDECIDED.fullmatch(text, start):
        text = text[:start]
    formula = unfinished_formula(text)
    if formula is not None:
        return text[:formula], text[formula:].rstrip()
    return text, ""


def _with_closed_ends(text: str) -> str:
    """Close bold text and code that is still being written, so that it does not show its signs until its end comes."""
    paragraph = text[text.rfind("\n\n") + 1 :]
    if text.endswith("\n") or any(sign in paragraph for sign in _NOT_TO_CLOSE):
        return text
    if paragraph.count("`") % 2:
        return text + "`"
    if _CODE_SPAN.sub("", paragraph).count("**") % 2 == 0:
        return text
    if not paragraph.rstrip(" ").endswith("**"):
        return text.rstrip(" ") + "**"
    before = text.rstrip("* ")
    return text if _UNDECIDED.fullmatch(before, before.rfind("\n") + 1) else before
