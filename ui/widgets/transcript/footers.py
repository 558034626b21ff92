"""What stands under a message: what can be done with it, and quietly what it took."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton
from ui.widgets.focus import FocusRing
from ui.widgets.labels import label
from ui.widgets.transcript import metrics
from ui.widgets.transcript.copy_button import CopyIcon, make_quiet
from ui.widgets.transcript.message import Message, Part
from ui.widgets.transcript.view_model import MessageStatus, MessageView


class Facts(FocusRing, QToolButton):
    """Small figures in one line. A click, or Enter, asks for an explanation."""

    def __init__(self) -> None:
        super().__init__()
        self._facts = ""
        self._font = theme.font("small")
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(metrics.footer_height())
        _keep_place(self)

    def show_facts(self, facts: str, explanation: str) -> None:
        self._facts = facts
        self.setToolTip(explanation)
        self.setAccessibleName(facts)
        self.setAccessibleDescription(explanation)
        self.setVisible(bool(facts))
        self.update()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, metrics.footer_height())

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.property("focusRing"):
            super().paintEvent(event)
        painter = QPainter(self)
        painter.setFont(self._font)
        painter.setPen(theme.color("text" if self.underMouse() else "dim"))
        text = painter.fontMetrics().elidedText(self._facts, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def place_on_screen(self) -> QRect:
        """Where the figures are, in global coordinates."""
        width = min(self.width(), QFontMetrics(self._font).horizontalAdvance(self._facts))
        corner = self.mapToGlobal(self.rect().topRight())
        return QRect(corner.x() - width, corner.y(), width, self.height())


class Siblings(QWidget):
    """Which of several versions of a message is shown, and the way to the others."""

    step_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._before = IconButton("chevron-left", "Previous version", small=True)
        self._next = IconButton("chevron-right", "Next version", small=True)
        self._count = label("", "small", "dim")
        self._before.clicked.connect(lambda: self.step_wanted.emit(-1))
        self._next.clicked.connect(lambda: self.step_wanted.emit(1))
        layout = _row(self)
        for widget in (self._before, self._count, self._next):
            layout.addWidget(widget)
        for button in (self._before, self._next):
            make_quiet(button)

    def show_siblings(self, view: MessageView) -> None:
        self.setVisible(view.n_siblings > 1)
        self._count.setText(f"{view.sibling_number} / {view.n_siblings}")
        self._count.setAccessibleName(f"Version {view.sibling_number} of {view.n_siblings}")
        self._before.setEnabled(view.sibling_number > 1)
        self._next.setEnabled(view.sibling_number < view.n_siblings)

    def focus_stops(self) -> Sequence[QWidget]:
        return (self._before, self._next)


class AnswerFooter(QWidget):
    """copy, again, which version, whether it was stopped; on the right the figures."""

    copy_wanted = Signal(int)
    again_wanted = Signal(int)
    explanation_wanted = Signal(int, QRect)  # where the figures are on the screen
    sibling_wanted = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._id = 0
        self._copy = CopyIcon("Copy the answer")
        self._again = IconButton("rotate-cw", "Answer again", small=True)
        self._siblings = Siblings()
        self._state = label("Stopped", "small", "dim")
        self._facts = Facts()
        make_quiet(self._again)
        self._copy.clicked.connect(self._on_copy)
        self._again.clicked.connect(lambda: self.again_wanted.emit(self._id))
        self._siblings.step_wanted.connect(lambda step: self.sibling_wanted.emit(self._id, step))
        self._facts.clicked.connect(lambda: self.explanation_wanted.emit(self._id, self._facts.place_on_screen()))
        layout = _row(self)
        for widget in (self._copy, self._again, self._siblings, self._state):
            layout.addWidget(widget)
        layout.addSpacing(theme.space(3))
        layout.addWidget(self._facts, stretch=1)

    def show_part(self, message: Message, part: Part, width: int) -> int:
        view = message.view
        if view.id != self._id:
            self._copy.reset()
        self._id = view.id
        is_done = view.status is not MessageStatus.STREAMING
        self._copy.setVisible(is_done and bool(view.text))
        self._again.setVisible(is_done and not view.has_failed)  # the notice above has a button for it
        self._siblings.show_siblings(view)
        self._state.setVisible(view.status is MessageStatus.STOPPED and bool(view.text))
        self._facts.show_facts(view.facts if is_done else "", view.facts_tooltip)
        return metrics.footer_height()

    def release(self) -> None:
        self._copy.reset()

    def text_view(self) -> None:
        return None

    def focus_stops(self) -> Sequence[QWidget]:
        return (self._copy, self._again, *self._siblings.focus_stops(), self._facts)

    def _on_copy(self) -> None:
        self.copy_wanted.emit(self._id)
        self._copy.confirm()


class UserFooter(QWidget):
    """copy, edit, which version: seen while the mouse or the focus is on the message."""

    copy_wanted = Signal(int)
    edit_wanted = Signal(int)
    sibling_wanted = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._id = 0
        self._row = QWidget(self)
        self._copy = CopyIcon("Copy your message")
        self._edit = IconButton("pencil", "Edit your message", small=True)
        self._siblings = Siblings()
        make_quiet(self._edit)
        self._copy.clicked.connect(self._on_copy)
        self._edit.clicked.connect(lambda: self.edit_wanted.emit(self._id))
        self._siblings.step_wanted.connect(lambda step: self.sibling_wanted.emit(self._id, step))
        outer = _row(self)
        outer.addStretch()
        outer.addWidget(self._row)
        layout = _row(self._row)
        for widget in (self._siblings, self._edit, self._copy):
            layout.addWidget(widget)
        _keep_place(self._row)

    def show_part(self, message: Message, part: Part, width: int) -> int:
        if message.view.id != self._id:
            self._copy.reset()
        self._id = message.view.id
        self._siblings.show_siblings(message.view)
        return metrics.footer_height()

    def reveal(self, is_revealed: bool) -> None:
        self._row.setVisible(is_revealed)

    def release(self) -> None:
        self._copy.reset()
        self.reveal(False)

    def text_view(self) -> None:
        return None

    def focus_stops(self) -> Sequence[QWidget]:
        return (*self._siblings.focus_stops(), self._edit, self._copy)

    def _on_copy(self) -> None:
        self.copy_wanted.emit(self._id)
        self._copy.confirm()


def _row(widget: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    return layout


def _keep_place(widget: QWidget) -> None:
    """Hidden, it still takes its room."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)
