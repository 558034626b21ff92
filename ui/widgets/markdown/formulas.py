"""Formulas as images, drawn by ziamath in the background.

Until a formula is drawn, and for good if it cannot be, its source is shown.
"""

from __future__ import annotations

import logging
import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, partial

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QImage, QPainter

from ui.widgets.markdown.background import background

_log = logging.getLogger(__name__)

_N_KEPT = 512
_MAX_COST = 8_000
"""ziamath takes about 0.2 ms for a character and twice that for every pair of braces around it."""

_MAX_SIDE_PX = 4_000
_GROUPING = re.compile(r"\\(?:left|begin)(?![a-zA-Z])|\\(?:right|end)(?![a-zA-Z])|\\.|[{}]", re.DOTALL)
_MARGIN_PX = 1.0


@dataclass(frozen=True, slots=True)
class FormulaKey:
    """``size_px`` is the size of the text around it; ``color`` is #RRGGBB; ``pixel_ratio`` that of the screen.

    ``axis_px`` is how far above the baseline Qt centres an image within a line; None for a formula that stands alone.
    """

    tex: str
    is_display: bool
    size_px: float
    color: str
    pixel_ratio: float
    axis_px: float | None = None

    @property
    def name(self) -> str:
        """The address under which a document asks for the image."""
        return f"formula:{hash(self):x}"


@dataclass(frozen=True, slots=True)
class Formula:
    """Sizes are device-independent pixels.

    ``is_centred``: the image has room above or below the formula, such that the formula stands right in a line that
    Qt centres the image in. Otherwise its lower edge is the baseline.
    """

    image: QImage
    width: float
    height: float
    is_centred: bool


class FormulaState(Enum):
    WAITING = auto()
    FAILED = auto()


class Formulas(QObject):
    """Draws each formula once and keeps the last few hundred. Thread: GUI."""

    drawn = Signal(object)  # FormulaKey; also when drawing it failed

    def __init__(self) -> None:
        super().__init__()
        self._known: OrderedDict[FormulaKey, Formula | FormulaState] = OrderedDict()
        self._by_name: dict[str, FormulaKey] = {}

    def get(self, key: FormulaKey) -> Formula | FormulaState:
        """The formula, or that it waits to be drawn: then ``drawn`` follows."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        if cost(key.tex) > _MAX_COST:
            return FormulaState.FAILED
        self._keep(key, FormulaState.WAITING)
        background().submit(partial(_draw, key), partial(self._on_drawn, key))
        return FormulaState.WAITING

    def image(self, name: str) -> QImage | None:
        """The image behind an address from :attr:`FormulaKey.name`."""
        key = self._by_name.get(name)
        known = self._known.get(key) if key is not None else None
        return known.image if isinstance(known, Formula) else None

    def _on_drawn(self, key: FormulaKey, result: Formula | None) -> None:
        self._keep(key, result if result is not None else FormulaState.FAILED)
        self.drawn.emit(key)

    def _keep(self, key: FormulaKey, value: Formula | FormulaState) -> None:
        self._known[key] = value
        self._known.move_to_end(key)
        self._by_name[key.name] = key
        while len(self._known) > _N_KEPT:
            dropped, _ = self._known.popitem(last=False)
            self._by_name.pop(dropped.name, None)


@cache
def formulas() -> Formulas:
    """The one of this process. Thread: GUI."""
    return Formulas()


def preload() -> None:
    from PySide6 import QtSvg  # noqa: F401 - imported for being imported
    from ziamath.config import config

    # With SVG 2, QtSvg leaves out most glyphs and says nothing.
    config.svg2 = False


def cost(tex: str) -> int:
    """About how much work a formula is, in characters that stand in no braces; the brackets of TeX count as braces."""
    total = depth = position = 0
    for match in _GROUPING.finditer(tex):
        total += (match.start() - position + 1) << min(depth, 40)
        position = match.end()
        if match.group() == "{" or match.group() in ("\\left", "\\begin"):
            depth += 1
        elif match.group() == "}" or match.group() in ("\\right", "\\end"):
            depth = max(0, depth - 1)
    return total + ((len(tex) - position) << min(depth, 40))


def _draw(key: FormulaKey) -> Formula | None:
    """None if the formula cannot be drawn. Thread: background."""
    try:
        preload()
        return _render(key)
    except Exception as error:  # noqa: BLE001 - ziamath raises whatever a wrong formula makes it stumble over
        _log.debug("A formula is shown as source: %r", error)
        return None


def _render(key: FormulaKey) -> Formula | None:
    from PySide6.QtSvg import QSvgRenderer
    from ziamath.zmath import Latex

    drawing = Latex(key.tex, size=key.size_px, color=key.color, inline=not key.is_display, margin=_MARGIN_PX)
    width, height = (side + 2 * _MARGIN_PX for side in drawing.getsize())
    renderer = QSvgRenderer(QByteArray(drawing.svg().encode()))
    if not (0 < width <= _MAX_SIDE_PX and 0 < height <= _MAX_SIDE_PX and renderer.isValid()):
        return None
    descent = _MARGIN_PX - drawing.getyofst()
    top, total, is_centred = _place(height, descent, key.axis_px)
    ratio = key.pixel_ratio
    image = QImage(math.ceil(width * ratio), math.ceil(total * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    renderer.render(painter, QRectF(0, top * ratio, width * ratio, height * ratio))
    painter.end()
    image.setDevicePixelRatio(ratio)
    return Formula(image, image.width() / ratio, image.height() / ratio, is_centred)


def _place(height: float, descent: float, axis: float | None) -> tuple[float, float, bool]:
    """Where the formula begins in its image, how high the image is, and whether Qt shall centre it."""
    if axis is None:
        return 0, height, False
    ascent = height - descent
    if descent <= _MARGIN_PX + 1:
        return 0, ascent, False
    total = max(2 * ascent - axis, 2 * descent + axis)
    return (total + axis) / 2 - ascent, total, True
