"""A verdict in a few words: green, amber and red for those who see them, and the words for all."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QLabel, QSizePolicy

from ui.theme import theme
from ui.widgets.focus import set_property

TONES = ("ok", "warn", "bad", "dim")


class Badge(QLabel):
    """Hidden while it has nothing to say. ``tone`` is ok, warn, bad or dim."""

    def __init__(self, text: str = "", tone: str = "dim") -> None:
        super().__init__()
        self.setProperty("role", "badge")
        self.setFont(theme.font("small"))
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.show_badge(text, tone)

    def show_badge(self, text: str, tone: str = "dim", tooltip: str = "") -> None:
        if self.text() != text:
            self.setText(text)
        self.setToolTip(tooltip)
        self.setAccessibleDescription(tooltip)
        set_property(self, "tone", tone)
        if not text:
            self.hide()
        elif self.parentWidget() is not None:  # shown before it stands anywhere, it would be a window
            self.show()


def badge_width(text: str) -> int:
    """Of a painted badge."""
    return QFontMetrics(theme.font("small")).horizontalAdvance(text) + 2 * _padding()


def paint_badge(painter: QPainter, left: float, middle: float, text: str, tone: str, room: float) -> float:
    """For delegates: paint a badge that begins at ``left``, no wider than ``room``. Returns where it ends."""
    font = theme.font("small")
    metrics = QFontMetrics(font)
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, round(room) - 2 * _padding())
    height = theme.size("badge-height")
    rect = QRectF(left, middle - height / 2, metrics.horizontalAdvance(shown) + 2 * _padding(), height)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("raise"))
    painter.drawRoundedRect(rect, height / 2, height / 2)
    painter.setFont(font)
    painter.setPen(theme.color(tone))
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, shown)
    painter.restore()
    return rect.right()


def _padding() -> int:
    return theme.space(2) + 1
