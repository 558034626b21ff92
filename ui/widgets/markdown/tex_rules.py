r"""Formulas that stand alone, ``$$ $$`` and ``\[ \]``, and ``\( \)`` in a line, as rules for markdown_it.

Models use all of them. What stands alone may follow a line of text directly, and its lines are never lists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_INLINE = {"(": ("\\)", "math_inline"), "[": ("\\]", "math_inline_double")}
_BLOCK = {"$$": "$$", "\\[": "\\]"}
_BLOCK_OPENING = re.compile(r"^[ \t]*(\$\$|\\\[)", re.MULTILINE)
_MAX_BLOCK_LINES = 100
_INDENT_OF_CODE = 4


def use(markdown: MarkdownIt) -> None:
    markdown.inline.ruler.before("escape", "tex_inline", _inline)
    markdown.block.ruler.before("fence", "tex_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def unfinished_formula(text: str) -> int | None:
    """Where a formula that stands alone begins in the last paragraph of ``text`` and has not ended."""
    position = text.rfind("\n\n") + 1
    while (match := _BLOCK_OPENING.search(text, position)) is not None:
        end = text.find(_BLOCK[match[1]], match.end())
        if end < 0:
            return match.start()
        position = end + 2
    return None


def _inline(state: StateInline, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    if len(opening) != 2 or opening[0] != "\\" or opening[1] not in _INLINE:
        return False
    closing, kind = _INLINE[opening[1]]
    end = state.src.find(closing, state.pos + 2, state.posMax)
    tex = state.src[state.pos + 2 : max(end, 0)].strip()
    if not tex:
        return False
    if not silent:
        state.push(kind, "math", 0).content = tex
    state.pos = end + len(closing)
    return True


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    if state.sCount[first] - state.blkIndent >= _INDENT_OF_CODE:
        return False
    closing = _BLOCK.get(_line(state, first)[:2])
    end = _last_line(state, first, last, closing) if closing else None
    if end is None:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content = "\n".join(_line(state, line) for line in range(first, end + 1))[2:-2]
        token.map = [first, end + 1]
        state.line = end + 1
    return True


def _last_line(state: StateBlock, first: int, last: int, closing: str) -> int | None:
    """The line that ends with ``closing``, if that does not stand anywhere else and no line is empty."""
    for line in range(first, min(last, first + _MAX_BLOCK_LINES)):
        text = _line(state, line)[2 if line == first else 0 :]
        if line > first and (not text or state.sCount[line] < state.blkIndent):
            return None
        if closing in text:
            return line if text.find(closing) == len(text) - len(closing) else None
    return None


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
