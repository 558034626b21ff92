"""What shows one block: a text as it is, a listing on a card."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QLineF, QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.labels import label
from ui.widgets.markdown.background import background
from ui.widgets.markdown.blocks import Block, CodeBlock, MathBlock, PlainBlock, TableBlock, TextBlock
from ui.widgets.markdown.document import n_positions
from ui.widgets.markdown.highlight import ColorRun, runs
from ui.widgets.transcript import metrics
from ui.widgets.transcript.copy_button import CopyText
from ui.widgets.transcript.message import Message, Part
from ui.widgets.transcript.text_view import TextView

_N_LINES_AT_ONCE = 60
"""Longer listings get their colours from the background, a moment later."""

_N_WINDOW_LINES = 30
"""How much of a listing that is being written is coloured again at each of its lines."""


class BlockView(TextView):
    """A block of text. The user's words take no more width than they need."""

    def show_part(self, message: Message, part: Part, width: int) -> int:
        """Show it in lines of at most ``width`` and return the height that it takes."""
        assert part.block is not None
        self.fill(part.block, width)
        if message.view.is_user:
            part.width = self.shrink_to_text()
        part.is_rtl = self.is_rtl
        part.baseline = self.content.baseline
        self.setAccessibleName(f"{author(message)}, {_kind_name(part.block)}")
        return self.text_height()

    def release(self) -> None:
        self.clear_content()

    def text_view(self) -> TextView:
        return self

    def focus_stops(self) -> Sequence[QWidget]:
        return (self,)


class CodeView(QWidget):
    """A listing on a card with its language and a button that copies all of it."""

    copy_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._language = label("", "small", "dim")
        self._copy = CopyText("Copy this code")
        self._copy.clicked.connect(self._on_copy)
        self._header = QWidget(self)
        layout = QHBoxLayout(self._header)
        layout.setContentsMargins(metrics.code_padding(), 0, 0, 0)
        layout.addWidget(self._language, stretch=1)
        layout.addWidget(self._copy)
        self._text = TextView(self)
        self._message: Message | None = None
        self._block = CodeBlock(text="")
        self._drawn_dark = theme.is_dark

    def show_part(self, message: Message, part: Part, width: int) -> int:
        assert isinstance(part.block, CodeBlock)
        before = self._block if self._message is message and self._drawn_dark is theme.is_dark else None
        self._message, self._block, self._drawn_dark = message, part.block, theme.is_dark
        self._show_header(part.block)
        self._text.setAccessibleName(f"{author(message)}, code, {part.block.language or 'no language'}")
        line_width = width - 2 * metrics.code_padding()
        self._text.set_line_width(line_width)
        self._write(part.block, before, line_width)
        top = metrics.code_header_height() + metrics.code_padding() if part.block.is_first else 0
        return top + self._text.text_height() + (metrics.code_padding() if part.block.is_last else 0)

    def release(self) -> None:
        self._message, self._block = None, CodeBlock(text="")
        self._text.clear_content()
        self._copy.reset()

    def text_view(self) -> TextView:
        return self._text

    def focus_stops(self) -> Sequence[QWidget]:
        return (self._copy, self._text) if self._block.is_first else (self._text,)

    def resizeEvent(self, event: QResizeEvent) -> None:
        padding, header = metrics.code_padding(), metrics.code_header_height()
        top = header + padding if self._block.is_first else 0
        bottom = padding if self._block.is_last else 0
        self._header.setGeometry(0, 0, self.width(), header)
        self._text.setGeometry(padding, top, self.width() - 2 * padding, self.height() - top - bottom)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        radius, line = theme.size("radius-card"), theme.exact_size("line-width")
        card = QRectF(self.rect()).adjusted(line / 2, line / 2, -line / 2, -line / 2)
        if not self._block.is_first:
            card.setTop(-2.0 * radius)
        if not self._block.is_last:
            card.setBottom(self.height() + 2.0 * radius)
        painter.setPen(QPen(theme.color("line"), line))
        painter.setBrush(theme.color("code"))
        painter.drawRoundedRect(card, radius, radius)
        if self._block.is_first:
            y = metrics.code_header_height() + line / 2
            painter.drawLine(QLineF(card.left(), y, card.right(), y))

    def _show_header(self, block: CodeBlock) -> None:
        self._language.setText(block.language or "code")
        self._header.setVisible(block.is_first)

    def _write(self, block: CodeBlock, before: CodeBlock | None, width: int) -> None:
        grows = before is not None and before.fence == block.fence and before.language == block.language
        if before is None or not grows or not block.text.startswith(before.text) or before.text == "":
            self._write_all(block, width)
        elif not block.is_closed:
            self._write_on(block, before, width)
        elif not before.is_closed or before.text != block.text:
            self._write_all(block, width, keeps_colors=before.text == block.text)

    def _write_all(self, block: CodeBlock, width: int, keeps_colors: bool = False) -> None:
        if block.text.count("\n") < _N_LINES_AT_ONCE:
            self._text.write_code(block.text, runs(block.text, block.language), width)
            return
        if not keeps_colors:
            self._text.write_code(block.text, (), width)
        work = partial(runs, block.text, block.language)
        background().submit(work, partial(self._on_runs, block, width))

    def _on_runs(self, block: CodeBlock, width: int, found: list[ColorRun]) -> None:
        if self._block is block and found:
            self._text.write_code(block.text, found, width)

    def _write_on(self, block: CodeBlock, before: CodeBlock, width: int) -> None:
        """A line that is being written is plain until it ends; then the lines around it are coloured again."""
        added = block.text[len(before.text) :]
        if "\n" not in added:
            self._text.write_code(added, (), width, kept=self._text.n_chars)
            return
        start = _window_start(before.text)
        window = block.text[start:]
        found = runs(window[: window.rfind("\n")], block.language)
        self._text.write_code(window, found, width, kept=n_positions(block.text[:start]))

    def _on_copy(self) -> None:
        if self._message is not None:
            self.copy_wanted.emit(self._message.code_of(self._block.fence))
            self._copy.confirm()


def author(message: Message) -> str:
    return "You" if message.view.is_user else "Answer"


def _window_start(code: str) -> int:
    """The last place near the end where a statement seems to begin: a line that is not indented."""
    start = end = len(code)
    for _ in range(_N_WINDOW_LINES):
        start = code.rfind("\n", 0, end) + 1
        if start == 0 or (start < len(code) and not code[start].isspace() and code[start] not in ")]}"):
            break
        end = start - 1
    return start


def _kind_name(block: Block) -> str:
    if isinstance(block, TextBlock):
        kind = f"heading {block.level}" if block.level else "paragraph"
        return f"list item, {kind}" if block.marker is not None else kind
    if isinstance(block, PlainBlock) and block.is_quiet:
        return "thought"
    return {TableBlock: "table", MathBlock: "formula", PlainBlock: "message"}.get(type(block), "text")
