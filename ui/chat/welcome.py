"""What an empty page says: nothing was asked yet, or there is no model to ask."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QLabel, QStackedWidget, QVBoxLayout, QWidget

import resources
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label

EXAMPLES = (
    "Explain in three sentences why the sky is blue",
    "Write a Python function that finds the longest word in a text",
    "Draft a short letter that asks a landlord to repair the heating",
)


_PROMISE = "Everything you write stays on this machine."


class Welcome(QStackedWidget):
    """Calm when all is well. ``example_picked`` carries a prompt for the composer."""

    example_picked = Signal(str)
    file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._blank = QWidget()
        self._promise = _centred(_PROMISE, "reading", "dim")
        self._invitation = self._make_invitation()
        self._no_model = self._make_no_model()
        for page in (self._blank, self._invitation, self._no_model):
            self.addWidget(page)

    def show_nothing(self) -> None:
        """While it is not known yet what there is."""
        self.setCurrentWidget(self._blank)

    def show_invitation(self, server_name: str | None = None) -> None:
        """With where it goes to, once what is written leaves this machine."""
        self._promise.setText(_PROMISE if server_name is None else f"What you write is sent to {server_name}.")
        self.setCurrentWidget(self._invitation)

    def show_no_model(self) -> None:
        self.setCurrentWidget(self._no_model)

    def _make_invitation(self) -> QWidget:
        page, column = _centred_column()
        column.addWidget(_centred("What shall we think about?", "title"))
        column.addWidget(self._promise)
        column.addSpacing(theme.space(4))
        for example in EXAMPLES:
            chip = TextButton(example, "chip")
            chip.clicked.connect(lambda _checked=False, text=example: self.example_picked.emit(text))
            column.addWidget(chip, alignment=Qt.AlignmentFlag.AlignHCenter)
        column.addStretch()
        return page

    def _make_no_model(self) -> QWidget:
        page, column = _centred_column()
        column.addWidget(_centred("No model yet", "title"))
        words = "Hearth answers with a language model from a file on this machine."
        column.addWidget(_centred(words, "reading", "dim"))
        column.addWidget(_centred("Open a GGUF file; it stays where it is.", "reading", "dim"))
        column.addSpacing(theme.space(4))
        button = TextButton("Open a model file", "primary", "folder-open")
        button.clicked.connect(self.file_wanted)
        column.addWidget(button, alignment=Qt.AlignmentFlag.AlignHCenter)
        column.addStretch()
        return page


class Mark(QWidget):
    """The sign of Hearth."""

    def __init__(self) -> None:
        super().__init__()
        side = theme.size("mark")
        self.setFixedSize(side, side)
        self._renderer = QSvgRenderer(str(resources.app_icon_file()), self)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._renderer.render(QPainter(self), QRectF(self.rect()))


def _centred(text: str, role: str, tone: str = "text") -> QLabel:
    made = label(text, role, tone, wrap=True)
    made.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return made


def _centred_column() -> tuple[QWidget, QVBoxLayout]:
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(*[theme.space(6)] * 4)
    column.setSpacing(theme.space(2))
    column.addStretch()
    column.addWidget(Mark(), alignment=Qt.AlignmentFlag.AlignHCenter)
    column.addSpacing(theme.space(2))
    return page, column
