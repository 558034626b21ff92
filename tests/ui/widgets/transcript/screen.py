"""A transcript on a screen, as a reader sees it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from ui.widgets.transcript import MessageStatus, MessageView, Transcript
from ui.widgets.transcript.text_view import TextView

WIDTH, HEIGHT = 900, 600


def question(number: int, text: str = "A question", **more: object) -> MessageView:
    return MessageView(number, True, text, **more)  # type: ignore[arg-type]


def answer(number: int, text: str = "An answer.", **more: object) -> MessageView:
    return MessageView(number, False, text, **more)  # type: ignore[arg-type]


def streaming(number: int, text: str = "") -> MessageView:
    return MessageView(number, False, text, MessageStatus.STREAMING)


def talk(n_pairs: int) -> list[MessageView]:
    """``question 0``, an answer of two paragraphs and a listing, and so on; ids count from 0."""
    views = []
    for n in range(n_pairs):
        text = f"first {n} " + "word " * (10 + 37 * n % 90) + f"\n\n```\ncode {n}\n```\n\nlast {n}"
        views += [question(2 * n, f"question {n}"), answer(2 * n + 1, text, facts="61 tok/s")]
    return views


class Screen:
    """``page`` is a widget with a layout, which the transcript becomes part of."""

    def __init__(self, qtbot: QtBot, width: int = WIDTH, height: int = HEIGHT, page: QWidget | None = None) -> None:
        self.qtbot = qtbot
        self.transcript = Transcript()
        self.window = page or self.transcript
        layout = self.window.layout()
        if layout is not None:
            layout.addWidget(self.transcript)
        qtbot.addWidget(self.window)
        self.window.resize(width, height)
        with qtbot.waitExposed(self.window):
            self.window.show()

    @property
    def scroll(self) -> int:
        return self.transcript.verticalScrollBar().value()

    @scroll.setter
    def scroll(self, value: int) -> None:
        self.transcript.verticalScrollBar().setValue(value)

    @property
    def end(self) -> int:
        return self.transcript.verticalScrollBar().maximum()

    def views(self) -> list[TextView]:
        """The texts, from above to below."""
        found = [view for view in self.transcript.viewport().findChildren(TextView) if view.isVisible()]
        return sorted(found, key=lambda view: (self.top_of(view), view.x()))

    def texts(self) -> list[str]:
        return [view.toPlainText() for view in self.views()]

    def view(self, text: str) -> TextView:
        """The one that begins with this text."""
        return next(view for view in self.views() if view.toPlainText().startswith(text))

    def top_of(self, widget: QWidget) -> int:
        return widget.mapTo(self.transcript, QPoint(0, 0)).y()

    def left_of(self, widget: QWidget) -> int:
        return widget.mapTo(self.transcript, QPoint(0, 0)).x()

    def named(self, name: str) -> list[QWidget]:
        """Visible widgets with this accessible name."""
        widgets = self.transcript.findChildren(QWidget)
        return [widget for widget in widgets if widget.isVisible() and widget.accessibleName() == name]

    def button(self, name: str) -> QWidget:
        """The last one with this name."""
        return sorted(self.named(name), key=self.top_of)[-1]

    def click(self, name: str) -> None:
        self.qtbot.mouseClick(self.button(name), Qt.MouseButton.LeftButton)

    def focus(self) -> str:
        """The name of what has the focus."""
        widget = QApplication.focusWidget()
        return widget.accessibleName() if widget is not None else ""

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(QApplication.focusWidget() or self.transcript, key, modifiers)

    def press_on(
        self, widget: QWidget, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    ) -> None:
        self.qtbot.keyClick(widget, key, modifiers)

    def activate(self) -> None:
        with self.qtbot.waitActive(self.window):
            self.window.activateWindow()
        self.transcript.setFocus()

    def drag(self, start: TextView, at: int, end: TextView, to: int) -> None:
        """Press before character ``at`` of one text and let go before character ``to`` of another."""
        first, last = _point(start, at), _point(end, to)
        _send(start, QEvent.Type.MouseButtonPress, first, Qt.MouseButton.LeftButton)
        _send(start, QEvent.Type.MouseMove, last, Qt.MouseButton.NoButton)
        _send(start, QEvent.Type.MouseButtonRelease, last, Qt.MouseButton.LeftButton)

    def move_held(self, view: TextView, by: QPoint) -> None:
        """Move the mouse, which is held down, to that far from the text's upper left corner."""
        _send(view, QEvent.Type.MouseMove, view.mapToGlobal(by), Qt.MouseButton.NoButton)

    def release_held(self, view: TextView) -> None:
        _send(view, QEvent.Type.MouseButtonRelease, view.mapToGlobal(QPoint(0, -HEIGHT)), Qt.MouseButton.LeftButton)

    def hover(self, widget: QWidget) -> None:
        for point in (QPoint(1, 1), widget.mapTo(self.window, QPoint(3, 3))):  # it may have been there already
            QTest.mouseMove(self.window.windowHandle(), point)
            QApplication.processEvents()

    def click_on(self, view: TextView, position: int) -> None:
        """Click before a character."""
        point = _point(view, position)
        _send(view, QEvent.Type.MouseButtonPress, point, Qt.MouseButton.LeftButton)
        _send(view, QEvent.Type.MouseButtonRelease, point, Qt.MouseButton.LeftButton)

    def ask_for_menu(self, view: TextView, position: int) -> None:
        """As a click with the right button on a character does."""
        point = _point(view, position)
        reason = QContextMenuEvent.Reason.Mouse
        QApplication.sendEvent(view.viewport(), QContextMenuEvent(reason, view.viewport().mapFromGlobal(point), point))

    def hold(self, view: TextView, position: int) -> None:
        """Press before a character and do not let go."""
        _send(view, QEvent.Type.MouseButtonPress, _point(view, position), Qt.MouseButton.LeftButton)

    def wheel(self, widget: QWidget, dx: int, dy: int) -> None:
        QTest.wheelEvent(self.window.windowHandle(), widget.mapTo(self.window, QPoint(5, 5)), QPoint(dx, dy))


def clipboard() -> str:
    return QGuiApplication.clipboard().text()


def _point(view: TextView, position: int) -> QPoint:
    cursor = view.textCursor()
    cursor.setPosition(position)
    return view.viewport().mapToGlobal(view.cursorRect(cursor).center())


def _send(view: TextView, kind: QEvent.Type, point: QPoint, button: Qt.MouseButton) -> None:
    target = view.viewport()
    held = Qt.MouseButton.NoButton if kind is QEvent.Type.MouseButtonRelease else Qt.MouseButton.LeftButton
    local = QPointF(target.mapFromGlobal(point))
    event = QMouseEvent(kind, local, QPointF(point), button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(target, event)
