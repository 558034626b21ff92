"""A model's card: Markdown by a stranger, drawn as an answer in the chat is. Nothing in it is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.labels import label, rule
from ui.widgets.markdown.background import background
from ui.widgets.markdown.blocks import Block, CodeBlock, RuleBlock
from ui.widgets.markdown.highlight import runs
from ui.widgets.markdown.stream import MarkdownStream
from ui.widgets.transcript import metrics
from ui.widgets.transcript.text_view import TextView

_MAX_BLOCKS = 400
"""More than anybody reads here; the rest is a click away in the browser."""
_MAX_CHARS = 200_000
_N_AT_ONCE = 8
_TOP_RIGHT = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight


class CardView(QWidget):
    """Blocks are built a few at a time, so that a long card does not hold the window up."""

    link_activated = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._blocks: Sequence[Block] = ()
        self._views: list[_BlockView | QFrame] = []
        self._is_cut = False
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._build_some)
        theme.changed.connect(self._rebuild)

    def show_card(self, markdown: str) -> None:
        if markdown == self._text and self._blocks:
            return
        self._text = markdown
        self._clear()
        self._blocks = ()
        if markdown:
            background().submit(partial(_blocks_of, markdown), partial(self._on_read, markdown))

    @property
    def text(self) -> str:
        """What can be read of it so far."""
        return "\n".join(view.text for view in self._views if isinstance(view, _BlockView))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            for view in self._views:
                if isinstance(view, _BlockView):
                    view.fit(self.width())

    def _on_read(self, markdown: str, blocks: Sequence[Block]) -> None:
        if markdown == self._text:
            self._is_cut = len(blocks) > _MAX_BLOCKS or len(markdown) > _MAX_CHARS
            self._blocks = blocks[:_MAX_BLOCKS]
            self._timer.start()

    def _build_some(self) -> None:
        start = len(self._views)
        for index in range(start, min(start + _N_AT_ONCE, len(self._blocks))):
            before = self._blocks[index - 1] if index else None
            self._add(self._blocks[index], metrics.gap_between(before, self._blocks[index]))
        if len(self._views) < len(self._blocks):
            self._timer.start()
        elif self._is_cut:
            self._layout.addSpacing(theme.space(4))
            self._layout.addWidget(label("The card goes on on the model's page.", "small", "dim"))

    def _add(self, block: Block, gap: int) -> None:
        self._layout.addSpacing(gap)
        if isinstance(block, RuleBlock):
            line = rule()
            self._views.append(line)
            self._layout.addWidget(line)
            return
        view = _BlockView(block)
        view.fit(self.width())
        view.body.link_activated.connect(lambda url: self.link_activated.emit(url.toString()))
        self._views.append(view)
        self._layout.addWidget(view)

    def _rebuild(self) -> None:
        """In the colours of now."""
        blocks = self._blocks
        self._clear()
        self._blocks = blocks
        self._timer.start()

    def _clear(self) -> None:
        self._timer.stop()
        self._views = []
        while (item := self._layout.takeAt(0)) is not None:
            old = item.widget()
            if old is not None:
                old.hide()
                old.deleteLater()


class _BlockView(QFrame):
    """One block, moved in by the lists and quotes around it, with its bullet."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._block = block
        self._indent = metrics.indent(block)
        self._is_code = isinstance(block, CodeBlock)
        self.body = TextView()
        self.body.setProperty("role", "clear")
        self.body.setAccessibleName("Code" if self._is_code else "Card")
        self.body.copy_pressed.connect(self._copy)
        self.body.select_all_pressed.connect(self.body.selectAll)
        padding = metrics.code_padding() if self._is_code else 0
        if self._is_code:
            self.setProperty("role", "code-box")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(padding, padding, padding, padding)
        layout.setSpacing(0)
        if self._indent:
            marker = _marker(block)
            marker.setFixedWidth(self._indent - theme.space(2))
            layout.addWidget(marker)
            layout.addSpacing(theme.space(2))
        layout.addWidget(self.body, stretch=1)
        self._padding = padding

    @property
    def text(self) -> str:
        return self.body.content.toPlainText()

    def fit(self, width: int) -> None:
        """Lay it out in lines of the room that there is."""
        border = 2 * theme.size("line-width") if self._is_code else 0
        line_width = max(theme.space(30), width - self._indent - 2 * self._padding - border)
        if isinstance(self._block, CodeBlock):
            self.body.write_code(self._block.text, runs(self._block.text, self._block.language), line_width)
        else:
            self.body.fill(self._block, line_width)
        self.body.setFixedHeight(self.body.text_height())

    def _copy(self) -> None:
        QGuiApplication.clipboard().setMimeData(self.body.createMimeDataFromSelection())


def _marker(block: Block) -> QLabel:
    made = label(block.marker.text if block.marker is not None else "", "reading", "dim")
    made.setAlignment(_TOP_RIGHT)
    made.setContentsMargins(0, 2 * metrics.text_lift(), 0, 0)
    return made


def _blocks_of(markdown: str) -> Sequence[Block]:
    """Thread: any."""
    stream = MarkdownStream()
    stream.feed(markdown[:_MAX_CHARS])
    stream.finish()
    stream.advance()
    return list(stream.blocks)
