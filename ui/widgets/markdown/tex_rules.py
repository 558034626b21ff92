r"""The second way of writing formulas, ``\( \)`` and ``\[ \]``, as rules for markdown_it. Models use it often."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

_INLINE = {"(": ("\\)", "math_inline"), "[": ("\\]", "math_inline_double")}
_INDENT_OF_CODE = 4


def use(markdown: MarkdownIt) -> None:
    markdown.inline.ruler.before("escape", "tex_inline", _inline)
    markdown.block.ruler.before("fence", "tex_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})


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
    if state.sCount[first] - state.blkIndent >= _INDENT_OF_CODE or not _line(state, first).startswith("\\["):
        return False
    end = next((line for line in range(first, last) if _line(state, line).endswith("\\]")), None)
    if end is None or state.sCount[end] < state.blkIndent:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        text = "\n".join(_line(state, line) for line in range(first, end + 1))
        token.content = text.removeprefix("\\[").removesuffix("\\]")
        token.map = [first, end + 1]
        state.line = end + 1
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
