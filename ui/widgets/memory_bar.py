"""A device's memory as one bar in true proportion, and what its colours stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from ui.theme import theme
from ui.widgets.icons import paint_icon


class PartKind(Enum):
    """In the order of the bar. The value is the token of its colour, and how strong that is."""

    WEIGHTS = ("weights", 1.0)
    DRAFT = ("draft", 1.0)
    KV = ("gpu", 1.0)
    KV_OTHER = ("gpu", 0.62)
    KV_FREE = ("gpu", 0.3)
    COMPUTE = ("compute", 1.0)
    OTHERS = ("hatch", 1.0)
    FREE = ("raise", 1.0)


_SECOND_STRENGTH = 0.8
"""Of every other conversation, so that neighbours can be told apart."""
_PLANNED_STRENGTH = 0.55
"""Of what is planned and not yet there."""
_LEAST_WIDTH = 2.0
"""Of a part that is there at all: nothing that holds memory is invisible."""


@dataclass(frozen=True, slots=True)
class BarPart:
    """``words`` name it for the tooltip and a screen reader. With a ``key`` it can be activated."""

    kind: PartKind
    n_bytes: int
    words: str
    key: str | None = None
    is_pinned: bool = False


class MemoryBar(QWidget):
    """One stop for Tab; the arrow keys go from part to part, Return or a click activates one that has a key.

    ``activated`` carries the key and the place on the screen below which a menu can open.
    """

    activated = Signal(str, QPoint)

    def __init__(self, name: str, *, compact: bool = False) -> None:
        super().__init__()
        self._name = name
        self._total_bytes = 0
        self._parts: tuple[BarPart, ...] = ()
        self._edges: tuple[float, ...] = ()
        self._segments: list[_Segment] = []
        self._is_planned = False
        self._is_faded = False
        self._is_compact = compact
        self.setAccessibleName(name)
        self.setFixedHeight(theme.size("memory-bar-compact" if compact else "memory-bar"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_parts(
        self, total_bytes: int, parts: Sequence[BarPart], *, is_planned: bool = False, is_faded: bool = False
    ) -> None:
        """Parts without bytes are left out. ``is_planned``: not there yet; ``is_faded``: not of this machine."""
        shown = tuple(part for part in parts if part.n_bytes > 0)
        state = (total_bytes, shown, is_planned, is_faded)
        if state == (self._total_bytes, self._parts, self._is_planned, self._is_faded):
            return
        self._total_bytes, self._parts, self._is_planned, self._is_faded = state
        self._place()
        self.update()

    def part_at(self, x: float) -> BarPart | None:
        for edge, part in zip(self._edges, self._parts, strict=True):
            if x < edge:
                return part
        return None

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def sizeHint(self) -> QSize:
        return QSize(theme.size("popover-width"), self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.space(20), self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("raise"))
        if not self._is_faded:
            self._paint_parts(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(self._corners(), theme.color("surface"))

    def _corners(self) -> QPainterPath:
        """What is outside the rounded bar is painted over: a clip that is no rectangle is slow."""
        radius = theme.size("memory-bar-radius-compact" if self._is_compact else "memory-bar-radius")
        inside, corners = QPainterPath(), QPainterPath()
        inside.addRoundedRect(QRectF(self.rect()), radius, radius)
        corners.addRect(QRectF(self.rect()))
        return corners.subtracted(inside)

    def _paint_parts(self, painter: QPainter) -> None:
        left, n_kv = 0.0, 0
        for edge, part in zip(self._edges, self._parts, strict=True):
            rect = QRectF(left, 0, edge - left, self.height())
            n_kv += part.kind is PartKind.KV
            paint_part(painter, rect, part.kind, self._strength(part.kind, n_kv))
            if left and part.kind is not PartKind.FREE:
                painter.fillRect(QRectF(left, 0, 1, self.height()), theme.color("surface"))
            if part.is_pinned:
                _paint_pin(painter, rect)
            left = edge

    def _strength(self, kind: PartKind, n_kv: int) -> float:
        strength = _PLANNED_STRENGTH if self._is_planned and kind is not PartKind.OTHERS else 1.0
        return strength * (_SECOND_STRENGTH if kind is PartKind.KV and n_kv % 2 == 0 else 1.0)

    def _place(self) -> None:
        """Where parts end, and a segment over each of them that is more than empty room."""
        self._edges = _edges([part.n_bytes for part in self._parts], self._total_bytes, self.width())
        wanted = [at for at, part in enumerate(self._parts) if part.kind is not PartKind.FREE]
        if self._is_faded or self._is_compact:
            wanted = []
        while len(self._segments) > len(wanted):
            self._drop_last()
        while len(self._segments) < len(wanted):
            self._segments.append(_Segment(self))
        for segment, at in zip(self._segments, wanted, strict=True):
            left = self._edges[at - 1] if at else 0.0
            segment.show_part(self._parts[at], left, self._edges[at])
        self._keep_one_stop()

    def _drop_last(self) -> None:
        gone = self._segments.pop()
        if gone.hasFocus() and self._segments:
            self._segments[-1].setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            self._segments[-1].setFocus(Qt.FocusReason.OtherFocusReason)
        gone.hide()
        gone.deleteLater()

    def _keep_one_stop(self) -> None:
        if self._segments and not any(s.focusPolicy() is Qt.FocusPolicy.StrongFocus for s in self._segments):
            self._segments[0].setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def go_to(self, segment: _Segment, n_steps: int) -> None:
        """Move the focus from one segment to another, to the ends at most."""
        at = self._segments.index(segment)
        wanted = self._segments[min(max(0, at + n_steps), len(self._segments) - 1)]
        if wanted is not segment:
            wanted.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            wanted.setFocus(Qt.FocusReason.TabFocusReason)
            segment.setFocusPolicy(Qt.FocusPolicy.NoFocus)


_KEYS = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -10_000, Qt.Key.Key_End: 10_000}


class _Segment(QAbstractButton):
    """Over a part that the bar painted: it has the focus, the words and the clicks."""

    def __init__(self, bar: MemoryBar) -> None:
        super().__init__(bar)
        self._bar = bar
        self._part: BarPart | None = None
        self._is_ringed = False
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.clicked.connect(self._activate)
        self.show()

    def show_part(self, part: BarPart, left: float, right: float) -> None:
        self.setGeometry(round(left), 0, max(1, round(right) - round(left)), self._bar.height())
        if part == self._part:
            return
        self._part = part
        self.setAccessibleName(part.words)
        self.setToolTip(part.words)
        self.setCursor(Qt.CursorShape.PointingHandCursor if part.key is not None else Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = _KEYS.get(Qt.Key(event.key()))
        if step is not None:
            self._bar.go_to(self, step)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Menu):
            self._activate()
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.RightButton:
            self._activate()
        else:
            super().mousePressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.hasFocus():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        stroke = theme.exact_size("focus-width")
        inner = QRectF(self.rect()).adjusted(stroke, stroke, -stroke, -stroke)
        for color, width in (("surface", 2 * stroke), ("text", stroke)):
            painter.setPen(QPen(theme.color(color), width))
            painter.drawRoundedRect(inner, stroke, stroke)

    def _activate(self) -> None:
        if self._part is not None and self._part.key is not None:
            self._bar.activated.emit(self._part.key, self.mapToGlobal(QPoint(0, self.height())))


@dataclass(frozen=True, slots=True)
class LegendItem:
    kind: PartKind
    words: str


class Legend(QWidget):
    """Swatches and words, as many to a line as fit. What it says is also in the bar's parts."""

    def __init__(self) -> None:
        super().__init__()
        self._items: tuple[LegendItem, ...] = ()
        self._known_places: dict[int, list[tuple[int, float]]] = {}
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme.changed.connect(self.update)

    def show_items(self, items: Sequence[LegendItem]) -> None:
        if tuple(items) == self._items:
            return
        height = self.heightForWidth(self.width())
        self._items = tuple(items)
        self._known_places.clear()
        self.setAccessibleName(", ".join(item.words for item in items))
        if self.heightForWidth(self.width()) != height:  # else nothing around it has to move
            self.setMinimumHeight(self.heightForWidth(self.width()))
            self.updateGeometry()
        self.update()

    def text(self) -> str:
        return self.accessibleName()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        n_lines = 1 + max((line for line, _ in self._places(width)), default=0)
        return n_lines * theme.line_height("small")

    def sizeHint(self) -> QSize:
        width = self.width() or theme.size("popover-width")
        return QSize(theme.size("popover-width"), self.heightForWidth(width))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.setMinimumHeight(self.heightForWidth(event.size().width()))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font("small"))
        height, side = theme.line_height("small"), theme.size("swatch")
        for item, (line, left) in zip(self._items, self._places(self.width()), strict=True):
            swatch = QRectF(left, line * height + (height - side) / 2, side, side)
            path = QPainterPath()
            path.addRoundedRect(swatch, theme.space(1) / 2, theme.space(1) / 2)
            painter.save()
            painter.setClipPath(path)
            painter.fillRect(swatch, theme.color("raise"))
            paint_part(painter, swatch, item.kind)
            painter.restore()
            painter.setPen(theme.color("dim"))
            words = QRectF(left + side + _gap(), line * height, self.width(), height)
            painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, item.words)

    def _places(self, width: int) -> list[tuple[int, float]]:
        """The line and the left edge of each item. Layouts ask for it again and again."""
        known = self._known_places.get(width)
        if known is not None:
            return known
        metrics = QFontMetrics(theme.font("small"))
        places: list[tuple[int, float]] = []
        line, left = 0, 0.0
        for item in self._items:
            item_width = theme.size("swatch") + _gap() + metrics.horizontalAdvance(item.words)
            if left and left + item_width > width:
                line, left = line + 1, 0.0
            places.append((line, left))
            left += item_width + theme.space(4)
        self._known_places[width] = places
        return places


