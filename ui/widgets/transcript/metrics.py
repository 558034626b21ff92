"""Distances on the page, all from the theme."""

from __future__ import annotations

from dataclasses import dataclass

from ui.theme import theme
from ui.widgets.markdown.blocks import (
    Block,
    CodeBlock,
    FrameKind,
    MathBlock,
    PlainBlock,
    RuleBlock,
    TableBlock,
    TextBlock,
)

_MAX_INDENTED_FRAMES = 8
_CHARS_PER_LINE = 92
"""About what a line of the reading font holds in a column of full width."""

_BUBBLE_SHARE = 0.8
_INDENTS = {FrameKind.QUOTE: 4, FrameKind.BULLET_ITEM: 6, FrameKind.ORDERED_ITEM: 7}
"""In steps of the grid."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where the conversation stands within the viewport."""

    x: int
    width: int

    @classmethod
    def centred_in(cls, width: int) -> Column:
        column = max(theme.space(30), min(theme.size("page-width"), width - 2 * theme.space(6)))
        return cls(max(theme.space(2), (width - column) // 2), column)

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bubble_text_width(self) -> int:
        """The most that a line of the user's words takes."""
        return round(self.width * _BUBBLE_SHARE) - 2 * bubble_padding()


def page_margin() -> int:
    """Above the first message and below the last."""
    return theme.space(7)


def bubble_padding() -> int:
    return theme.space(4)


def bubble_padding_top() -> int:
    return theme.space(5) // 2


def message_top(is_user: bool) -> int:
    """Within a message, above its first block."""
    return bubble_padding_top() if is_user else theme.space(1)


def footer_height() -> int:
    return theme.space(7)


def footer_inset() -> int:
    """How far the icon in a button is from the button's edge: it is the icon that stands in line with the text."""
    return (footer_height() - theme.size("icon-small")) // 2


def text_lift() -> int:
    """QTextDocument puts text this much below the middle of a line of fixed height."""
    return theme.space(1) // 2


def thought_gap() -> int:
    """Below what a model thought, above its answer."""
    return theme.space(2)


def divider_height() -> int:
    """Above a message, for the line that says that the model does not see what is above."""
    return theme.space(6)


def message_gap(is_user: bool) -> int:
    """Below a message; the footer of the user's words is part of the space."""
    return 0 if is_user else theme.space(5)


def code_padding() -> int:
    return theme.space(3)


def code_header_height() -> int:
    return theme.space(9)


def indent(block: Block) -> int:
    """How far a block is moved in by the frames around it."""
    frames = block.frames[:_MAX_INDENTED_FRAMES]
    return sum(frame_indent(frame.kind) for frame in frames)


def frame_indent(kind: FrameKind) -> int:
    return theme.space(_INDENTS[kind])


def gap_between(before: Block | None, block: Block) -> int:
    """The space above a block."""
    if before is None or isinstance(block, PlainBlock):
        return 0
    if isinstance(block, CodeBlock) and not block.is_first:
        return 0
    if isinstance(block, TextBlock) and block.level:
        return theme.space(5) if not _is_heading(before) else theme.space(2)
    if _is_heading(before):
        return theme.space(2)
    if block.tight and before.frames and isinstance(before, TextBlock) and isinstance(block, TextBlock):
        return theme.space(1)
    if isinstance(block, RuleBlock) or isinstance(before, RuleBlock):
        return theme.space(4)
    return theme.space(3)


def estimated_block_height(block: Block, width: int) -> int:
    """Before a block has been laid out."""
    line = theme.line_height("reading")
    if isinstance(block, CodeBlock):
        return code_height(block.text.count("\n") + 1, block.is_first, block.is_last)
    if isinstance(block, TableBlock):
        return len(block.rows) * (line + theme.space(2))
    if isinstance(block, MathBlock):
        return 2 * line
    if isinstance(block, TextBlock):
        return line * estimated_lines("".join(span.text for span in block.spans), width)
    if isinstance(block, PlainBlock):
        return line * estimated_lines(block.text, width)
    return rule_height()


def estimated_text_height(text: str, width: int) -> int:
    """Before a message has been read: its lines and some space."""
    return theme.line_height("reading") * estimated_lines(text, width)


def estimated_lines(text: str, width: int) -> int:
    per_line = max(8, _CHARS_PER_LINE * width // theme.size("page-width"))
    return 1 + len(text) // per_line + text.count("\n")


def code_height(n_lines: int, has_header: bool, has_foot: bool) -> int:
    """Without a scroll bar."""
    height = n_lines * theme.line_height("code")
    if has_header:
        height += code_header_height() + code_padding()
    return height + (code_padding() if has_foot else 0)


def rule_height() -> int:
    return theme.space(1)


def _is_heading(block: Block) -> bool:
    return isinstance(block, TextBlock) and block.level > 0
