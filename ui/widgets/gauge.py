"""How full the context is: a ring, and the numbers beside it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.labels import label

_FULL_TURN = 360 * 16  # QPainter counts sixteenths of a degree
_TWELVE_O_CLOCK = 90 * 16
_NEARLY_FULL = 0.9


def paint_ring(painter: QPainter, rect: QRectF, fraction: float, color: str) -> None:
    """A ring that is filled clockwise from the top."""
    stroke = theme.exact_size("gauge-stroke")
    inner = rect.adjusted(stroke / 2, stroke / 2, -stroke / 2, -stroke / 2)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.color("track"), stroke))
    painter.drawEllipse(inner)
    painter.setPen(QPen(theme.color(color), stroke, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    if fraction > 0:
        painter.drawArc(inner, _TWELVE_O_CLOCK, -round(min(fraction, 1.0) * _FULL_TURN))


class Ring(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._fraction = 0.0
        self.setFixedSize(theme.size("gauge"), theme.size("gauge"))

    def set_fraction(self, fraction: float) -> None:
        self._fraction = fraction
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        color = "warn" if self._fraction >= _NEARLY_FULL else "accent"
        paint_ring(QPainter(self), QRectF(self.rect()), self._fraction, color)


class ContextGauge(QWidget):
    """``1,274 / 16,384`` and a ring. Hidden until there is something to show."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = label("", "small", "dim")
        self._ring = Ring()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._numbers)
        layout.addWidget(self._ring)
        self.hide()

    def show_usage(self, n_used: int, n_ctx: int, n_dropped: int = 0) -> None:
        """``n_dropped`` of the oldest messages are left out so that the rest fits: it is full then, never fuller."""
        n_used = min(n_used, n_ctx) if n_dropped else n_used
        self._numbers.setText(f"{n_used:,} / {n_ctx:,}")
        self._ring.set_fraction(n_used / n_ctx)
        words = f"This conversation fills {n_used:,} of the {n_ctx:,} tokens of the model's context."
        if n_used > n_ctx:
            words = f"This conversation is {n_used:,} tokens long, and {n_ctx:,} fit into the model's context."
        if n_dropped:
            messages = "message is" if n_dropped == 1 else f"{n_dropped:,} messages are"
            words += f" It became longer than that, so its oldest {messages} left out."
        self.setToolTip(words)
        self.setAccessibleName(words)
        self.show()

    def text(self) -> str:
        """The numbers as shown, or nothing while hidden."""
        return "" if self.isHidden() else self._numbers.text()
