"""The rail at the edge of the window: a button for each place."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.buttons import RailButton
from ui.widgets.dots import paint_dot
from ui.widgets.gauge import paint_ring


class SignButton(RailButton):
    """A place with a small sign, which says that something goes on there."""

    def __init__(self, icon_name: str, name: str, keys: str = "") -> None:
        super().__init__(icon_name, name, keys)
        self._tooltip = self.toolTip()
        self._color: str | None = None

    def show_sign(self, color: str | None, words: str = "") -> None:
        """A dot in the colour of a token; None takes it away. The words go with the button's name."""
        self._color = color
        self.setToolTip(f"{self._tooltip}\n{words}" if words else self._tooltip)
        self.setAccessibleDescription(words)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._color is not None:
            inset = theme.space(3) - theme.exact_size("dot") / 4
            paint_dot(QPainter(self), QPointF(self.width() - inset, inset), self._color)


class ProgressSign(SignButton):
    """A place with a small ring that fills while something is on its way there."""

    def __init__(self, icon_name: str, name: str, keys: str = "") -> None:
        super().__init__(icon_name, name, keys)
        self._fraction: float | None = None
        self._ring_color = "accent"

    def show_progress(self, fraction: float | None, words: str = "", color: str = "accent") -> None:
        """None takes the ring away."""
        self._fraction, self._ring_color = fraction, color
        self.show_sign(None, words)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._fraction is not None:
            side = theme.size("pin")
            inset = theme.space(1)
            place = QRectF(self.width() - side - inset, inset, side, side)
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("soft" if self.isChecked() else "side"))
            painter.drawEllipse(place)
            paint_ring(painter, place, self._fraction, self._ring_color)


class Rail(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "rail")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(theme.size("rail-width"))
        self.chat = RailButton("message-square", "Chat", "Ctrl+1")
        self.library = ProgressSign("library", "Library", "Ctrl+2")
        self.monitor = RailButton("activity", "Monitor", "Ctrl+3")
        self.api = SignButton("code-xml", "Local API", "Ctrl+4")
        self.preferences = RailButton("settings", "Settings", "Ctrl+,")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.space(3), 0, theme.space(3))
        layout.setSpacing(theme.space(1))
        for button in (self.chat, self.library, self.monitor, self.api):
            layout.addWidget(button, alignment=Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch()
        layout.addWidget(self.preferences, alignment=Qt.AlignmentFlag.AlignHCenter)
        self.check(self.chat)

    def check(self, open_place: RailButton) -> None:
        """Show which place is open."""
        for button in (self.chat, self.library, self.monitor, self.api, self.preferences):
            button.setChecked(button is open_place)
