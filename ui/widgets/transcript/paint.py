"""What the page paints itself, behind and between the widgets: bubbles, markers, bars of quotes, lines across."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QLineF, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPainterPath, QPen

from ui.theme import theme
from ui.widgets.markdown.blocks import Block, FrameKind, TextBlock
from ui.widgets.transcript import metrics
from ui.widgets.transcript.flow import Placed
from ui.widgets.transcript.message import Part, PartKind

_TIP_RADIUS_SHARE = 1 / 3
"""The corner of a bubble that points to whoever speaks is less round."""

_CHECK = ((0.25, 0.52), (0.43, 0.7), (0.76, 0.32))
"""A check mark in a box of side 1."""

_RIGHT_TO_LEFT_MARK = "\u200f"


def paint_bubble(painter: QPainter, rect: QRect) -> None:
    radius = theme.size("radius-bubble")
    path = QPainterPath()
    path.addRoundedRect(QRectF(rect), radius, radius)
    corner = QRectF(rect.right() + 1 - radius, rect.bottom() + 1 - radius, radius, radius)
    tip = QPainterPath()
    tip.addRoundedRect(corner, radius * _TIP_RADIUS_SHARE, radius * _TIP_RADIUS_SHARE)
    painter.fillPath(path.united(tip), theme.color("raise"))


def paint_frames(painter: QPainter, column: metrics.Column, row: Sequence[Placed], offset: int) -> None:
    """Bars of quotes, markers of items and lines across for neighbouring parts; ``offset`` is the scrolled way."""
    before: Placed | None = None
    for placed in row:
        block = placed.part.block
        if block is not None:
            follows = before is not None and before.message_index == placed.message_index
            above = before.part.block if before is not None and follows else None
            _paint_bars(painter, column, placed, above, offset)
            _paint_marker(painter, column, placed.part, block, placed.y - offset)
            if placed.part.kind is PartKind.RULE:
                _paint_rule(painter, column, placed, offset)
        before = placed


def paint_focus_ring(painter: QPainter, rect: QRect) -> None:
    width = theme.size("focus-width")
    painter.setPen(QPen(theme.color("accent"), width))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    radius = theme.size("radius-control")
    margin = theme.space(2)
    painter.drawRoundedRect(QRectF(rect).adjusted(-margin, -margin / 2, margin, margin / 2), radius, radius)


def _paint_bars(painter: QPainter, column: metrics.Column, placed: Placed, above: Block | None, offset: int) -> None:
    block = placed.part.block
    assert block is not None
    x = 0
    for depth, frame in enumerate(block.frames):
        if frame.kind is FrameKind.QUOTE:
            goes_on = above is not None and depth < len(above.frames) and above.frames[depth] == frame
            top = placed.y - offset - (placed.part.gap if goes_on else 0)
            width = theme.space(1) - theme.size("line-width")
            left = column.right - x - width if placed.part.is_rtl else column.x + x
            painter.fillRect(QRect(left, top, width, placed.bottom - offset - top), theme.color("line"))
        x += metrics.frame_indent(frame.kind)


def _paint_marker(painter: QPainter, column: metrics.Column, part: Part, block: Block, y: int) -> None:
    if block.marker is None or not block.frames:
        return
    inner = metrics.indent(block)
    width = metrics.frame_indent(block.frames[-1].kind)
    left = column.right - inner if part.is_rtl else column.x + inner - width
    font = theme.font("reading")
    is_text = isinstance(block, TextBlock)
    baseline = y + (part.baseline - metrics.text_lift() if is_text else QFontMetricsF(font).ascent())
    if block.marker.checked is not None:
        middle = baseline - QFontMetricsF(font).capHeight() / 2
        _paint_box(painter, QPointF(left + width / 2 - theme.space(1), middle), block.marker.checked)
        return
    painter.setFont(font)
    painter.setPen(theme.color("dim"))
    text = block.marker.text
    if part.is_rtl:
        text = _RIGHT_TO_LEFT_MARK + text + _RIGHT_TO_LEFT_MARK
        painter.drawText(QPointF(left + theme.space(2), baseline), text)
    else:
        advance = QFontMetricsF(font).horizontalAdvance(text)
        painter.drawText(QPointF(left + width - theme.space(2) - advance, baseline), text)


def _paint_box(painter: QPainter, middle: QPointF, is_checked: bool) -> None:
    side = theme.size("icon-small") - 2
    box = QRectF(middle.x() - side / 2, middle.y() - side / 2, side, side)
    radius = theme.space(1)
    painter.setPen(QPen(theme.color("accent" if is_checked else "faint"), theme.exact_size("icon-stroke")))
    painter.setBrush(theme.color("accent") if is_checked else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(box, radius, radius)
    if is_checked:
        painter.setPen(QPen(theme.color("accent-ink"), theme.exact_size("icon-stroke")))
        painter.drawPolyline([QPointF(box.left() + x * side, box.top() + y * side) for x, y in _CHECK])


def _paint_rule(painter: QPainter, column: metrics.Column, placed: Placed, offset: int) -> None:
    assert placed.part.block is not None
    y = placed.y - offset + placed.part.height / 2
    left = column.x + metrics.indent(placed.part.block)
    painter.setPen(QPen(theme.color("line"), theme.exact_size("line-width")))
    painter.drawLine(QLineF(left, y, column.right, y))
