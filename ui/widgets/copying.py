"""Buttons that put a text on the clipboard, and say for a moment that they did."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication

from ui.theme import theme
from ui.widgets.transcript.copy_button import CopyIcon, CopyText


class CopyButton(CopyIcon):
    """``text`` is asked when the button is pressed."""

    def __init__(self, name: str, text: Callable[[], str]) -> None:
        super().__init__(name)
        self._text = text
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        side = theme.size("control-height")
        self.setFixedSize(QSize(side, side))
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self._text())
        self.confirm()


class CopyTextButton(CopyText):
    """The same, with a word."""

    def __init__(self, name: str, text: Callable[[], str]) -> None:
        super().__init__(name)
        self._text_of = text
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self._text_of())
        self.confirm()
