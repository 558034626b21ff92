"""Over what the model no longer sees: a thin layer that dims it, and a line that says so where it ends."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QRect, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.theme import theme
from ui.widgets.transcript import metrics

_WORDS = "The model no longer sees what is above"


class Veil(QWidget):
    """Lies on the page; the mouse reaches through it, because the words below can still be read and copied."""

    def __init__(self, ground: QWidget) -> None:
        super().__init__(ground)
        self._column = metrics.Column(0, 1)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName(_WORDS)
        self.hide()

    def reach_down_to(self, y: int | None, width: int, column: metrics.Column) -> None:
        """Cover the page down to ``y``; None, or a place above the page, covers nothing."""
        if y is None or y <= 0:
            self.hide()
            return
        self._column = column
        self.setGeometry(0, 0, width, y)
        self.raise_()
        self.show()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        covered, foot = self.rect(), self.rect()
        foot.setTop(foot.bottom() + 1 - metrics.divider_height() - metrics.message_gap(is_user=False))
        covered.setBottom(foot.top() - 1)
        painter.fillRect(covered, theme.color("veil"))
        self._paint_line(painter, foot)

    def _paint_line(self, painter: QPainter, foot: QRect) -> None:
        """The words in the middle, and a line to both sides of them."""
        font = theme.font("small")
        words = QRect(self._column.x, foot.top(), self._column.width, foot.height())
        half = QFontMetrics(font).horizontalAdvance(_WORDS) / 2 + theme.space(3)
        middle, y = words.center().x(), foot.center().y() + 0.5
        painter.setPen(QPen(theme.color("line"), theme.exact_size("line-width")))
        painter.drawLine(QLineF(self._column.x, y, middle - half, y))
        painter.drawLine(QLineF(middle + half, y, self._column.right, y))
        painter.setFont(font)
        painter.setPen(theme.color("faint"))
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, _WORDS)
