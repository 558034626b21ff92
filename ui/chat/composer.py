"""Where the user writes: a card that grows with its text, with the context gauge and Send or Stop."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QTextBlockFormat, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QTextEdit, QVBoxLayout, QWidget

from ui.chat.overflow_offer import OverflowOffer
from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.gauge import ContextGauge
from ui.widgets.labels import ElidedLabel
from ui.widgets.shadow import paint_shadow

_PLACEHOLDER = "Write a message"


class ComposerText(QTextEdit):
    """Plain text. Enter asks to send, Shift+Enter breaks the line; it grows up to some lines and scrolls then."""

    send_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "composer")
        self.setAcceptRichText(False)
        self.setTabChangesFocus(True)
        self.setFont(theme.font("reading"))
        self.setPlaceholderText(_PLACEHOLDER)
        self.setAccessibleName("Message")
        self.document().setDocumentMargin(0)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._n_lines_most = theme.size("composer-lines")
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self.set_text("")

    def set_room(self, height: int) -> None:
        """Take at most a third of this height, and always a line."""
        n_lines = height // 3 // theme.line_height("reading")
        self._n_lines_most = max(1, min(n_lines, theme.size("composer-lines")))
        self._fit()

    def set_text(self, text: str) -> None:
        self.setPlainText(text)
        cursor = self.textCursor()
        cursor.select(QTextCursor.SelectionType.Document)
        spacing = QTextBlockFormat()
        spacing.setLineHeight(theme.line_height("reading"), QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        cursor.mergeBlockFormat(spacing)
        cursor.movePosition(QTextCursor.MoveOperation.End)
        self.setTextCursor(cursor)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._wanted_height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.send_requested.emit()
        elif event.key() == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def _fit(self) -> None:
        self.setFixedHeight(self._wanted_height())

    def _wanted_height(self) -> int:
        line = theme.line_height("reading")
        content = round(self.document().size().height())
        return max(line, min(content, self._n_lines_most * line))


class Composer(QWidget):
    """``submitted`` carries the text as it stands; it stays until :meth:`clear`, so a failure loses nothing."""

    submitted = Signal(str)
    stop_requested = Signal()
    edited = Signal()
    edit_cancelled = Signal()
    model_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setMaximumWidth(theme.size("page-width"))
        self._streaming = False
        self._busy = False
        self._overlong = False
        self._blocked_by: str | None = None
        self.offer = OverflowOffer()
        self._edit = ComposerText()
        self._editing = self._make_editing_row()
        self._reason = ElidedLabel("", "small", "dim")
        self._choose = TextButton("Choose a model")
        self.gauge = ContextGauge()
        self.button = IconButton("arrow-up", "Send", keys="Enter", kind="send")
        self.button.setFixedSize(theme.size("send-button"), theme.size("send-button"))
        self._lay_out()
        self._edit.send_requested.connect(self.send)
        self._edit.textChanged.connect(self._refresh)
        self._edit.textChanged.connect(self.edited)
        self._choose.clicked.connect(self.model_wanted)
        self.button.clicked.connect(self._on_button)
        self._refresh()

    @property
    def text(self) -> str:
        return self._edit.toPlainText()

    @property
    def blocked_by(self) -> str | None:
        """Why nothing can be sent, or None where it can."""
        return self._blocked_by

    @property
    def is_editing(self) -> bool:
        return not self._editing.isHidden()

    def set_text(self, text: str) -> None:
        self._edit.set_text(text)

    def set_room(self, height: int) -> None:
        """Tell the height of the page, of which the composer must not take too much."""
        self._edit.set_room(height)

    def clear(self) -> None:
        self._edit.set_text("")

    def focus(self) -> None:
        self._edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_streaming(self, streaming: bool) -> None:
        """While an answer streams, Stop stands where Send was."""
        self._streaming = streaming
        self._refresh()

    def set_busy(self, busy: bool) -> None:
        """While a message is being saved, it can be read but not changed or sent twice."""
        self._busy = busy
        self._edit.setReadOnly(busy)
        self._refresh()

    def block(self, reason: str | None) -> None:
        """Say in place why nothing can be sent; None allows it again, an empty reason goes without saying.

        Writing is always possible.
        """
        self._blocked_by = reason
        self._refresh()

    def set_overlong(self, overlong: bool) -> None:
        """While what would be sent does not fit into the context, it can only be changed; the offer says more."""
        self._overlong = overlong
        self._refresh()

    def set_editing(self, editing: bool) -> None:
        self._editing.setVisible(editing)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        half = theme.size("line-width") / 2
        card = QRectF(self.rect()).adjusted(half, half, -half, -half)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.color("line"), theme.size("line-width")))
        painter.setBrush(theme.color("surface"))
        painter.drawRoundedRect(card, theme.size("radius-composer"), theme.size("radius-composer"))

    def send(self) -> None:
        """What Enter does."""
        if self._can_send():
            self.submitted.emit(self.text)

    def _on_button(self) -> None:
        if self._streaming:
            self.stop_requested.emit()
        else:
            self.send()

    def _can_send(self) -> bool:
        is_free = not (self._busy or self._streaming or self._overlong)
        return is_free and bool(self.text.strip()) and self._blocked_by is None

    def _refresh(self) -> None:
        if self._streaming:
            self.button.describe("stop", "Stop", "Esc", "accent-ink")
        else:
            self.button.describe("arrow-up", "Send", "Enter", "accent-ink")
        self.button.setEnabled(self._streaming or self._can_send())
        self._reason.setText(self._blocked_by or "")
        self._choose.setVisible(bool(self._blocked_by))

    def _make_editing_row(self) -> QWidget:
        row = QWidget()
        cancel = TextButton("Cancel", "ghost")
        cancel.setToolTip("Keep the message as it was (Esc)")
        cancel.clicked.connect(self.edit_cancelled)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        words = "Editing a message. Sending starts a new branch from here."
        layout.addWidget(ElidedLabel(words, "small", "dim"), stretch=1)
        layout.addWidget(cancel)
        row.hide()
        return row

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        foot.setSpacing(theme.space(2))
        foot.addWidget(self._reason, stretch=1)
        foot.addWidget(self._choose)
        foot.addWidget(self.gauge)
        foot.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(4), theme.space(3), theme.space(4), theme.space(2) + theme.space(1) // 2)
        layout.setSpacing(theme.space(2))
        layout.addWidget(self.offer)
        layout.addWidget(self._editing)
        layout.addWidget(self._edit)
        layout.addLayout(foot)


class ComposerArea(QWidget):
    """The foot of the page: the composer in the column of the transcript, with its shadow around it."""

    def __init__(self, composer: Composer) -> None:
        super().__init__()
        self._composer = composer
        self._layout = QHBoxLayout(self)
        self._layout.addWidget(composer)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The same arithmetic as the transcript's: half a pixel's difference would show."""
        margin = theme.space(6)
        width = min(theme.size("page-width"), self.width() - 2 * margin)
        left = (self.width() - width) // 2
        self._layout.setContentsMargins(left, theme.space(3), self.width() - width - left, theme.space(5))
        super().resizeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_shadow(QPainter(self), QRectF(self._composer.geometry()), theme.size("radius-composer"))
