"""The way back to the newest text."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton
from ui.widgets.icons import paint_icon


class JumpButton(IconButton):
    """Round, above the text near the lower edge of its parent."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("chevron-down", "Jump to the latest", keys="End")
        self.setParent(parent)
        side = theme.space(9)
        self.setFixedSize(side, side)
        self.hide()

    def place_in(self, width: int, height: int) -> None:
        self.move((width - self.width()) // 2, height - self.height() - theme.space(3))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        is_marked = bool(self.property("focusRing"))
        width = theme.size("focus-width") if is_marked else theme.exact_size("line-width")
        painter.setPen(QPen(theme.color("accent" if is_marked else "line"), width))
        painter.setBrush(theme.color("hover" if self.underMouse() else "surface"))
        painter.drawEllipse(QRectF(self.rect()).adjusted(1, 1, -1, -1))
        side = theme.size("icon")
        margin = (self.width() - side) / 2
        paint_icon(painter, QRectF(margin, margin, side, side), "chevron-down", theme.color("dim"))
