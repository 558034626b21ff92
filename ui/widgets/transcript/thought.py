"""The line above an answer that says that the model thought, for how long, and that shows what."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget

from ui.theme import theme
from ui.widgets.focus import FocusRing
from ui.widgets.icons import paint_icon
from ui.widgets.transcript import metrics
from ui.widgets.transcript.breath import Breath
from ui.widgets.transcript.message import Message, Part

_MINUTE_S = 60


def thought_title(duration_s: float | None) -> str:
    """``Thought for 3 s``, ``Thought for 1 min 20 s``."""
    if duration_s is None:
        return "Thought"
    seconds = round(duration_s)
    if seconds < 1:
        return "Thought for a moment"
    minutes, rest = divmod(seconds, _MINUTE_S)
    parts = [f"{minutes} min" if minutes else "", f"{rest} s" if rest else ""]
    return f"Thought for {' '.join(part for part in parts if part)}"


class ThoughtLine(QWidget):
    toggled = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._id = 0
        self._button = _Toggle()
        self._button.clicked.connect(lambda: self.toggled.emit(self._id))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        layout.addStretch()

    def show_part(self, message: Message, part: Part, width: int) -> int:
        self._id = message.view.id
        title = "Thinking" if message.is_thinking else thought_title(message.view.thought_s)
        self._button.show_state(title, is_open=message.shows_thought, is_live=message.is_thinking)
        return metrics.footer_height()

    def release(self) -> None:
        self._button.rest()

    def text_view(self) -> None:
        return None

    def focus_stops(self) -> Sequence[QWidget]:
        return (self._button,)


class _Toggle(FocusRing, QToolButton):
    """An arrow that points down while the thought is shown, and a mark that breathes while it is being written."""

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._is_open = False
        self._font = theme.font("small")
        self._breath = Breath(self)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_state(self, title: str, *, is_open: bool, is_live: bool) -> None:
        self._title, self._is_open = title, is_open
        self._breath.run(is_live)
        self.setAccessibleName(title)
        self.setToolTip("Hide what the model thought" if is_open else "Show what the model thought")
        self.updateGeometry()
        self.update()

    def rest(self) -> None:
        self._breath.run(False)

    def sizeHint(self) -> QSize:
        words = QFontMetrics(self._font).horizontalAdvance(self._title)
        mark = theme.size("dot") + theme.space(4)
        return QSize(self._words_left() + words + mark, metrics.footer_height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.property("focusRing"):
            super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = theme.color("text" if self.underMouse() else "dim")
        side = theme.size("icon-small")
        arrow = QRectF(metrics.footer_inset(), (self.height() - side) / 2, side, side)
        paint_icon(painter, arrow, "chevron-down" if self._is_open else "chevron-right", color)
        left = self._words_left()
        painter.setFont(self._font)
        painter.setPen(color)
        painter.drawText(self.rect().adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._title)
        self._breath.paint(painter, left + painter.fontMetrics().horizontalAdvance(self._title) + theme.space(2))

    def _words_left(self) -> int:
        return metrics.footer_inset() + theme.size("icon-small") + theme.space(1)
