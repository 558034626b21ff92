"""What was just done, for a moment, with a way back."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QEnterEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout

from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import ElidedLabel

SHOWN_FOR_MS = 8000


class Toast(QFrame):
    """One line and one button. It stays while the pointer or the focus is on it."""

    def __init__(self, action_label: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._action: Callable[[], None] | None = None
        self._words = ElidedLabel()
        self._button = TextButton(action_label, "ghost")
        self._button.setProperty("tone", "accent")
        self._button.clicked.connect(self.act)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_FOR_MS)
        self._timer.timeout.connect(self._expire)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(1), theme.space(1), theme.space(1))
        layout.setSpacing(theme.space(1))
        layout.addWidget(self._words, stretch=1)
        layout.addWidget(self._button)
        self.hide()

    def show_message(self, text: str, action: Callable[[], None]) -> None:
        """Show it for some seconds in place of the last one."""
        self._action = action
        self._words.setText(text)
        self._timer.start()
        self.show()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, text))

    def act(self) -> None:
        """Do what the button does, if the toast is still there."""
        action, self._action = self._action, None
        self.dismiss()
        if action is not None:
            action()

    def dismiss(self) -> None:
        self._action = None
        self._timer.stop()
        self.hide()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._timer.stop()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        if self.isVisible():
            self._timer.start()
        super().leaveEvent(event)

    def _expire(self) -> None:
        if self._button.hasFocus():
            self._timer.start()
        else:
            self.dismiss()
