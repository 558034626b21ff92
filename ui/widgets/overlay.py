"""Cards above the page, inside the window: beside what opened them, or in the middle to ask something.

They are children of the window, not windows: corners stay round and shadows soft without a compositor, and no
window manager has a say.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label
from ui.widgets.shadow import paint_shadow


class Overlay(QWidget):
    """Covers ``host`` while it is open. A click beside the card or Escape closes it; Tab stays inside."""

    closed = Signal()

    def __init__(self, host: QWidget, card: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._card = card
        self._focus_before: QWidget | None = None
        card.setParent(self)
        host.installEventFilter(self)
        self.hide()

    def open(self) -> None:
        if self.isVisible():
            return
        self._focus_before = QApplication.focusWidget()
        self._fit()
        self.show()
        self.raise_()
        self._first_focus().setFocus(Qt.FocusReason.PopupFocusReason)

    def dismiss(self) -> None:
        """Close and give the focus back to where it was."""
        if self.isHidden():
            return
        self.hide()
        if self._focus_before is not None and self._focus_before.isVisible():
            self._focus_before.setFocus(Qt.FocusReason.PopupFocusReason)
        self._focus_before = None
        self.closed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize and self.isVisible():
            self._fit()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.dismiss()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        else:
            super().keyPressEvent(event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        stops = self._tab_stops()
        current = QApplication.focusWidget()
        if not stops:
            return True
        at = stops.index(current) if current in stops else (-1 if forward else 0)
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        stops[(at + (1 if forward else -1)) % len(stops)].setFocus(reason)
        return True

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_shadow(QPainter(self), QRectF(self._card.geometry()), theme.size("radius-card"))

    def _fit(self) -> None:
        self.setGeometry(self._host.rect())
        self._place(self._card)

    def _place(self, card: QWidget) -> None:
        raise NotImplementedError

    def _first_focus(self) -> QWidget:
        return next(iter(self._tab_stops()), self._card)

    def _tab_stops(self) -> list[QWidget]:
        """What Tab reaches inside the card, in the order in which it was built.

        Not by nextInFocusChain: PySide takes what that returns for a child, and all the widgets of the window that
        were walked over are unusable once the card is deleted.
        """
        return [widget for widget in self._card.findChildren(QWidget) if _takes_tab(widget)]


def _takes_tab(widget: QWidget) -> bool:
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and widget.isVisible() and widget.isEnabled()


class Popup(Overlay):
    """Opens below ``anchor``, its right edge under the anchor's right edge."""

    def __init__(self, host: QWidget, anchor: QWidget, card: QWidget) -> None:
        super().__init__(host, card)
        self._anchor = anchor

    def _place(self, card: QWidget) -> None:
        margin = theme.space(2)
        width = min(theme.size("popup-width"), self.width() - 2 * margin)
        below = self._anchor.mapTo(self._host, QPoint(self._anchor.width(), self._anchor.height()))
        height = min(card.sizeHint().height(), self.height() - below.y() - 2 * margin)
        card.setGeometry(max(margin, below.x() - width), below.y() + margin, width, height)


class Popover(Overlay):
    """A card that explains a place of ``host``: below it, or above where there is more room. It deletes itself."""

    def __init__(self, host: QWidget, place: QRect, card: QWidget) -> None:
        super().__init__(host, card)
        self._place_on_host = place
        self.closed.connect(self.deleteLater)

    def _place(self, card: QWidget) -> None:
        margin = theme.space(2)
        place = self._place_on_host
        width = min(theme.size("popover-width"), self.width() - 2 * margin)
        left = min(max(margin, place.right() + 1 - width), self.width() - margin - width)
        room_above, room_below = place.top() - 2 * margin, self.height() - place.bottom() - 2 * margin
        height = card.heightForWidth(width) if card.hasHeightForWidth() else card.sizeHint().height()
        height = min(height, max(room_above, room_below))
        top = place.bottom() + margin if height <= room_below else place.top() - margin - height
        card.setGeometry(left, top, width, height)


class Sheet(Overlay):
    """A card in the middle of a dimmed window: a title, a text, and what can be done. It deletes itself."""

    def __init__(self, host: QWidget, title: str, text: str = "") -> None:
        card = QFrame()
        card.setProperty("role", "card")
        card.setAccessibleName(title)
        super().__init__(host, card)
        self._width = theme.size("sheet-width")
        self._layout = QVBoxLayout(card)
        self._layout.setContentsMargins(*[theme.space(6)] * 4)
        self._layout.setSpacing(theme.space(3))
        self._layout.addWidget(label(title, "heading"))
        if text:
            body = label(text, wrap=True)
            body.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._layout.addWidget(body)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(theme.space(2))
        self._buttons.addStretch()
        self.closed.connect(self.deleteLater)

    def add_detail(self, detail: str) -> None:
        """A longer text in the code font that can be scrolled and copied."""
        view = QPlainTextEdit(detail)
        view.setProperty("role", "field")
        view.setReadOnly(True)
        view.setFont(theme.font("code"))
        view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        view.setAccessibleName("Details")
        view.setTabChangesFocus(True)
        view.setMinimumHeight(theme.size("detail-height"))
        self._width = theme.size("sheet-wide")
        self._layout.addWidget(view)

    def add_button(self, text: str, action: Callable[[], object] | None = None, kind: str = "plain") -> None:
        """A button that closes the sheet and then does ``action``."""
        button = TextButton(text, kind)
        button.clicked.connect(self.dismiss)
        if action is not None:
            button.clicked.connect(action)
        self._buttons.addWidget(button)

    def open(self) -> None:
        self._layout.addSpacing(theme.space(1))
        self._layout.addLayout(self._buttons)
        super().open()

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), theme.color("scrim"))
        super().paintEvent(event)

    def _first_focus(self) -> QWidget:
        """The last button is the one that does what was asked for."""
        return self._tab_stops()[-1]

    def _place(self, card: QWidget) -> None:
        margin = theme.space(6)
        width = min(self._width, self.width() - 2 * margin)
        height = card.heightForWidth(width) if card.hasHeightForWidth() else card.sizeHint().height()
        height = min(height, self.height() - 2 * margin)
        card.setGeometry((self.width() - width) // 2, (self.height() - height) // 2, width, height)
