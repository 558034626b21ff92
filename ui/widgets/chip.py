"""The chip in the page's header: which model is loaded, and how far its loading is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from ui.theme import theme
from ui.widgets.focus import FocusRing
from ui.widgets.gauge import paint_ring
from ui.widgets.icons import paint_icon


class ChipState(StrEnum):
    EMPTY = "empty"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChipText:
    """``progress`` counts from 0 to 1 and matters only while loading. A model that is remote has a cloud for a dot."""

    state: ChipState
    name: str
    detail: str = ""
    progress: float = 0.0
    is_remote: bool = False

    @property
    def spoken(self) -> str:
        return ", ".join(part for part in ("Model", self.name, self.detail) if part)


_DOT_COLORS = {ChipState.EMPTY: "faint", ChipState.READY: "accent", ChipState.FAILED: "bad"}


class Chip(FocusRing, QAbstractButton):
    """A dot or a ring, a name, a quiet detail, and an arrow that says that it opens."""

    def __init__(self, content: ChipText) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(theme.size("chip-height"))
        self.setMaximumWidth(theme.size("chip-max-width"))
        self.show_content(content)

    @property
    def content(self) -> ChipText:
        return self._content

    def show_content(self, content: ChipText) -> None:
        self._content = content
        self.setAccessibleName(content.spoken)
        self.setToolTip(f"{content.spoken}. Ctrl+K chooses another.")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        name_width, detail_width = self._text_widths()
        return QSize(self._fixed_width() + name_width + detail_width, theme.size("chip-height"))

    def minimumSizeHint(self) -> QSize:
        return QSize(self._fixed_width() + theme.space(12), theme.size("chip-height"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_frame(painter)
        left = self._paint_mark(painter)
        right = self.width() - theme.space(2) - theme.size("icon-small")
        self._paint_arrow(painter, right)
        self._paint_words(painter, left, right - theme.space(1))

    def _paint_frame(self, painter: QPainter) -> None:
        half = theme.size("line-width") / 2
        rect = QRectF(self.rect()).adjusted(half, half, -half, -half)
        ringed = bool(self.property("focusRing"))
        painter.setPen(QPen(theme.color("accent" if ringed else "line"), theme.size("line-width")))
        painter.setBrush(theme.color("hover" if self.underMouse() else "surface"))
        painter.drawRoundedRect(rect, rect.height() / 2, rect.height() / 2)

    def _paint_mark(self, painter: QPainter) -> float:
        """Paint the dot or the ring and return where the words start."""
        loading = self._content.state is ChipState.LOADING
        side = self._mark_side()
        left = theme.space(3)
        rect = QRectF(left, (self.height() - side) / 2, side, side)
        if loading:
            paint_ring(painter, rect, self._content.progress, "accent")
        elif self._content.is_remote:
            paint_icon(painter, rect, "cloud", theme.color("accent"))
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color(_DOT_COLORS[self._content.state]))
            painter.drawEllipse(rect)
        return left + side + theme.space(2)

    def _mark_side(self) -> int:
        if self._content.is_remote:
            return theme.size("icon-small")
        is_loading = self._content.state is ChipState.LOADING
        return theme.size("gauge") - theme.space(1) if is_loading else theme.size("dot")

    def _paint_arrow(self, painter: QPainter, left: float) -> None:
        side = theme.size("icon-small")
        rect = QRectF(left, (self.height() - side) / 2, side, side)
        paint_icon(painter, rect, "chevron-down", theme.color("dim"))

    def _paint_words(self, painter: QPainter, left: float, right: float) -> None:
        name_width, detail_width = self._text_widths()
        room = right - left
        for text, role, color, width in (
            (self._content.name, "ui", "text", min(name_width, room)),
            (self._content.detail, "small", "dim", min(detail_width, room - name_width)),
        ):
            font = theme.font(role)
            shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, max(0, round(width)))
            painter.setFont(font)
            painter.setPen(theme.color(color))
            painter.drawText(QRectF(left, 0, width, self.height()), Qt.AlignmentFlag.AlignVCenter, shown)
            left += width

    def _text_widths(self) -> tuple[int, int]:
        """Of the name and of the detail, each with the gap after it."""
        gap = theme.space(2)
        name = QFontMetrics(theme.font("ui")).horizontalAdvance(self._content.name) + gap
        detail = QFontMetrics(theme.font("small")).horizontalAdvance(self._content.detail)
        return name, detail + gap // 2 if detail else 0

    def _fixed_width(self) -> int:
        return theme.space(3) + self._mark_side() + theme.space(2) + theme.size("icon-small") + theme.space(3)
