"""Said in the composer when a conversation no longer fits into the context: how long it is, and what can be done."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from ui.theme import theme
from ui.widgets.buttons import CheckBox, TextButton
from ui.widgets.labels import label


class OverflowOffer(QFrame):
    """``roll_chosen`` carries whether that shall be done from now on without asking.

    While a summary is made, its progress stands in the place of the offer.
    """

    roll_chosen = Signal(bool)
    summary_chosen = Signal()
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self.setProperty("tone", "warn")
        self._is_in_progress = False
        self._words = label("", wrap=True)
        self._roll = TextButton("Leave the oldest turns out")
        self._roll.setToolTip("They stay here to read, but the model does not see them any more")
        self._summarise = TextButton("Summarise")
        self._summarise.setToolTip("Begin a new conversation with a summary, which you can change before it is sent")
        self._always = CheckBox("Always leave them out, without asking")
        self._cancel = TextButton("Cancel")
        self._lay_out()
        self._roll.clicked.connect(lambda: self.roll_chosen.emit(self._always.isChecked()))
        self._summarise.clicked.connect(self.summary_chosen)
        self._cancel.clicked.connect(self.cancelled)
        self.hide()

    @property
    def words(self) -> str:
        return self._words.text()

    def show_offer(self, words: str, *, can_roll: bool, can_summarise: bool) -> None:
        """``can_roll``: whether leaving turns out would help."""
        if self._is_in_progress:
            return
        if self.isHidden():
            self._always.setChecked(False)
        self._say(words)
        self._roll.setVisible(can_roll)
        self._always.setVisible(can_roll)
        self._summarise.setVisible(can_summarise)
        self._cancel.hide()
        self.show()

    def withdraw(self) -> None:
        self.setVisible(self._is_in_progress)

    def show_progress(self, words: str) -> None:
        self._is_in_progress = True
        self._say(words)
        for widget in (self._roll, self._always, self._summarise):
            widget.hide()
        self._cancel.show()
        self.show()

    def end_progress(self) -> None:
        if self._is_in_progress:
            self._is_in_progress = False
            self.hide()

    def _say(self, words: str) -> None:
        self._words.setText(words)
        self.setAccessibleName(words)

    def _lay_out(self) -> None:
        choices = QHBoxLayout()
        choices.setSpacing(theme.space(2))
        choices.addWidget(self._roll)
        choices.addWidget(self._summarise)
        choices.addWidget(self._cancel)
        choices.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(2), theme.space(3), theme.space(2))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._words)
        layout.addLayout(choices)
        layout.addWidget(self._always)