def paint_part(painter: QPainter, rect: QRectF, kind: PartKind, strength: float = 1.0) -> None:
    """Fill a rectangle as this kind of part looks. The clip of the painter is kept."""
    token, own_strength = kind.value
    if kind is PartKind.OTHERS:
        _paint_hatch(painter, rect)
        return
    color = theme.color(token)
    painter.fillRect(rect, _mixed(color, theme.color("surface"), strength * own_strength))


def _paint_hatch(painter: QPainter, rect: QRectF) -> None:
    painter.save()
    painter.setClipRect(rect, Qt.ClipOperation.IntersectClip)
    painter.fillRect(rect, theme.color("raise"))
    painter.setPen(QPen(theme.color("track"), theme.exact_size("hatch-stroke")))
    step, height = theme.size("hatch"), rect.height()
    left = rect.left() - height - (rect.left() % step)
    while left < rect.right():
        painter.drawLine(QPointF(left, rect.top() - 1), QPointF(left + height + 2, rect.bottom() + 1))
        left += step
    painter.restore()


def _paint_pin(painter: QPainter, rect: QRectF) -> None:
    side = theme.size("pin")
    if rect.width() >= side + theme.space(1):
        place = QRectF(rect.center().x() - side / 2, rect.center().y() - side / 2, side, side)
        paint_icon(painter, place, "pin", theme.color("accent-ink"))


def _edges(sizes: Sequence[int], total: int, width: int) -> tuple[float, ...]:
    """Right edges in proportion to ``total``. What is there can be seen, at the cost of what is larger."""
    if total <= 0 or not sizes:
        return tuple(0.0 for _ in sizes)
    widths = [max(_LEAST_WIDTH, size / total * width) for size in sizes]
    excess = sum(widths) - width
    if excess > 0:
        spare = sum(w - _LEAST_WIDTH for w in widths)
        keep = max(0.0, 1 - excess / spare) if spare else 0.0
        widths = [_LEAST_WIDTH + (w - _LEAST_WIDTH) * keep for w in widths]
    edges, at = [], 0.0
    for part in widths:
        at += part
        edges.append(min(at, float(width)))
    return tuple(edges)


def _mixed(color: QColor, ground: QColor, strength: float) -> QColor:
    if strength >= 1:
        return color
    rest = 1 - strength
    return QColor.fromRgbF(
        strength * color.redF() + rest * ground.redF(),
        strength * color.greenF() + rest * ground.greenF(),
        strength * color.blueF() + rest * ground.blueF(),
    )


def _gap() -> int:
    return theme.space(1) + 2
