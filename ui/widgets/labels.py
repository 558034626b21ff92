"""Text that is not edited."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from ui.theme import theme
from ui.widgets.icons import paint_icon


def label(text: str = "", role: str = "ui", tone: str = "text", *, wrap: bool = False) -> QLabel:
    """A label in the font of a role and the colour of a tone."""
    made = QLabel(text)
    made.setProperty("role", role)
    made.setProperty("tone", tone)
    made.setFont(theme.font(role))
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    return made


def make_selectable(words: QLabel) -> None:
    """With the mouse; the keyboard passes it by."""
    words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    words.setFocusPolicy(Qt.FocusPolicy.NoFocus)


class ElidedLabel(QLabel):
    """One line that ends in an ellipsis where there is no room, and shows all of it in a tooltip then."""

    def __init__(
        self,
        text: str = "",
        role: str = "ui",
        tone: str = "text",
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__(text)
        self._elide = elide
        self.setProperty("role", role)
        self.setProperty("tone", tone)
        self.setFont(theme.font(role))
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, text: str) -> None:
        super().setText(text)
        self._update_tooltip()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._update_tooltip()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(self.contentsRect(), Qt.AlignmentFlag.AlignVCenter, self._shown_text())

    def _shown_text(self) -> str:
        return self.fontMetrics().elidedText(self.text(), self._elide, self.contentsRect().width())

    def _update_tooltip(self) -> None:
        self.setToolTip(self.text() if self._shown_text() != self.text() else "")


class IconLabel(QWidget):
    """An icon that does nothing; words beside it say the same, so a screen reader skips it."""

    def __init__(self, name: str, color: str = "dim") -> None:
        super().__init__()
        self._name = name
        self._color = color
        self.setFixedSize(theme.size("icon"), theme.size("icon"))

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_icon(QPainter(self), QRectF(self.rect()), self._name, theme.color(self._color))


def rule() -> QFrame:
    """A thin line between things."""
    made = QFrame()
    made.setProperty("role", "rule")
    return made
