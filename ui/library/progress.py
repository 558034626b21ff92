"""A thin bar that fills from the left."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from ui.theme import theme


class ProgressBar(QWidget):
    """``fraction`` counts from 0 to 1; words beside it say the same. ``color`` is a token."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._fraction = 0.0
        self._color = "accent"
        self._name = name
        self.setFixedHeight(theme.size("library-bar-height"))
        self.setMinimumWidth(theme.size("library-bar-width"))
        self.setAccessibleName(name)

    def show_fraction(self, fraction: float, color: str = "accent") -> None:
        if (fraction, color) != (self._fraction, self._color):
            self._fraction, self._color = fraction, color
            self.setAccessibleName(f"{self._name}: {fraction:.0%}")
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        radius = self.height() / 2
        painter.setBrush(theme.color("track"))
        painter.drawRoundedRect(self.rect(), radius, radius)
        if self._fraction > 0:
            width = max(float(self.height()), self.width() * min(1.0, self._fraction))
            painter.setBrush(theme.color(self._color))
            painter.drawRoundedRect(QRectF(0, 0, width, self.height()), radius, radius)
