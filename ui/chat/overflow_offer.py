"""Said in the composer when a conversation no longer fits into the context: how long it is, and what can be done."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from ui.theme import theme
from ui.widgets.buttons import CheckBox, TextButton
from ui.widgets.labels import label


class OverflowOffer(QFrame):
    """``roll_chosen`` carries whether that shall be done from now on without asking."""

    roll_chosen = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self.setProperty("tone", "warn")
        self._words = label("", wrap=True)
        self._roll = TextButton("Leave the oldest turns out")
        self._roll.setToolTip("They stay here to read, but the model does not see them any more")
        self._always = CheckBox("Always, without asking")
        self._choices = QHBoxLayout()
        self._choices.setSpacing(theme.space(3))
        self._choices.addWidget(self._roll)
        self._choices.addWidget(self._always)
        self._choices.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(2), theme.space(3), theme.space(2))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._words)
        layout.addLayout(self._choices)
        self._roll.clicked.connect(lambda: self.roll_chosen.emit(self._always.isChecked()))
        self.hide()

    @property
    def words(self) -> str:
        return self._words.text()

    def show_offer(self, words: str, can_roll: bool) -> None:
        """``can_roll``: whether leaving turns out would help."""
        self._words.setText(words)
        self.setAccessibleName(words)
        self._roll.setVisible(can_roll)
        self._always.setVisible(can_roll)
        if self.isHidden():
            self._always.setChecked(False)
        self.show()
