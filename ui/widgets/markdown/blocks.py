"""What a text is made of once its Markdown is read: a flat row of blocks, each with the frames it stands in.

Quotes and list items are not blocks of their own but :class:`Frame` values around the blocks in them, so that every
block, however deep, can be shown, measured and replaced alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag, StrEnum, auto


class SpanStyle(IntFlag):
    NONE = 0
    BOLD = auto()
    ITALIC = auto()
    STRIKE = auto()
    CODE = auto()
    MATH = auto()
    DISPLAY = auto()  # with MATH: in the size of a formula that stands alone


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style. A line break is ``\\n``; ``text`` of a formula is its TeX without delimiters.

    ``href`` is empty or an address that :func:`is_safe_link` accepts.
    """

    text: str
    style: SpanStyle = SpanStyle.NONE
    href: str = ""


class FrameKind(Enum):
    QUOTE = auto()
    BULLET_ITEM = auto()
    ORDERED_ITEM = auto()


@dataclass(frozen=True, slots=True)
class Frame:
    """A quote or a list item. Neighbours with an equal frame stand in the same one."""

    kind: FrameKind
    key: tuple[int, int]
    """Line and depth where it begins, which tells it from the next one of its kind."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What stands before the first block of a list item: a bullet, ``3.``, or a box that is checked or not."""

    text: str
    checked: bool | None = None


class Alignment(StrEnum):
    START = "start"
    CENTER = "center"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``tight``: in a frame, and there is no empty line before it."""

    frames: tuple[Frame, ...] = ()
    marker: Marker | None = None
    tight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock(Block):
    """A paragraph, or a heading where ``level`` is 1 to 6."""

    spans: tuple[Span, ...]
    level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBlock(Block):
    """Text that is shown as it is; the pieces of a long one are ``tight``. ``is_quiet``: small and dim."""

    text: str
    is_quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlock(Block):
    """A listing or, if it is long, a piece of one: pieces with an equal ``fence`` belong together."""

    text: str
    language: str = ""
    fence: int = 0
    is_first: bool = True
    is_last: bool = True
    is_closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBlock(Block):
    """``rows`` begins with the head. Every row has as many cells as there are alignments."""

    rows: tuple[tuple[tuple[Span, ...], ...], ...]
    alignments: tuple[Alignment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MathBlock(Block):
    """A formula that stands alone."""

    tex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBlock(Block):
    """A line across."""


def is_safe_link(address: str) -> bool:
    """Whether a click may lead there. Everything else is shown as text."""
    return address.lower().startswith(("http://", "https://", "mailto:"))
