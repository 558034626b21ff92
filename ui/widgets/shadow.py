"""A soft shadow, painted by the parent of what casts it.

QGraphicsDropShadowEffect would redraw the whole card into a picture at every key press.
"""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter

from ui.theme import theme

_N_LAYERS = 8


def paint_shadow(painter: QPainter, rect: QRectF, radius: float) -> None:
    """Paint the shadow of a card that covers ``rect``; the card itself is painted over it later."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("shadow"))
    step = theme.space(1) / 2
    fall = theme.space(1)  # light comes from above
    for layer in range(_N_LAYERS, 0, -1):
        spread = layer * step
        grown = rect.adjusted(-spread, -spread + fall, spread, spread + fall)
        painter.drawRoundedRect(grown, radius + spread, radius + spread)
    painter.restore()
