"""What went wrong, inside the page it concerns: what happened and why, what to do next, and a button for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from engine.errors import ErrorInfo
from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.labels import IconLabel, label
from ui.widgets.overlay import Sheet


class Tone(StrEnum):
    """How bad it is; the icon and the words say it too."""

    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class BannerAction:
    label: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class BannerText:
    """``text`` is the sentence, ``hint`` what to do next."""

    text: str
    hint: str = ""
    tone: Tone = Tone.BAD


class Banner(QFrame):
    """One message with its buttons and one that closes it."""

    def __init__(self, content: BannerText, actions: tuple[BannerAction, ...], on_close: Callable[[], None]) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self.setProperty("tone", content.tone)
        self.setAccessibleName(f"{content.text} {content.hint}".strip())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(2), theme.space(2), theme.space(2))
        layout.setSpacing(theme.space(3))
        layout.addLayout(_at_first_line(IconLabel("triangle-alert", content.tone)))
        self._body = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._body.setSpacing(theme.space(3))
        self._body.addLayout(self._words(content), stretch=1)
        self._body.addLayout(self._buttons(actions))
        layout.addLayout(self._body, stretch=1)
        close = IconButton("x", "Close this message", small=True)
        close.clicked.connect(on_close)
        layout.addWidget(close, alignment=Qt.AlignmentFlag.AlignTop)

    def _words(self, content: BannerText) -> QVBoxLayout:
        words = QVBoxLayout()
        words.setContentsMargins(0, theme.space(1) + theme.space(1) // 2, 0, theme.space(1))
        words.setSpacing(0)
        for text, tone in ((content.text, "text"), (content.hint, "dim")):
            if text:
                line = label(text, "ui", tone, wrap=True)
                line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                words.addWidget(line)
        return words

    def _buttons(self, actions: tuple[BannerAction, ...]) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(theme.space(2))
        for action in actions:
            button = TextButton(action.label)
            button.clicked.connect(action.run)
            row.addWidget(button, alignment=Qt.AlignmentFlag.AlignTop)
        row.addStretch()
        return row

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room, the buttons stand below the words."""
        narrow = event.size().width() < theme.size("banner-wrap-width")
        direction = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._body.setDirection(direction)
        super().resizeEvent(event)


def details_action(host: QWidget, error: ErrorInfo) -> tuple[BannerAction, ...]:
    """A button that shows the error's detail over ``host``; none where there is no detail."""

    def show() -> None:
        sheet = Sheet(host, "What happened", error.sentence)
        sheet.add_detail(error.detail)
        sheet.add_button("Close")
        sheet.open()

    return (BannerAction("Details", show),) if error.detail else ()


def _at_first_line(widget: QWidget) -> QVBoxLayout:
    """Centred on the first line of text, however many follow."""
    column = QVBoxLayout()
    column.setContentsMargins(0, (theme.size("control-height") - widget.height()) // 2, 0, 0)
    column.addWidget(widget)
    column.addStretch()
    return column


class BannerArea(QWidget):
    """At most one banner per topic, the newest last. Empty, it takes no room."""

    def __init__(self) -> None:
        super().__init__()
        self._banners: dict[str, Banner] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(theme.space(5), theme.space(3), theme.space(5), 0)
        self._layout.setSpacing(theme.space(2))
        self.hide()

    def show_banner(self, topic: str, content: BannerText, *actions: BannerAction) -> None:
        """Show it in place of the topic's last one, and have a screen reader say it."""
        self.clear(topic)
        banner = Banner(content, actions, lambda: self.clear(topic))
        self._banners[topic] = banner
        self._layout.addWidget(banner)
        self.show()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(banner, banner.accessibleName()))

    def clear(self, topic: str) -> None:
        banner = self._banners.pop(topic, None)
        if banner is not None:
            self._layout.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self.setVisible(bool(self._banners))

    def text(self, topic: str) -> str:
        """What the topic's banner says, or nothing."""
        return self._banners[topic].accessibleName() if topic in self._banners else ""
