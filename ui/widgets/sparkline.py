"""A small line over time, without axes: the numbers beside it say what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui.theme import theme

_FILL_STRENGTH = 0.12
_N_REDRAWN = 4
"""Values at the end of the line that the newest one bends."""
_CEILING_STEP = 1.15
"""From one ceiling to the next higher one: the line is not to be scaled anew with every new highest value."""


class Sparkline(QWidget):
    """Values from the oldest to the newest; None is a gap. ``color`` is a token."""

    def __init__(self, color: str, *, is_dashed: bool = False) -> None:
        super().__init__()
        self._color = color
        self._is_dashed = is_dashed
        self._values: tuple[float | None, ...] = ()
        self._ceiling = 0.0
        self.setFixedHeight(theme.size("sparkline-height"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_values(self, values: Sequence[float | None], ceiling: float | None = None) -> None:
        """``ceiling`` is what the top stands for; without one it is the highest value."""
        shown = tuple(values)
        top = ceiling or _ceiling(max((value for value in shown if value is not None), default=0.0))
        if (shown, top) == (self._values, self._ceiling):
            return
        is_newest = top == self._ceiling and shown[:-1] == self._values[:-1]
        self._values, self._ceiling = shown, top
        if is_newest:  # ten times a second: the rest of the line is as it was
            width = round(_N_REDRAWN * self._step())
            self.update(QRect(self.width() - width, 0, width, self.height()))
        else:
            self.update()

    def _step(self) -> float:
        """From one value to the next."""
        return self.width() / max(1, len(self._values) - 1)

    def sizeHint(self) -> QSize:
        return QSize(theme.size("slider-width"), theme.size("sparkline-height"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        stroke = theme.exact_size("sparkline-stroke")
        area = QRectF(self.rect()).adjusted(stroke, stroke, -stroke, -stroke)
        painter.setPen(QPen(theme.color("line"), theme.exact_size("line-width")))
        painter.drawLine(QPointF(0, area.bottom()), QPointF(self.width(), area.bottom()))
        if self._ceiling > 0:
            first = max(0, int(event.rect().left() / self._step()) - _N_REDRAWN)
            for points in self._runs(area, first):
                self._paint_run(painter, points, area.bottom())

    def _paint_run(self, painter: QPainter, points: Sequence[QPointF], floor: float) -> None:
        color = theme.color(self._color)
        pen = QPen(color, theme.exact_size("sparkline-stroke"), Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
        if len(points) == 1:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color)
            painter.drawEllipse(points[0], pen.widthF(), pen.widthF())
            return
        line = _smooth(points)
        under = QPainterPath(line)
        under.lineTo(points[-1].x(), floor)
        under.lineTo(points[0].x(), floor)
        painter.setRenderHint(
            QPainter.RenderHint.Antialiasing, False
        )  # the line hides its edge, and it is 5 times slower
        painter.fillPath(under, _faint(color))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._is_dashed:
            pen.setStyle(Qt.PenStyle.DashLine)
        painter.strokePath(line, pen)

    def _runs(self, area: QRectF, first: int) -> list[list[QPointF]]:
        """The points between gaps, from the value ``first`` on."""
        step = area.width() / max(1, len(self._values) - 1)
        runs: list[list[QPointF]] = []
        is_open = False
        for at, value in enumerate(self._values[first:], first):
            if value is not None:
                if not is_open:
                    runs.append([])
                height = min(1.0, value / self._ceiling) * area.height()
                runs[-1].append(QPointF(area.left() + at * step, area.bottom() - height))
            is_open = value is not None
        return runs


def _ceiling(highest: float) -> float:
    return _CEILING_STEP ** (math.floor(math.log(highest, _CEILING_STEP)) + 1) if highest > 0 else 0.0


def _smooth(points: Sequence[QPointF]) -> QPainterPath:
    """Through the middles between the points, so that it has no corners and overshoots nothing."""
    path = QPainterPath(points[0])
    for one, other in pairwise(points[1:]):
        path.quadTo(one, (one + other) / 2)
    path.lineTo(points[-1])
    return path


def _faint(color: QColor) -> QColor:
    faint = QColor(color)
    faint.setAlphaF(_FILL_STRENGTH)
    return faint
