"""The conversation on the screen: thousands of messages, of which only what is visible exists as widgets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QEvent, QPoint, QRect, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QGuiApplication,
    QHoverEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QFrame, QMenu, QScrollBar

from ui.theme import theme
from ui.widgets.markdown.formulas import FormulaKey, formulas
from ui.widgets.transcript import paint
from ui.widgets.transcript.block_views import BlockView, CodeView
from ui.widgets.transcript.flow import Flow, Placed
from ui.widgets.transcript.focus_walk import FocusWalk
from ui.widgets.transcript.footers import AnswerFooter, UserFooter
from ui.widgets.transcript.jump_button import JumpButton
from ui.widgets.transcript.message import Message
from ui.widgets.transcript.notices import Notice
from ui.widgets.transcript.page import Page
from ui.widgets.transcript.selecting import Selecting
from ui.widgets.transcript.stage import PartWidget, Stage, bubble_rect, rect_of
from ui.widgets.transcript.text_view import TextView
from ui.widgets.transcript.thought import ThoughtLine
from ui.widgets.transcript.veil import Veil
from ui.widgets.transcript.view_model import MessageStatus, MessageView

_READ_INTERVAL_MS = 10
_N_PAGES_TO_JUMP = 2

_Action = QScrollBar.SliderAction
_SCROLL_KEYS = {
    Qt.Key.Key_Up: _Action.SliderSingleStepSub,
    Qt.Key.Key_Down: _Action.SliderSingleStepAdd,
    Qt.Key.Key_PageUp: _Action.SliderPageStepSub,
    Qt.Key.Key_PageDown: _Action.SliderPageStepAdd,
    Qt.Key.Key_Home: _Action.SliderToMinimum,
    Qt.Key.Key_End: _Action.SliderToMaximum,
}
_HOVER_EVENTS = (QEvent.Type.HoverMove, QEvent.Type.HoverEnter, QEvent.Type.HoverLeave)


class Transcript(QAbstractScrollArea):
    """Messages in, wishes out. Of messages that it does not show it hears nothing: such calls do nothing.

    Thread: GUI.
    """

    regenerate_requested = Signal(int)
    retry_requested = Signal(int)
    edit_requested = Signal(int)
    sibling_requested = Signal(int, int)  # message, -1 or 1
    explanation_requested = Signal(int, QRect)  # message, where its figures are on the screen
    link_activated = Signal(QUrl)  # http, https or mailto

    def __init__(self) -> None:
        super().__init__()
        self._flow = Flow()
        self._stage = Stage(self, self.viewport(), self._connect)
        self._page = Page(self._flow, self._stage)
        self._selecting = Selecting(self.viewport(), self._flow, self._stage, self._scroll_by)
        self._walk = FocusWalk(self._flow, self._stage, self._bring_into_view)
        self._veil = Veil(self.viewport())
        self._jump = JumpButton(self)
        self._jump.clicked.connect(self._jump_to_end)
        self._hovered: int | None = None
        self._painted: object = None
        self._is_settling = False
        self._settle_timer = QTimer(self, singleShot=True, interval=0)
        self._settle_timer.timeout.connect(self._settle)
        self._read_timer = QTimer(self, singleShot=True, interval=_READ_INTERVAL_MS)
        self._read_timer.timeout.connect(self._read_on)
        self._set_up()

    def _set_up(self) -> None:
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Conversation")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().setSingleStep(theme.space(10))
        self.viewport().setBackgroundRole(QPalette.ColorRole.Window)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_Hover)
        theme.changed.connect(self._refresh)
        formulas().drawn.connect(self._on_formula_drawn)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus_changed)

    # -- messages

    def set_messages(self, views: Sequence[MessageView]) -> None:
        """Show a conversation. What stood there before stays where it is; a new one is shown from its end."""
        before = {message.view.id for message in self._flow.messages}
        place = self._page.reading_place()
        goes_on = bool(views) and views[0].id in before
        has_new_words = any(view.is_user and view.id not in before for view in views)
        self._selecting.clear()
        self._flow.set_views(views)
        if not goes_on or has_new_words:
            self._page.sticks = True
        elif place is not None:
            self._page.return_to(place)
        self._settle()

    def append_message(self, view: MessageView) -> None:
        """Somebody speaks; if it is the user, the page goes to the end."""
        self._flow.append(view)
        self._page.sticks = self._page.sticks or view.is_user
        self._settle()

    def append_text(self, message_id: int, text: str) -> None:
        """An answer goes on."""
        index = self._flow.find(message_id)
        if index is not None:
            self._flow.open(index)
            self._flow.messages[index].append(text)
            self._update(self._flow.messages[index])

    def append_thought(self, message_id: int, text: str) -> None:
        """What the model thinks before it answers goes on."""
        message = self._find(message_id)
        if message is not None:
            message.append_thought(text)
            self._update(message)

    def set_progress(self, message_id: int, text: str) -> None:
        """What is happening while an answer has no text yet."""
        message = self._find(message_id)
        if message is not None:
            message.set_progress(text)
            self._update(message)

    def finish_message(self, view: MessageView) -> None:
        """A message is as it will stay."""
        message = self._find(view.id)
        if message is not None:
            message.update(view)
            self._update(message)
            self._announce(view)

    def clear(self) -> None:
        self.set_messages(())

    # -- what Qt tells

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._jump.place_in(self.viewport().width(), self.height())
        self._settle()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._settle()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        if not self._is_settling:
            self._page.scroll_to(self.verticalScrollBar().value())
            self._settle()

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.DevicePixelRatioChange:
            self._refresh()
        return super().event(event)

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHoverEvent) and event.type() in _HOVER_EVENTS:
            left = event.type() is QEvent.Type.HoverLeave
            self._set_hovered(None if left else self._message_at(event.position().toPoint()))
        return super().viewportEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Beside everything: nothing is selected then."""
        self._selecting.clear()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        action = self._scroll_action(event)
        if event.matches(QKeySequence.StandardKey.Copy):
            self._selecting.copy()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self._select_all()
        elif action is not None:
            self.verticalScrollBar().triggerAction(action)
        elif event.key() == Qt.Key.Key_Escape and not self._selecting.is_empty:
            self._selecting.clear()
        else:
            event.ignore()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Within the conversation in reading order. It is left from its end, or backwards from itself."""
        if self.hasFocus():
            return (forward and self._walk.enter()) or super().focusNextPrevChild(forward)
        if self._walk.step(forward):
            return True
        self.setFocus(Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason)
        return super().focusNextPrevChild(True) if forward else True

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top, column = self._page.top, self._page.column
        for index in self._flow.messages_between(top, self._page.bottom):
            message = self._flow.messages[index]
            if message.view.is_user and message.block_parts:
                bubble = bubble_rect(list(self._flow.parts_of(index)), column)
                paint.paint_bubble(painter, bubble.translated(0, -top))
        paint.paint_frames(painter, column, self._page.row, top)
        ringed = self._ringed()
        if ringed is not None:
            paint.paint_focus_ring(painter, rect_of(ringed, column).translated(0, -top))

    # -- laying out

    def _settle(self) -> None:
        """Bring the widgets in line with the messages. While hidden, that waits until it is shown."""
        if self._is_settling or not self.isVisible():
            return
        self._is_settling = True
        try:
            self._page.resize(self.width(), self.viewport().height())
            self._page.settle(self._selecting.held_part)
            self._selecting.apply()
            self._show_scroll_position()
            self._place_veil()
        finally:
            self._is_settling = False
        self._reveal_footers()
        self._repaint_if_moved()
        if self._flow.is_reading and not self._read_timer.isActive():
            self._read_timer.start()

    def _show_scroll_position(self) -> None:
        bar = self.verticalScrollBar()
        bar.setPageStep(self._page.height)
        bar.setRange(0, self._page.max_top)
        bar.setValue(self._page.top)
        self._jump.setVisible(self._is_left_behind())

    def _place_veil(self) -> None:
        y = self._flow.veiled_to
        self._veil.reach_down_to(None if y is None else y - self._page.top, self.viewport().width(), self._page.column)

    def _is_left_behind(self) -> bool:
        """Whether text comes below what is read, or the end is some pages away."""
        is_streaming = any(m.view.status is MessageStatus.STREAMING for m in self._flow.messages[-1:])
        is_far = self._page.max_top - self._page.top > _N_PAGES_TO_JUMP * self._page.height
        return not self._page.sticks and (is_streaming or is_far)

    def _repaint_if_moved(self) -> None:
        """The ground is painted anew only if something on it is elsewhere."""
        shown = [(placed.part, placed.y, placed.part.height, placed.part.width) for placed in self._page.row]
        ground = (self._page.top, self._page.column, shown)
        if ground != self._painted:
            self._painted = ground
            self.viewport().update()

    def _read_on(self) -> None:
        self._flow.read_on()
        self._settle()

    def _refresh(self) -> None:
        """Other colours or another screen: everything visible is made anew."""
        for message in self._flow.messages:
            message.refresh()
        self._painted = None
        self._settle()

    def _on_formula_drawn(self, key: FormulaKey) -> None:
        for placed, view in self._stage.text_views():
            if key in view.content.waiting:
                placed.part.is_stale = True
                self._settle_timer.start()

    def _update(self, message: Message) -> None:
        index = self._flow.find(message.view.id)
        if index is not None:
            self._flow.update_height(index)
            self._settle()

    def _find(self, message_id: int) -> Message | None:
        index = self._flow.find(message_id)
        return self._flow.messages[index] if index is not None else None

    # -- scrolling

    def _scroll_action(self, event: QKeyEvent) -> QScrollBar.SliderAction | None:
        if event.modifiers() & ~(Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier):
            return None
        if event.key() == Qt.Key.Key_Space:
            back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            return _Action.SliderPageStepSub if back else _Action.SliderPageStepAdd
        return _SCROLL_KEYS.get(Qt.Key(event.key()))

    def _scroll_by(self, distance: int) -> None:
        self._page.scroll_to(self._page.top + distance)
        self._settle()

    def _jump_to_end(self) -> None:
        self._page.sticks = True
        self._settle()
        self.setFocus()

    def _bring_into_view(self, placed: Placed) -> None:
        """Scroll as little as needed to see the part; a part that is higher than the screen from its beginning."""
        for _ in range(2):  # the second time with the height that it really has
            placed = next(p for p in self._flow.parts_of(placed.message_index) if p.part is placed.part)
            margin = theme.space(2)
            low, high = placed.bottom + margin - self._page.height, placed.y - margin
            self._page.scroll_to(min(max(self._page.top, low), high))
            self._settle()

    # -- hovering and focus

    def _message_at(self, position: QPoint) -> int | None:
        return self._flow.message_at(position.y() + self._page.top) if self._flow.messages else None

    def _set_hovered(self, message_index: int | None) -> None:
        if message_index != self._hovered:
            self._hovered = message_index
            self._reveal_footers()

    def _reveal_footers(self) -> None:
        focused = self._focused()
        for actor in self._stage.actors():
            if isinstance(actor.widget, UserFooter):
                index = actor.placed.message_index
                actor.widget.reveal(index == self._hovered or (focused is not None and index == focused.message_index))

    def _focused(self) -> Placed | None:
        actor = self._stage.actor_with(QApplication.focusWidget())
        return actor.placed if actor is not None else None

    def _ringed(self) -> Placed | None:
        """The block that has the focus by the keyboard."""
        widget = QApplication.focusWidget()
        return self._focused() if isinstance(widget, TextView) and widget.is_ringed else None

    def _on_focus_changed(self) -> None:
        self._reveal_footers()
        self.viewport().update()

    def _announce(self, view: MessageView) -> None:
        """Tell a screen reader, which hears nothing of text that only appears."""
        if QAccessible.isActive() and not view.is_user:
            text = view.error if view.has_failed and view.error else "The answer is complete"
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, text))

    def _toggle_thought(self, message_id: int) -> None:
        """The line that was clicked stays where it is, unless the end is followed while it is being written."""
        message = self._find(message_id)
        if message is None:
            return
        self._selecting.clear()
        is_streaming = message.view.status is MessageStatus.STREAMING
        self._page.sticks = self._page.sticks and is_streaming
        message.show_thought(not message.shows_thought)
        self._update(message)
        if not is_streaming:
            self._page.scroll_to(self._page.top)

    # -- selecting and copying

    def _select_all(self) -> None:
        focused = self._focused()
        self._selecting.select_all(focused.message_index if focused is not None else None)

    def _copy_message(self, message_id: int) -> None:
        message = self._find(message_id)
        if message is not None:
            self._copy_text(message.text)

    def _copy_text(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)

    def _show_menu(self, position: QPoint, address: str) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Copy", self._selecting.copy).setEnabled(not self._selecting.is_empty)
        if address:
            menu.addAction("Copy link address", partial(self._copy_text, address))
        menu.addAction("Select all", self._select_all)
        menu.popup(position)

    def _connect(self, widget: PartWidget) -> None:
        """Listen to a widget that was just made."""
        if isinstance(widget, AnswerFooter):
            widget.copy_wanted.connect(self._copy_message)
            widget.again_wanted.connect(self.regenerate_requested)
            widget.explanation_wanted.connect(self.explanation_requested)
            widget.sibling_wanted.connect(self.sibling_requested)
        elif isinstance(widget, UserFooter):
            widget.copy_wanted.connect(self._copy_message)
            widget.edit_wanted.connect(self.edit_requested)
            widget.sibling_wanted.connect(self.sibling_requested)
        elif isinstance(widget, ThoughtLine):
            widget.toggled.connect(self._toggle_thought)
        elif isinstance(widget, Notice):
            widget.retry_wanted.connect(self.retry_requested)
        elif isinstance(widget, BlockView | CodeView):
            self._connect_text(widget.text_view())
            if isinstance(widget, CodeView):
                widget.copy_wanted.connect(self._copy_text)

    def _connect_text(self, view: TextView) -> None:
        view.pressed.connect(partial(self._selecting.press, view))
        view.dragged.connect(partial(self._selecting.drag, view))
        view.released.connect(partial(self._selecting.release, view))
        view.word_selected.connect(partial(self._selecting.finish_word, view))
        view.copy_pressed.connect(self._selecting.copy)
        view.select_all_pressed.connect(self._select_all)
        view.menu_wanted.connect(self._show_menu)
        view.link_activated.connect(self.link_activated)
