"""A listing to read and to copy from, coloured in the background."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QFrame, QPlainTextEdit

from ui.theme import theme
from ui.widgets.markdown.background import background
from ui.widgets.markdown.highlight import ColorRun, runs


class Listing(QPlainTextEdit):
    """As high as its lines; it scrolls sideways where one is too long. Tab leaves it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("role", "listing")
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setReadOnly(True)
        self.setFont(theme.font("code"))
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.document().setDocumentMargin(0)
        self._language = ""
        theme.changed.connect(self._color)

    def show_code(self, text: str, language: str) -> None:
        if text == self.toPlainText() and language == self._language:
            return
        self._language = language
        self.setPlainText(text)
        self.setFixedHeight(self.sizeHint().height())
        self._color()

    def sizeHint(self) -> QSize:
        lines = max(1, self.blockCount()) * self.fontMetrics().lineSpacing()
        return QSize(super().sizeHint().width(), lines + theme.size("scroll-width") + 2 * theme.space(1))

    def _color(self) -> None:
        text = self.toPlainText()
        background().submit(partial(runs, text, self._language), partial(self._on_runs, text))

    def _on_runs(self, text: str, found: list[ColorRun]) -> None:
        if text != self.toPlainText():
            return
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        for run in found:
            cursor.setPosition(run.start)
            cursor.setPosition(run.start + run.n_chars, QTextCursor.MoveMode.KeepAnchor)
            color = QTextCharFormat()
            color.setForeground(theme.color(run.color))
            cursor.setCharFormat(color)
        cursor.endEditBlock()
