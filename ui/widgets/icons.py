"""Line icons in the colours of the theme, drawn at the size of the screen's pixels."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

import resources
from ui.theme import theme

_VIEW_BOX = 24
"""The side of an icon's drawing, in its own units."""


def icon(name: str, color: str = "text", checked_color: str | None = None) -> QIcon:
    """An icon in the colour of a token. It asks the theme whenever it is painted, so it never shows old colours."""
    return QIcon(_LineIconEngine(name, color, checked_color or color))


def paint_icon(painter: QPainter, rect: QRectF, name: str, color: QColor) -> None:
    """Paint an icon into ``rect``, for widgets and delegates that paint themselves."""
    _renderer(name, color.name()).render(painter, rect)


@lru_cache(maxsize=256)
def _renderer(name: str, color: str) -> QSvgRenderer:
    """Icons are few and so are colours: parsed once for each pair."""
    stroke = theme.exact_size("icon-stroke") * _VIEW_BOX / theme.size("icon")
    svg = resources.icon_svg(name).replace("currentColor", color)
    svg = svg.replace('stroke-width="2"', f'stroke-width="{stroke}"')
    return QSvgRenderer(QByteArray(svg.encode()))


class _LineIconEngine(QIconEngine):
    """Draws the SVG for each size and device ratio, so that it is crisp on every screen."""

    def __init__(self, name: str, color: str, checked_color: str) -> None:
        super().__init__()
        self._name = name
        self._color = color
        self._checked_color = checked_color

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        token = self._checked_color if state is QIcon.State.On else self._color
        if mode is QIcon.Mode.Disabled:
            token = "faint"
        side = rect.height()  # a wider rectangle keeps a gap between the icon and a button's words
        paint_icon(painter, QRectF(rect.left(), rect.top(), side, side), self._name, theme.color(token))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(0, 0, size.width(), size.height()), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _LineIconEngine(self._name, self._color, self._checked_color)
