"""The list of what is remembered, and the menu of a conversation in it or in a bar."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ui.models.memory import tier_words
from ui.models.remembered import RememberedModel, RememberedRole, RememberedRow
from ui.models.words import size_text
from ui.theme import theme
from ui.widgets.dots import paint_dot
from ui.widgets.icons import icon, paint_icon

_Index = QModelIndex | QPersistentModelIndex


class RememberedList(QListView):
    """Return, a click or the menu key says what can be done with a conversation; Delete forgets it.

    ``menu_wanted`` carries the conversation and a place on the screen.
    """

    menu_wanted = Signal(str, QPoint)
    forget_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.remembered = RememberedModel()
        self.setModel(self.remembered)
        self.setItemDelegate(_RowDelegate(self))
        self.setAccessibleName("Conversations remembered")
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(lambda at: self._ask(self.indexAt(at)))
        self.clicked.connect(self._ask)
        self.remembered.modelReset.connect(self._fit)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_Menu):
            self._ask(index)
        elif event.key() == Qt.Key.Key_Delete and index.isValid():
            self.forget_wanted.emit(index.data(RememberedRole.ROW).id)
        else:
            super().keyPressEvent(event)

    def _ask(self, index: QModelIndex) -> None:
        if index.isValid():
            below = self.visualRect(index).bottomLeft() + QPoint(theme.space(5), 0)
            self.menu_wanted.emit(index.data(RememberedRole.ROW).id, self.viewport().mapToGlobal(below))

    def _fit(self) -> None:
        """As high as its rows, up to some."""
        height = self.remembered.rowCount() * theme.size("remembered-row-height")
        self.setFixedHeight(min(height, theme.size("remembered-list-height")))


class RememberedMenu(QMenu):
    """What can be done with a conversation that the model remembers. It deletes itself."""

    pin_wanted = Signal(bool)
    forget_wanted = Signal()

    def __init__(self, owner: QWidget, row: RememberedRow, *, can_pin: bool) -> None:
        super().__init__(owner)
        pinned = row.is_pinned
        pin = self.addAction(
            icon("pin-off" if pinned else "pin", "dim"), "No longer keep ready" if pinned else "Keep ready"
        )
        pin.triggered.connect(lambda: self.pin_wanted.emit(not pinned))
        pin.setEnabled(can_pin)
        forget = self.addAction(icon("rotate-ccw", "dim"), "Forget what was read")
        forget.triggered.connect(self.forget_wanted)
        forget.setEnabled(row.is_kept)
        self.aboutToHide.connect(self.deleteLater)


class _RowDelegate(QStyledItemDelegate):
    """A dot for where it is, its title, and columns of figures."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(0, theme.size("remembered-row-height"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        row: RememberedRow = index.data(RememberedRole.ROW)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ground(painter, option, index)
        line = QRectF(option.rect).adjusted(theme.space(5), 0, -theme.space(5), 0)
        radius = theme.exact_size("dot") / 2
        paint_dot(painter, QPointF(line.left() + radius, line.center().y()), row.tier.value)
        right = self._paint_figures(painter, line, row)
        self._paint_title(painter, line, right, row.title)
        painter.restore()

    def _paint_title(self, painter: QPainter, line: QRectF, right: float, title: str) -> None:
        left = line.left() + theme.size("dot") + theme.space(2)
        words = QRectF(left, line.top(), right - left - theme.space(2), line.height())
        font = theme.font("ui")
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        one_line = " ".join(title.split())
        shown = QFontMetrics(font).elidedText(one_line, Qt.TextElideMode.ElideRight, round(words.width()))
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, shown)

    def _paint_figures(self, painter: QPainter, line: QRectF, row: RememberedRow) -> float:
        """Returns where they begin."""
        painter.setFont(theme.font("figures"))
        painter.setPen(theme.color("dim"))
        side, right = theme.size("pin"), line.right()
        if row.is_pinned:
            place = QRectF(right - side, line.center().y() - side / 2, side, side)
            paint_icon(painter, place, "pin", theme.color("text"))
        right -= side
        columns = (
            (tier_words(row.tier), "remembered-place-width", Qt.AlignmentFlag.AlignLeft),
            (size_text(row.size_bytes), "remembered-figure-width", Qt.AlignmentFlag.AlignRight),
            (f"{row.n_tokens:,}", "remembered-figure-width", Qt.AlignmentFlag.AlignRight),
        )
        for words, width, side_of in columns:
            left = right - theme.size(width)
            cell = QRectF(left, line.top(), theme.size(width), line.height())
            if side_of is Qt.AlignmentFlag.AlignLeft:
                cell.adjust(theme.space(3), 0, 0, 0)
            painter.drawText(cell, side_of | Qt.AlignmentFlag.AlignVCenter, words)
            right = left
        return right

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        has_focus = bool(option.state & QStyle.StateFlag.State_HasFocus)
        if has_focus or option.state & QStyle.StateFlag.State_MouseOver:
            inner = QRectF(option.rect).adjusted(theme.space(2), 1, -theme.space(2), -1)
            painter.setPen(theme.color("line") if has_focus else Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("raise" if has_focus else "hover"))
            painter.drawRoundedRect(inner, theme.size("radius-control"), theme.size("radius-control"))
        elif index.row():
            painter.setPen(theme.color("line"))
            top = option.rect.top()
            painter.drawLine(option.rect.left() + theme.space(5), top, option.rect.right() - theme.space(5), top)
