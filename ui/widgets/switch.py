"""On or off, at once: a knob that slides in a groove."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from ui.theme import theme
from ui.widgets.focus import FocusRing


class Switch(FocusRing, QAbstractButton):
    """``clicked`` carries what the user wants. Its words stand beside it, and are its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setCheckable(True)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)

    def sizeHint(self) -> QSize:
        margin = 2 * theme.size("focus-width")
        return QSize(theme.size("switch-width") + margin, theme.size("switch-height") + margin)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = theme.size("switch-width"), theme.size("switch-height")
        groove = QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._groove_color())
        painter.drawRoundedRect(groove, height / 2, height / 2)
        gap = theme.size("switch-gap")
        side = height - 2 * gap
        left = groove.right() - gap - side if self.isChecked() else groove.left() + gap
        painter.setBrush(theme.color("surface" if self.isEnabled() else "bg"))
        painter.drawEllipse(QRectF(left, groove.top() + gap, side, side))
        if self.property("focusRing"):
            half = theme.exact_size("focus-width") / 2
            painter.setPen(QPen(theme.color("text"), theme.exact_size("focus-width")))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            ring = QRectF(self.rect()).adjusted(half, half, -half, -half)
            painter.drawRoundedRect(ring, ring.height() / 2, ring.height() / 2)

    def _groove_color(self) -> QColor:
        if not self.isEnabled():
            return theme.color("track")
        if self.isChecked():
            return theme.color("accent-hover" if self.underMouse() else "accent")
        return theme.color("scroll-hover" if self.underMouse() else "scroll")
