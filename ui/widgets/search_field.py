"""A field to search in: a glass in front, a cross to clear it, Escape too."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QLineEdit

from ui.theme import theme
from ui.widgets.icons import icon, paint_icon


class SearchField(QLineEdit):
    """``left`` is emitted when the user goes down into the results."""

    left = Signal()

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder)
        self.setTextMargins(theme.size("icon-small") + theme.space(2), 0, 0, 0)
        self._clear = QAction(icon("x", "dim"), "Clear the search", self)
        self._clear.triggered.connect(self.clear)
        self.textChanged.connect(self._show_clear)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return):
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The glass stands where the padding and the text margin leave room for it."""
        super().paintEvent(event)
        side = theme.size("icon-small")
        rect = QRectF(theme.space(3) - theme.size("line-width"), (self.height() - side) / 2, side, side)
        paint_icon(QPainter(self), rect, "search", theme.color("faint"))

    def _show_clear(self, text: str) -> None:
        if text:
            self.addAction(self._clear, QLineEdit.ActionPosition.TrailingPosition)
        else:
            self.removeAction(self._clear)
