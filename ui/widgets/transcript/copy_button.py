"""A button that copies, and says for a moment that it did."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtWidgets import QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton

_CONFIRMED_MS = 1_500


class CopyButton(IconButton):
    def __init__(self, name: str, text: str = "") -> None:
        super().__init__("copy", name, small=True)
        self._name = name
        self._text = text
        self._timer = QTimer(self, singleShot=True, interval=_CONFIRMED_MS)
        self._timer.timeout.connect(self.reset)
        make_quiet(self)
        if text:
            self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            self.setText(text)
            self.setFixedWidth(theme.space(20))

    def confirm(self) -> None:
        self.describe("check", "Copied", color="ok")
        self.setText("Copied" if self._text else "")
        self._timer.start()

    def reset(self) -> None:
        self._timer.stop()
        self.describe("copy", self._name)
        self.setText(self._text)


def make_quiet(button: QWidget) -> None:
    """The size and the behaviour of buttons within the conversation: a stop of its own order, not of the window's."""
    button.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    side = theme.space(7)
    button.setFixedSize(QSize(side, side))
