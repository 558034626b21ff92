"""Buttons that copy, and say for a moment that they did."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QSize, Qt, QTimer
from PySide6.QtWidgets import QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.icons import icon

_CONFIRMED_MS = 1_500


class CopyIcon(IconButton):
    def __init__(self, name: str) -> None:
        super().__init__("copy", name, small=True)
        self._name = name
        self._timer = _countdown(self, self.reset)
        make_quiet(self)

    def confirm(self) -> None:
        self.describe("check", "Copied", color="ok")
        self._timer.start()

    def reset(self) -> None:
        self._timer.stop()
        self.describe("copy", self._name)


class CopyText(TextButton):
    def __init__(self, name: str) -> None:
        super().__init__("Copy", "ghost", "copy")
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAccessibleName(name)
        self._timer = _countdown(self, self.reset)

    def confirm(self) -> None:
        self._show("check", "ok", "Copied")
        self._timer.start()

    def reset(self) -> None:
        self._timer.stop()
        self._show("copy", "dim", "Copy")

    def _show(self, icon_name: str, color: str, text: str) -> None:
        self.setIcon(icon(icon_name, color))
        self.setText(text)


def make_quiet(button: QWidget) -> None:
    """The size and the behaviour of buttons within the conversation: a stop of its own order, not of the window's."""
    button.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    side = theme.space(7)
    button.setFixedSize(QSize(side, side))


def _countdown(owner: QObject, then: Callable[[], None]) -> QTimer:
    timer = QTimer(owner, singleShot=True, interval=_CONFIRMED_MS)
    timer.timeout.connect(then)
    return timer
