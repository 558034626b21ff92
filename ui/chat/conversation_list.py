"""The list of conversations: keys, a context menu, and titles that are edited in place."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ui.models.conversations import ConversationListModel, ConversationRole
from ui.theme import theme
from ui.widgets.dots import paint_dot
from ui.widgets.icons import icon, paint_icon

_Index = QModelIndex | QPersistentModelIndex


class ConversationList(QListView):
    """``opened`` follows the selection; ``confirmed`` says that the user wants to go on with what is selected."""

    opened = Signal(int)
    confirmed = Signal()
    delete_requested = Signal(int)
    pin_requested = Signal(int, bool)
    forget_requested = Signal(int)
    undo_requested = Signal()

    def __init__(self, model: ConversationListModel) -> None:
        super().__init__()
        self._conversations = model
        self.setModel(model)
        self.setItemDelegate(_RowDelegate(self))
        self.setAccessibleName("Conversations")
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.selectionModel().currentChanged.connect(self._on_current_changed)

    def select(self, conversation_id: int | None) -> None:
        """Show a conversation as the selected one without telling anyone."""
        row = self._conversations.row_of(conversation_id)
        self.selectionModel().blockSignals(True)
        if row is None:
            self.selectionModel().clear()
        else:
            self.setCurrentIndex(self._conversations.index(row))
        self.selectionModel().blockSignals(False)
        if row is not None:
            self.scrollTo(self._conversations.index(row))
        self.viewport().update()

    def current_id(self) -> int | None:
        found: int | None = self.currentIndex().data(ConversationRole.ID)
        return found

    def focus_first(self) -> None:
        """Go into the list: to the selected conversation, else to the first."""
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        if self.current_id() is None:
            row = self._conversations.first_row()
            if row is not None:
                self.setCurrentIndex(self._conversations.index(row))

    def rename_current(self) -> None:
        if self.current_id() is not None:
            self.edit(self.currentIndex())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        current = self.current_id()
        if self.state() is QAbstractItemView.State.EditingState:
            return  # keys that the title's field has had already
        if event.key() == Qt.Key.Key_Delete and current is not None:
            self.delete_requested.emit(current)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and current is not None:
            self.confirmed.emit()
        elif event.key() == Qt.Key.Key_Z and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.undo_requested.emit()
        else:
            super().keyPressEvent(event)

    def _on_current_changed(self, current: QModelIndex) -> None:
        conversation_id = current.data(ConversationRole.ID)
        if conversation_id is not None:
            self.opened.emit(conversation_id)

    def _show_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        conversation_id = index.data(ConversationRole.ID)
        if conversation_id is None:
            return
        menu = QMenu(self)
        self._add_memory_actions(menu, conversation_id)
        menu.addSeparator()
        menu.addAction(icon("pencil", "dim"), "Rename", lambda: self.edit(index))
        menu.addAction(icon("trash-2", "dim"), "Delete", lambda: self.delete_requested.emit(conversation_id))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.viewport().mapToGlobal(at))

    def _add_memory_actions(self, menu: QMenu, conversation_id: int) -> None:
        is_pinned = self._conversations.is_pinned(conversation_id)
        pin = menu.addAction(
            icon("check" if is_pinned else "pin", "dim"),
            "Keep ready",
            lambda: self.pin_requested.emit(conversation_id, not is_pinned),
        )
        pin.setCheckable(True)
        pin.setChecked(is_pinned)
        pin.setEnabled(self._conversations.can_pin)
        forget = menu.addAction(
            icon("rotate-ccw", "dim"), "Forget what was read", lambda: self.forget_requested.emit(conversation_id)
        )
        forget.setEnabled(self._conversations.is_remembered(conversation_id))


class _RowDelegate(QStyledItemDelegate):
    """Headings in small type, conversations as rounded rows, found ones with the place below the title.

    On the right a dot says where the model keeps it, and a pin that it stays there.
    """

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        if index.data(ConversationRole.ID) is None:
            return QSize(0, theme.size("group-height"))
        name = "row-snippet-height" if index.data(ConversationRole.SNIPPET) else "row-height"
        return QSize(0, theme.size(name) + theme.size("row-gap"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.data(ConversationRole.ID) is None:
            self._paint_heading(painter, option.rect, index.data())
        else:
            self._paint_row(painter, option, index)
        painter.restore()

    def _paint_heading(self, painter: QPainter, rect: QRect, text: str) -> None:
        painter.setFont(theme.font("label"))
        painter.setPen(theme.color("faint"))
        inner = rect.adjusted(theme.space(2), theme.space(2), -theme.space(2), -theme.space(1))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_row(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        row = self._row_rect(option.rect)
        self._paint_ground(painter, option, row, selected)
        inner = row.adjusted(theme.space(2), 0, -theme.space(2), 0)
        inner.setRight(self._paint_badge(painter, inner, index))
        snippet = index.data(ConversationRole.SNIPPET)
        if snippet:
            inner.adjust(0, theme.space(1), 0, -theme.space(1))
            title_rect, snippet_rect = QRect(inner), QRect(inner)
            title_rect.setHeight(inner.height() // 2)
            snippet_rect.setTop(title_rect.bottom())
            _draw_elided(painter, title_rect, index.data(), "strong" if selected else "ui", "text")
            _draw_elided(painter, snippet_rect, snippet, "small", "dim")
        else:
            _draw_elided(painter, inner, index.data(), "strong" if selected else "ui", "text")

    def _paint_badge(self, painter: QPainter, inner: QRect, index: _Index) -> int:
        """Returns where the words have to end."""
        right = inner.right()
        tier = index.data(ConversationRole.TIER)
        if tier is not None:
            radius = theme.exact_size("dot") / 2
            paint_dot(painter, QPointF(right - radius, inner.center().y() + 0.5), tier.value)
            right -= theme.size("dot") + theme.space(2)
        if index.data(ConversationRole.IS_PINNED):
            side = theme.size("pin")
            place = QRectF(right - side, inner.center().y() - side / 2 + 0.5, side, side)
            paint_icon(painter, place, "pin", theme.color("dim"))
            right -= side + theme.space(1)
        return right

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem, row: QRect, selected: bool) -> None:
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        focused = selected and bool(option.state & QStyle.StateFlag.State_HasFocus)
        if not (selected or hovered):
            return
        painter.setBrush(theme.color("raise" if selected else "hover"))
        painter.setPen(theme.color("line") if focused else Qt.PenStyle.NoPen)
        radius = theme.size("radius-control")
        painter.drawRoundedRect(row.toRectF().adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: _Index) -> QWidget:
        editor = QLineEdit(parent)
        editor.setProperty("role", "row")
        editor.setAccessibleName("Title of the conversation")
        return editor

    def setEditorData(self, editor: QWidget, index: _Index) -> None:
        """Once: Qt fills it again whenever the row changes, and the row's badge changes while somebody types."""
        if not editor.property("isFilled"):
            editor.setProperty("isFilled", True)
            super().setEditorData(editor, index)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: _Index) -> None:
        editor.setGeometry(self._row_rect(option.rect))

    def _row_rect(self, rect: QRect) -> QRect:
        return rect.adjusted(0, 0, 0, -theme.size("row-gap"))


def _draw_elided(painter: QPainter, rect: QRect, text: str, role: str, color: str) -> None:
    font = theme.font(role)
    painter.setFont(font)
    painter.setPen(theme.color(color))
    line = " ".join(text.split())
    shown = QFontMetrics(font).elidedText(line, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter, shown)
