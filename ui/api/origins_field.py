"""A short list of web addresses: one row each, and a field for the next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.labels import ElidedLabel, label


class OriginsField(QWidget):
    """``added`` and ``removed`` carry an address. What is refused stays in the field, with the reason below it."""

    added = Signal(str)
    removed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._field = QLineEdit()
        self._field.setPlaceholderText("http://localhost:3000")
        self._field.setAccessibleName("Address of a web page")
        self._add = TextButton("Add")
        self._add.setAccessibleName("Add the web page")
        self._problem = label("", "small", "bad", wrap=True)
        self._problem.hide()
        self._nothing = label("No web page may use it.", "ui", "dim")
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        entry = QHBoxLayout()
        entry.setSpacing(theme.space(2))
        entry.addWidget(self._field, stretch=1)
        entry.addWidget(self._add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(1))
        layout.addWidget(self._nothing)
        layout.addLayout(self._rows)
        layout.addLayout(entry)
        layout.addWidget(self._problem)
        self._field.returnPressed.connect(self._on_add)
        self._field.textEdited.connect(lambda _text: self._problem.hide())
        self._add.clicked.connect(self._on_add)

    def show_origins(self, origins: Sequence[str]) -> None:
        while (item := self._rows.takeAt(0)) is not None:
            row = item.widget()
            if row is not None:
                row.hide()
                row.deleteLater()
        for origin in origins:
            self._rows.addWidget(self._make_row(origin))
        self._nothing.setVisible(not origins)

    def accept(self) -> None:
        """What was in the field is in the list now."""
        self._field.clear()
        self._problem.hide()

    def refuse(self, why: str) -> None:
        self._problem.setText(why)
        self._problem.show()
        self._field.setFocus()

    def _on_add(self) -> None:
        text = self._field.text().strip()
        if text:
            self.added.emit(text)

    def _make_row(self, origin: str) -> QWidget:
        row = QWidget()
        remove = IconButton("x", f"Remove {origin}", small=True)
        remove.clicked.connect(partial(self.removed.emit, origin))
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(ElidedLabel(origin, "code"), stretch=1)
        layout.addWidget(remove)
        return row
