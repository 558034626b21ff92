"""Small round marks. Words beside them or in a tooltip say the same."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.theme import theme


def paint_dot(painter: QPainter, middle: QPointF, color: str | None) -> None:
    """A dot in the colour of a token, or an empty ring for None."""
    side = theme.exact_size("dot")
    dot = QRectF(middle.x() - side / 2, middle.y() - side / 2, side, side)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if color is None:
        half = theme.exact_size("line-width") / 2
        painter.setPen(QPen(theme.color("faint"), theme.exact_size("line-width")))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(dot.adjusted(half, half, -half, -half))
    else:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(color))
        painter.drawEllipse(dot)
    painter.restore()


class Dot(QWidget):
    """A mark that stands before a line of text."""

    def __init__(self, color: str | None) -> None:
        super().__init__()
        self._color = color
        self.setFixedSize(theme.size("dot"), theme.line_height("ui"))

    def set_color(self, color: str | None) -> None:
        self._color = color
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_dot(QPainter(self), QRectF(self.rect()).center(), self._color)
