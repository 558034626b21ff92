"""What a place says while it has nothing to show: why, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.icons import paint_icon
from ui.widgets.labels import label


class StateNote(QWidget):
    """An icon, a sentence, a hint and at most one button, in the middle of where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self._icon = _Sign()
        self._title = label("", "strong", wrap=True)
        self._hint = label("", "small", "dim", wrap=True)
        self.action = TextButton("")
        self._run: Callable[[], None] | None = None
        self.action.clicked.connect(self._act)
        for words in (self._title, self._hint):
            words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.action)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(6), theme.space(8), theme.space(6), theme.space(4))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._icon, alignment=Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self._title)
        layout.addWidget(self._hint)
        layout.addSpacing(theme.space(1))
        layout.addLayout(buttons)
        layout.addStretch()

    def say(
        self, icon: str, title: str, hint: str = "", action: str = "", run: Callable[[], None] | None = None
    ) -> None:
        """Show it, and have a screen reader say it."""
        is_news = title != self._title.text()
        self._icon.show_icon(icon)
        self._title.setText(title)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self._run = run
        if is_news and self.isVisible():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, f"{title} {hint}".strip()))

    @property
    def text(self) -> str:
        return f"{self._title.text()} {self._hint.text()}".strip()

    def _act(self) -> None:
        if self._run is not None:
            self._run()


class _Sign(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self.setFixedSize(theme.size("library-sign"), theme.size("library-sign"))

    def show_icon(self, name: str) -> None:
        self._name = name
        self.setVisible(bool(name))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._name:
            paint_icon(QPainter(self), QRectF(self.rect()), self._name, theme.color("faint"))
