"""A list of names of which some are chosen."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPen, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from ui.theme import theme
from ui.widgets.icons import paint_icon

_Index = QModelIndex | QPersistentModelIndex


class CheckList(QListView):
    """A click, Space or Return chooses a name or lets it go. ``changed`` comes with each."""

    changed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._items = QStandardItemModel(self)
        self._found = QSortFilterProxyModel(self)
        self._found.setSourceModel(self._items)
        self._found.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setModel(self._found)
        self.setItemDelegate(_CheckDelegate(self))
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self.clicked.connect(self._toggle)

    def fill(self, names: Iterable[str], chosen: Iterable[str]) -> None:
        """Show these names in their order, and forget what was there."""
        kept = set(chosen)
        self._items.clear()
        for name in names:
            item = QStandardItem(name)
            item.setToolTip(name)
            item.setCheckable(True)
            item.setCheckState(Qt.CheckState.Checked if name in kept else Qt.CheckState.Unchecked)
            self._items.appendRow(item)
        if self._items.rowCount():
            self.setCurrentIndex(self._found.index(0, 0))

    def look_for(self, text: str) -> None:
        """Show the names that contain this; the others keep their choice."""
        self._found.setFilterFixedString(text.strip())

    def chosen(self) -> tuple[str, ...]:
        items = [self._items.item(row) for row in range(self._items.rowCount())]
        return tuple(item.text() for item in items if item.checkState() is Qt.CheckState.Checked)

    def n_names(self) -> int:
        return self._items.rowCount()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._toggle(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _toggle(self, index: QModelIndex) -> None:
        item = self._items.itemFromIndex(self._found.mapToSource(index)) if index.isValid() else None
        if item is not None:
            was_chosen = item.checkState() is Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if was_chosen else Qt.CheckState.Checked)
            self.changed.emit()


class _CheckDelegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(0, theme.size("row-height"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        is_current = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_current or option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("raise" if is_current else "hover"))
            painter.drawRoundedRect(option.rect, theme.size("radius-control"), theme.size("radius-control"))
        side = theme.size("icon-small")
        box = QRectF(
            option.rect.left() + theme.space(2) + 0.5, option.rect.center().y() - side / 2 + 0.5, side - 1, side - 1
        )
        is_chosen = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) is Qt.CheckState.Checked
        painter.setPen(QPen(theme.color("accent" if is_chosen else "dim"), theme.exact_size("line-width")))
        painter.setBrush(theme.color("accent" if is_chosen else "surface"))
        painter.drawRoundedRect(box, theme.space(1), theme.space(1))
        if is_chosen:
            paint_icon(painter, box.adjusted(2, 2, -2, -2), "check", theme.color("accent-ink"))
        words = option.rect.adjusted(side + theme.space(4), 0, -theme.space(2), 0)
        painter.setFont(theme.font("ui"))
        painter.setPen(theme.color("text"))
        shown = QFontMetrics(painter.font()).elidedText(index.data(), Qt.TextElideMode.ElideMiddle, words.width())
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, shown)
        painter.restore()
