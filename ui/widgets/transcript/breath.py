"""A mark that breathes while something is on its way."""

from __future__ import annotations

import math

from PySide6.QtCore import QObject, QRectF, Qt, QTimer
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from ui.theme import theme

_FRAME_MS = 66
_BREATH_S = 1.8


class Breath(QObject):
    """Repaints ``widget``, which paints the mark where it wants it."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._n_frames = 0
        self._timer = QTimer(self, interval=_FRAME_MS)
        self._timer.timeout.connect(self._on_frame)

    def run(self, runs: bool) -> None:
        if runs and not self._timer.isActive():
            self._n_frames = 0
            self._timer.start()
        elif not runs:
            self._timer.stop()

    def paint(self, painter: QPainter, left: int) -> int:
        """Paint the mark at ``left`` and return where what stands beside it begins; at rest there is none."""
        if not self._timer.isActive():
            return left
        side = theme.size("dot")
        color = theme.color("accent")
        phase = self._n_frames * _FRAME_MS / 1000 / _BREATH_S
        color.setAlphaF(0.65 + 0.35 * math.cos(2 * math.pi * phase))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(QRectF(left, (self._widget.height() - side) / 2, side, side))
        return left + side + theme.space(2)

    def _on_frame(self) -> None:
        self._n_frames += 1
        self._widget.update()
