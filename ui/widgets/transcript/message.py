"""A message as parts: its blocks and what stands under them. Values and arithmetic, no widgets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from ui.theme import theme
from ui.widgets.markdown.blocks import Block, CodeBlock, Frame, FrameKind, PlainBlock, RuleBlock
from ui.widgets.markdown.plain import join, plain_text
from ui.widgets.markdown.stream import MarkdownStream, plain_blocks
from ui.widgets.transcript import metrics
from ui.widgets.transcript.view_model import MessageStatus, MessageView

READ_BUDGET_S = 0.012
"""How long one step of reading a long text may take."""

_THOUGHT_FRAME = Frame(FrameKind.QUOTE, (-1, 0))


class PartKind(Enum):
    THOUGHT = auto()  # the line above what the model thought
    TEXT = auto()
    CODE = auto()
    RULE = auto()  # painted by the page
    ACTIVITY = auto()
    NOTICE = auto()
    ANSWER_FOOTER = auto()
    USER_FOOTER = auto()


@dataclass(slots=True, eq=False)
class Part:
    """Something with a place of its own on the page. ``height`` is an estimate until a widget has shown it.

    ``width`` is what the text really takes, which makes the width of a bubble; ``baseline`` is that of its first line.
    ``is_stale``: a widget that shows it shows something old. ``grows_down``: the next change of its height happens at
    its lower end.
    """

    kind: PartKind
    gap: int
    height: int
    block: Block | None = None
    width: int = 0
    baseline: float = 0.0
    is_rtl: bool = False
    is_stale: bool = True
    grows_down: bool = False


@dataclass(slots=True, eq=False)
class Message:
    """A message on the page. Closed, it is only an estimate of its height; open, it has parts.

    These are: a line for what the model thought and, while ``shows_thought``, its text; the blocks; what stands below.
    """

    view: MessageView
    column_width: int
    parts: list[Part] = field(default_factory=list)
    progress: str = ""
    shows_thought: bool = False
    _stream: MarkdownStream | None = None
    _thinks_since_s: float | None = None
    _n_head: int = 0
    _n_blocks: int = 0
    _known_heights: tuple[int, ...] = ()
    _height: int = 0
    _rest_height: int = 0

    def __post_init__(self) -> None:
        self._height = self._estimate()

    @property
    def is_open(self) -> bool:
        return bool(self.parts)

    @property
    def height(self) -> int:
        """With the space below it, and an estimate of what has not been read yet."""
        return self._height + self._rest_height

    @property
    def top_space(self) -> int:
        """Above its first part."""
        divider = metrics.divider_height() if self.view.is_first_seen else 0
        return divider + metrics.message_top(self.view.is_user)

    @property
    def is_reading(self) -> bool:
        """Whether :meth:`read_on` has more to do."""
        return self._stream is not None and self._stream.n_waiting_chars > 0

    @property
    def block_parts(self) -> Sequence[Part]:
        """What stands above the tail, with what was thought."""
        return self.parts[: self._n_head + self._n_blocks]

    @property
    def is_thinking(self) -> bool:
        return bool(self.view.thought) and self.view.status is MessageStatus.STREAMING and not self.text

    @property
    def text(self) -> str:
        """All that has come of it."""
        return self._stream.text if self._stream is not None else self.view.text

    def open(self) -> None:
        if self.is_open:
            return
        if self.view.is_user:
            self._set_blocks(plain_blocks(self.view.text), 0)
        else:
            self._stream = self._stream or self._new_stream()
            self._set_head()
            self.read_on()
        self._restore_heights()

    def close(self) -> None:
        """Forget the parts but not how high they were. Not while it streams."""
        self._known_heights = tuple(part.height for part in self.parts)
        self.parts = []
        self._n_head = self._n_blocks = 0
        self._stream = None

    def append(self, text: str) -> None:
        """More of an answer that is open."""
        if self._stream is not None:
            thought_until_now = self.is_thinking
            self._stream.feed(text)
            if thought_until_now:
                self._set_head()
            self.read_on()

    def append_thought(self, text: str) -> None:
        """More of what is thought; how long that takes is measured from the first of it."""
        now_s = time.monotonic()
        if self._thinks_since_s is None:
            self._thinks_since_s = now_s - (self.view.thought_s or 0.0)
        thought_s = self.view.thought_s if self.text else now_s - self._thinks_since_s
        self.view = replace(self.view, thought=self.view.thought + text, thought_s=thought_s)
        if self.is_open:
            self._set_head()

    def show_thought(self, shows: bool) -> None:
        self.shows_thought = shows
        self._known_heights = ()
        if self.is_open:
            self._set_head()

    def read_on(self) -> None:
        """Read for a moment; what is left is estimated."""
        if self._stream is not None:
            first_changed = self._stream.advance(READ_BUDGET_S)
            self._set_blocks(self._stream.blocks, first_changed)
            waiting = self._stream.n_waiting_chars
            self._rest_height = metrics.estimated_text_height(" " * waiting, self.column_width) if waiting else 0

    def update(self, view: MessageView) -> None:
        """Another state of the same message; its text may have become another one, too."""
        text_before, self.view = self.text, view
        self._mark_tail()
        if not self.is_open:
            self._stream = None
            self._height = self._estimate()
            return
        self._set_head()
        if view.text != text_before:
            self._start_again()
        else:
            self._finish()

    def set_progress(self, progress: str) -> None:
        self.progress = progress
        self._mark_tail()

    def set_column_width(self, width: int) -> None:
        self.column_width = width
        self._known_heights = ()
        self.refresh()

    def refresh(self) -> None:
        """Everything of it has to be shown anew."""
        for part in self.parts:
            part.is_stale = True

    def set_height(self, part: Part, height: int) -> None:
        self._height += height - part.height
        part.height = height

    def plain_text(self) -> str:
        """What it shows, read for this purpose if it is closed."""
        if self.view.is_user:
            return self.view.text
        stream = self._new_stream()
        stream.advance()
        return join((block, plain_text(block)) for block in stream.blocks)

    def code_of(self, fence: int) -> str:
        """A whole listing, of which there may be several pieces."""
        blocks = (part.block for part in self.block_parts)
        return "\n".join(block.text for block in blocks if isinstance(block, CodeBlock) and block.fence == fence)

    def _new_stream(self) -> MarkdownStream:
        stream = MarkdownStream()
        stream.feed(self.view.text)
        if self.view.status is not MessageStatus.STREAMING:
            stream.finish()
        return stream

    def _start_again(self) -> None:
        self._stream = None
        if self.view.is_user:
            self._set_blocks(plain_blocks(self.view.text), 0)
        else:
            self._stream = self._new_stream()
            self.read_on()

    def _finish(self) -> None:
        if self._stream is not None and self.view.status is not MessageStatus.STREAMING:
            self._stream.finish()
            self.read_on()
        else:
            self._set_tail()

    def _set_blocks(self, blocks: Sequence[Block], first_changed: int) -> None:
        """Show ``blocks``; parts of those that stayed the same stay the same, too."""
        start, end = self._n_head, self._n_head + self._n_blocks
        parts = self.parts[start:end]
        for index in range(first_changed, len(blocks)):
            before = blocks[index - 1] if index else None
            self._set_block(parts, index, blocks[index], self._gap_above(before, blocks[index]))
        del parts[len(blocks) :]
        self.parts[start:end] = parts
        self._n_blocks = len(parts)
        self._set_tail()

    def _set_head(self) -> None:
        """What stands above the blocks: that there was a thought, and what it was."""
        head = self.parts[: self._n_head]
        blocks = _thought_blocks(self.view.thought) if self.shows_thought else []
        if self.view.thought:
            head = head or [Part(PartKind.THOUGHT, 0, metrics.footer_height())]
            head[0].is_stale = True
            for index, block in enumerate(blocks, 1):
                self._set_block(head, index, block, gap=0)
            del head[len(blocks) + 1 :]
        self.parts[: self._n_head] = head
        self._n_head = len(head)
        first = self.parts[self._n_head] if self._n_blocks else None
        if first is not None and first.block is not None:
            first.gap = self._gap_above(None, first.block)
        self._set_tail()

    def _gap_above(self, before: Block | None, block: Block) -> int:
        is_first_of_answer = before is None and self._n_head > 0
        return metrics.thought_gap() if is_first_of_answer else metrics.gap_between(before, block)

    def _set_block(self, parts: list[Part], index: int, block: Block, gap: int) -> None:
        kind = _kind_of(block)
        if index >= len(parts):
            parts.append(Part(kind, gap, self._estimated(block), block))
        elif parts[index].kind is not kind:
            parts[index] = Part(kind, gap, self._estimated(block), block)
        elif parts[index].block != block:
            part = parts[index]
            part.gap, part.block = gap, block
            part.is_stale = part.grows_down = True
        else:
            parts[index].gap = gap

    def _set_tail(self) -> None:
        """What stands below the blocks in this state of the message."""
        kinds = self._tail_kinds()
        above = self._n_head + self._n_blocks
        old = {part.kind: part for part in self.parts[above:]}
        tail = []
        for kind in kinds:
            part = old.get(kind) or Part(kind, 0, metrics.footer_height())
            part.gap = self._tail_gap(kind)
            tail.append(part)
        self.parts[above:] = tail
        self._height = sum(part.gap + part.height for part in self.parts) + self._padding()

    def _tail_kinds(self) -> list[PartKind]:
        if self.view.is_user:
            return [PartKind.USER_FOOTER]
        kinds = []
        if self._n_blocks == 0 and not self.view.has_failed and not self.is_thinking:
            kinds.append(PartKind.ACTIVITY)
        if self.view.has_failed:
            kinds.append(PartKind.NOTICE)
        return [*kinds, PartKind.ANSWER_FOOTER]

    def _tail_gap(self, kind: PartKind) -> int:
        if kind is PartKind.USER_FOOTER:
            return metrics.bubble_padding_top()
        if kind is PartKind.ANSWER_FOOTER:
            return theme.space(2)
        return theme.space(3) if self._n_blocks else theme.space(1) if self._n_head else 0

    def _mark_tail(self) -> None:
        for part in self.parts[self._n_head + self._n_blocks :]:
            part.is_stale = True

    def _padding(self) -> int:
        return self.top_space + metrics.message_gap(self.view.is_user)

    def _estimate(self) -> int:
        width = self.column_width
        text = metrics.estimated_text_height(self.view.text, width)
        if self.view.thought:
            text += metrics.footer_height() + metrics.thought_gap()
        return text + metrics.footer_height() + theme.space(2) + self._padding()

    def _estimated(self, block: Block) -> int:
        return metrics.estimated_block_height(block, max(1, self.column_width - metrics.indent(block)))

    def _restore_heights(self) -> None:
        if len(self._known_heights) == len(self.parts):
            for part, height in zip(self.parts, self._known_heights, strict=True):
                self.set_height(part, height)


def _thought_blocks(text: str) -> list[Block]:
    """As it was written: small, dim, and with a bar beside it."""
    pieces = (block for block in plain_blocks(text.strip()) if isinstance(block, PlainBlock))
    return [replace(piece, frames=(_THOUGHT_FRAME,), is_quiet=True) for piece in pieces]


def _kind_of(block: Block) -> PartKind:
    if isinstance(block, CodeBlock):
        return PartKind.CODE
    return PartKind.RULE if isinstance(block, RuleBlock) else PartKind.TEXT
