"""A card of form rows: what a setting is on the left, its control on the right."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.labels import label, rule


class Card(QFrame):
    """Rows with a thin line between them."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)

    def add_row(self, title: str, explanation: str, control: QWidget | None = None) -> QLabel:
        """A row whose control stands at the right edge; without one it only tells something.

        Returns the explanation, so that it can be changed.
        """
        words = label(explanation, "small", "dim", wrap=True)
        row = QHBoxLayout()
        row.setContentsMargins(*_row_margins())
        row.setSpacing(theme.space(5))
        row.addLayout(_words(title, words), stretch=1)
        if control is not None:
            row.addWidget(control, alignment=Qt.AlignmentFlag.AlignVCenter)
        self._add(row)
        return words

    def add_tall_row(self, title: str, explanation: str, control: QWidget) -> None:
        """A row whose control takes the whole width below the words."""
        row = QVBoxLayout()
        row.setContentsMargins(*_row_margins())
        row.setSpacing(theme.space(2))
        row.addLayout(_words(title, label(explanation, "small", "dim", wrap=True)))
        row.addWidget(control)
        self._add(row)

    def add_note(self, text: str) -> QLabel:
        """Small words below the rows; returned, so that they can be changed or hidden."""
        note = label(text, "small", "dim", wrap=True)
        left, _, right, bottom = _row_margins()
        note.setContentsMargins(left, 0, right, bottom)
        self._layout.addWidget(note)
        return note

    def _add(self, row: QHBoxLayout | QVBoxLayout) -> None:
        if self._layout.count():
            self._layout.addWidget(rule())
        self._layout.addLayout(row)


def _row_margins() -> tuple[int, int, int, int]:
    return theme.space(5), theme.space(3), theme.space(4), theme.space(3)


def _words(title: str, explanation: QLabel) -> QVBoxLayout:
    words = QVBoxLayout()
    words.setSpacing(0)
    words.addWidget(label(title, "strong"))
    words.addWidget(explanation)
    if not explanation.text():
        explanation.hide()
    return words
