"""What stands where text is missing: that it is coming, or why it does not."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label
from ui.widgets.transcript import metrics
from ui.widgets.transcript.breath import Breath
from ui.widgets.transcript.message import Message, Part
from ui.widgets.transcript.view_model import MessageStatus

_NO_TEXT = {
    MessageStatus.COMPLETE: "The model answered without a word.",
    MessageStatus.STOPPED: "Stopped before the first word.",
}
_DEFAULT_ERRORS = {
    MessageStatus.FAILED: "The answer failed.",
    MessageStatus.INTERRUPTED: "Hearth was closed before this answer was complete.",
}


class Activity(QWidget):
    """In place of text: a breathing mark while it is on its way, and what is happening, or that none came."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._font = theme.font("small")
        self._breath = Breath(self)

    def show_part(self, message: Message, part: Part, width: int) -> int:
        is_waiting = message.view.status is MessageStatus.STREAMING
        self._text = message.progress if is_waiting else _NO_TEXT.get(message.view.status, "")
        self.setAccessibleName(self._text or "The answer is on its way")
        self._breath.run(is_waiting)
        self.update()
        return metrics.footer_height()

    def release(self) -> None:
        self._breath.run(False)

    def text_view(self) -> None:
        return None

    def focus_stops(self) -> Sequence[QWidget]:
        return ()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left = self._breath.paint(painter, 0)
        painter.setPen(theme.color("dim"))
        painter.setFont(self._font)
        painter.drawText(self.rect().adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._text)


class Notice(QWidget):
    """Why an answer ended before it was complete, and a button that asks for it again."""

    retry_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._id = 0
        self._text = label("", "ui", "bad", wrap=True)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._retry = TextButton("Try again")
        self._retry.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._retry.clicked.connect(lambda: self.retry_wanted.emit(self._id))
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(theme.space(4))
        self._layout.addWidget(self._text, stretch=1)
        self._layout.addWidget(self._retry, alignment=Qt.AlignmentFlag.AlignTop)

    def show_part(self, message: Message, part: Part, width: int) -> int:
        self._id = message.view.id
        self._text.setText(message.view.error or _DEFAULT_ERRORS.get(message.view.status, ""))
        self.setAccessibleName(self._text.text())
        return max(self._retry.sizeHint().height(), self._layout.heightForWidth(width))

    def release(self) -> None:
        pass

    def text_view(self) -> None:
        return None

    def focus_stops(self) -> Sequence[QWidget]:
        return (self._retry,)
