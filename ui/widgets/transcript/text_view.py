"""The widget that shows one block of text, and is used again for another when the page scrolls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from PySide6.QtCore import QMimeData, QPoint, QRectF, Qt, QUrl, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QTextBlock,
    QTextCursor,
    QTextDocument,
    QTextLine,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QTextBrowser, QTextEdit, QWidget

from ui.theme import theme
from ui.widgets.markdown.blocks import Block, Span, SpanStyle, TableBlock, TextBlock, is_safe_link
from ui.widgets.markdown.document import BlockDocument
from ui.widgets.markdown.highlight import ColorRun
from ui.widgets.markdown.sheet import IS_INLINE_CODE, sheet

_GROUND_MARGIN = 2
_KEYBOARD_REASONS = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
_KEYS_OF_LINKS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class TextView(QTextBrowser):
    """A read-only text without scrolling of its own, but sideways where something is too wide.

    What it cannot decide alone it tells: a drag may leave it for another block, and so may a selection.
    """

    pressed = Signal()
    dragged = Signal(QPoint)  # global position
    released = Signal()
    copy_pressed = Signal()
    select_all_pressed = Signal()
    menu_wanted = Signal(QPoint, str)  # global position, address of a link or nothing
    link_activated = Signal(QUrl)
    word_selected = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = BlockDocument()
        self._grounds: list[QRectF] | None = None
        self._has_inline_code = False
        self.is_ringed = False
        """Whether it got the focus by the keyboard."""
        self.setDocument(self._document)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setReadOnly(True)
        self.setOpenLinks(False)
        self.setAcceptDrops(False)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.viewport().setAutoFillBackground(False)
        self.anchorClicked.connect(self._on_link)
        self.highlighted.connect(self._on_hovered)

    @property
    def content(self) -> BlockDocument:
        return self._document

    @property
    def n_chars(self) -> int:
        return self._document.characterCount() - 1

    @property
    def is_rtl(self) -> bool:
        return self._document.firstBlock().textDirection() is Qt.LayoutDirection.RightToLeft

    def fill(self, block: Block, width: int) -> None:
        """Show a block in lines of at most ``width``; listings have lines as long as they are."""
        self._start(width)
        self._document.fill(block, sheet(), self.devicePixelRatioF())
        self._has_inline_code = _has_inline_code(block)
        self.setTextCursor(QTextCursor(self._document))  # at the beginning, which is what Qt shows of a wide text

    def write_code(self, code: str, runs: Sequence[ColorRun], width: int, kept: int = 0) -> None:
        """Show a listing, of which the first ``kept`` positions are there already."""
        if not kept:
            self._start(width)
        self._document.write_code(kept, code, runs, sheet())
        if not kept:
            self.setTextCursor(QTextCursor(self._document))

    def set_line_width(self, width: int) -> None:
        """Lay out what is there in lines of another width."""
        if self.lineWrapColumnOrWidth() != width:
            self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
            self.setLineWrapColumnOrWidth(width)

    def shrink_to_text(self) -> int:
        """Make the lines no longer than they need to be, and return that width."""
        width = math.ceil(self._document.idealWidth())
        self.set_line_width(width)
        self._grounds = None
        return width

    def text_height(self) -> int:
        """With the scroll bar, if there is one."""
        size = self._document.size()
        is_wide = math.ceil(self._document.idealWidth()) > max(self.lineWrapColumnOrWidth(), 1)
        return math.ceil(size.height()) + (self.horizontalScrollBar().sizeHint().height() if is_wide else 0)

    def clear_content(self) -> None:
        self._document.clear()

    def select(self, anchor: int, head: int) -> None:
        cursor = self.textCursor()
        if (cursor.anchor(), cursor.position()) == (anchor, head):
            return
        cursor.setPosition(anchor)
        cursor.setPosition(head, QTextCursor.MoveMode.KeepAnchor)
        sideways = self.horizontalScrollBar().value()
        self.setTextCursor(cursor)
        self.horizontalScrollBar().setValue(sideways)

    def place_at(self, global_position: QPoint) -> int:
        """The position in the text nearest to a point."""
        return self.cursorForPosition(self.viewport().mapFromGlobal(global_position)).position()

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Nothing: what may be shown is in the document already, and QTextBrowser would read files."""
        return None

    def createMimeDataFromSelection(self) -> QMimeData:
        data = QMimeData()
        cursor = self.textCursor()
        data.setText(self._document.text_between(cursor.selectionStart(), cursor.selectionEnd()))
        return data

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            # On selected text Qt would begin to drag the text away; here a press begins a new selection.
            self.select(0, 0)
        super().mousePressEvent(event)
        if event.button() is Qt.MouseButton.LeftButton:
            self.pressed.emit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        is_drag = bool(event.buttons() & Qt.MouseButton.LeftButton)
        if not is_drag or self.viewport().rect().contains(event.position().toPoint()):
            super().mouseMoveEvent(event)
        if is_drag:
            self.dragged.emit(event.globalPosition().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() is Qt.MouseButton.LeftButton:
            self.released.emit()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        super().mouseDoubleClickEvent(event)
        self.word_selected.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Only what is done with a text; everything else, scrolling first of all, is for the page."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_pressed.emit()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self.select_all_pressed.emit()
        elif event.key() in _KEYS_OF_LINKS and self.textCursor().charFormat().isAnchor():
            super().keyPressEvent(event)
        else:
            event.ignore()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Sideways is for this text, if it is wide; up and down is for the page."""
        sideways = event.angleDelta().x()
        bar = self.horizontalScrollBar()
        if bar.maximum() and abs(sideways) > abs(event.angleDelta().y()):
            bar.setValue(bar.value() - (event.pixelDelta().x() or sideways))
            event.accept()
        else:
            event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self.menu_wanted.emit(event.globalPos(), self.anchorAt(event.pos()))

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.is_ringed = event.reason() in _KEYBOARD_REASONS
        super().focusInEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._has_inline_code:
            self._paint_grounds()
        super().paintEvent(event)

    def _paint_grounds(self) -> None:
        if self._grounds is None:
            self._grounds = list(_code_rects(self._document))
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(-self.horizontalScrollBar().value(), 0)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(sheet().code_ground)
        for rect in self._grounds:
            painter.drawRoundedRect(rect, theme.space(1), theme.space(1))
        painter.end()

    def _start(self, width: int) -> None:
        """An empty document first: it is laid out at every change of the width."""
        self._document.clear()
        self._grounds = None
        self._has_inline_code = False
        self.set_line_width(width)

    def _on_link(self, url: QUrl) -> None:
        if is_safe_link(url.toString()):
            self.link_activated.emit(url)

    def _on_hovered(self, url: QUrl) -> None:
        self.viewport().setToolTip(url.toDisplayString())


def _has_inline_code(block: Block) -> bool:
    if isinstance(block, TextBlock):
        return _has_code(block.spans)
    return isinstance(block, TableBlock) and any(_has_code(cell) for row in block.rows for cell in row)


def _has_code(spans: Sequence[Span]) -> bool:
    return any(span.style & (SpanStyle.CODE | SpanStyle.MATH) for span in spans)


def _code_rects(document: QTextDocument) -> Iterator[QRectF]:
    """Where inline code stands, a rectangle for each line of it."""
    block = document.firstBlock()
    while block.isValid():
        origin = document.documentLayout().blockBoundingRect(block).topLeft()
        fragments = block.begin()
        while not fragments.atEnd():
            fragment = fragments.fragment()
            if fragment.charFormat().boolProperty(IS_INLINE_CODE):
                start = fragment.position() - block.position()
                for rect in _line_rects(block, start, start + fragment.length()):
                    yield rect.translated(origin)
            fragments += 1
        block = block.next()


def _line_rects(block: QTextBlock, start: int, end: int) -> Iterator[QRectF]:
    layout = block.layout()
    for index in range(layout.lineCount()):
        line = layout.lineAt(index)
        first, last = max(start, line.textStart()), min(end, line.textStart() + line.textLength())
        if first < last:
            left, right = sorted((_x_at(line, first), _x_at(line, last)))
            yield QRectF(left - _GROUND_MARGIN, line.y() + 1, right - left + 2 * _GROUND_MARGIN, line.height() - 2)


def _x_at(line: QTextLine, position: int) -> float:
    """PySide returns the position too, because Qt may change it."""
    found: tuple[float, int] = line.cursorToX(position)  # type: ignore[assignment]
    return found[0]
