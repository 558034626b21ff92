"""The models on this machine as a table: thousands of rows, and no widget for any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
)

from app.library import EntryState, ModelEntry
from app.plans import Badge, Tone
from ui.library.words import ago, joined, place_words
from ui.models.words import count_text, size_text
from ui.theme import theme
from ui.widgets.badge import paint_badge

_Index = QModelIndex | QPersistentModelIndex


class Column(IntEnum):
    NAME = 0
    ARCHITECTURE = 1
    PARAMETERS = 2
    TYPE = 3
    SIZE = 4
    LAST_USE = 5
    VERDICT = 6


class TableRole(IntEnum):
    ENTRY = Qt.ItemDataRole.UserRole
    BADGE = Qt.ItemDataRole.UserRole + 1
    DETAIL = Qt.ItemDataRole.UserRole + 2


_TITLES = ("Model", "Architecture", "Parameters", "Type", "Size", "Last use", "On this machine")
_RIGHT = (Column.PARAMETERS, Column.SIZE)
_TEXTS: Mapping[Column, Callable[[ModelEntry], str]] = {
    Column.NAME: lambda entry: entry.name,
    Column.ARCHITECTURE: lambda entry: entry.architecture,
    Column.PARAMETERS: lambda entry: count_text(entry.n_params) if entry.n_params else "",
    Column.TYPE: lambda entry: entry.quantization,
    Column.SIZE: lambda entry: size_text(entry.size_bytes) if entry.size_bytes else "",
    Column.LAST_USE: lambda entry: ago(entry.last_used_s),
    Column.VERDICT: lambda entry: "",
}
_SORTS: Mapping[Column, Callable[[ModelEntry], tuple[str | float, str]]] = {
    Column.NAME: lambda entry: (entry.name.casefold(), entry.id),
    Column.ARCHITECTURE: lambda entry: (entry.architecture, entry.id),
    Column.PARAMETERS: lambda entry: (float(entry.n_params), entry.id),
    Column.TYPE: lambda entry: (entry.quantization, entry.id),
    Column.SIZE: lambda entry: (float(entry.size_bytes), entry.id),
    Column.LAST_USE: lambda entry: (entry.last_used_s or 0.0, entry.id),
    Column.VERDICT: lambda entry: (float(entry.size_bytes), entry.id),
}


class ModelTable(QAbstractTableModel):
    """Filters and sorts by itself: a proxy asks for two values at every comparison, which is slow."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[ModelEntry] = []
        self._shown: list[ModelEntry] = []
        self._texts: dict[str, str] = {}
        self._words: tuple[str, ...] = ()
        self._order = (Column.NAME, Qt.SortOrder.AscendingOrder)
        self._badges: dict[str, Badge] = {}

    @property
    def entries(self) -> Sequence[ModelEntry]:
        """All of them."""
        return self._entries

    @property
    def shown(self) -> Sequence[ModelEntry]:
        """Those that match, in their order."""
        return self._shown

    def show_entries(self, entries: Sequence[ModelEntry]) -> None:
        """Where the same rows are there, they are only painted anew: selection and place stay."""
        self._entries = list(entries)
        self._texts = {entry.id: _text_of(entry) for entry in entries}
        self._arrange()

    def look_for(self, text: str) -> None:
        """Every word that was typed must stand in the name, architecture, type, place or problem."""
        words = tuple(text.lower().split())
        if words != self._words:
            self._words = words
            self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._order = (Column(column), order)
        self._arrange()

    def _arrange(self) -> None:
        column, order = self._order
        matching = [entry for entry in self._entries if all(word in self._texts[entry.id] for word in self._words)]
        shown = sorted(matching, key=_SORTS[column], reverse=order is Qt.SortOrder.DescendingOrder)
        if [entry.id for entry in shown] == [entry.id for entry in self._shown]:
            self._shown = shown
            if shown:
                self.dataChanged.emit(self.index(0, 0), self.index(len(shown) - 1, len(Column) - 1))
            return
        self.beginResetModel()
        self._shown = shown
        self.endResetModel()

    def show_badge(self, model_id: str, badge: Badge) -> None:
        self._badges[model_id] = badge
        for row, entry in enumerate(self._shown):
            if entry.id == model_id:
                at = self.index(row, Column.VERDICT)
                self.dataChanged.emit(at, at)

    def badge_of(self, model_id: str) -> Badge | None:
        return self._badges.get(model_id)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in _RIGHT else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        entry, column = self._shown[index.row()], Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                badge = self._badges.get(entry.id)
                return badge.text if column is Column.VERDICT and badge is not None else _TEXTS[column](entry)
            case TableRole.ENTRY:
                return entry
            case TableRole.BADGE:
                return self._badges.get(entry.id)
            case TableRole.DETAIL:
                return detail_of(entry)
            case Qt.ItemDataRole.AccessibleTextRole if column is Column.NAME:
                return f"{entry.name}, {detail_of(entry)}"
            case Qt.ItemDataRole.ToolTipRole:
                badge = self._badges.get(entry.id)
                if column is Column.VERDICT and badge is not None:
                    return badge.tooltip
                return entry.problem.sentence if entry.problem is not None else str(entry.path)
        return None


def _text_of(entry: ModelEntry) -> str:
    parts = (entry.name, entry.architecture, entry.quantization, detail_of(entry), entry.base_name)
    return " ".join(parts).lower()


def detail_of(entry: ModelEntry) -> str:
    """The quiet line below the name: what is wrong, or where it is from."""
    if entry.problem is not None:
        return entry.problem.sentence
    if entry.state is EntryState.READING:
        return "Reading ..."
    companions = (
        [f"{len(entry.adapters)} adapters" if len(entry.adapters) > 1 else "1 adapter"] if entry.adapters else []
    )
    return joined(place_words(entry), "with projector" if entry.projectors else "", *companions)


class TableView(QTreeView):
    """``opened`` comes when a model becomes the current one, ``entered`` with Return."""

    opened = Signal(object)  # ModelEntry or None
    entered = Signal()
    delete_pressed = Signal()
    left_above = Signal()
    scrolled = Signal()

    def __init__(self, model: ModelTable) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(_Delegate(self))
        self.setAccessibleName("Models on this machine")
        self.setProperty("role", "table")
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setItemsExpandable(False)
        self.setSortingEnabled(True)
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.header().setSectionsMovable(False)
        self.header().setStretchLastSection(False)
        self.header().setHighlightSections(False)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.header().setMinimumSectionSize(0)
        self.sortByColumn(Column.NAME, Qt.SortOrder.AscendingOrder)
        self.verticalScrollBar().valueChanged.connect(lambda _: self.scrolled.emit())

    def select(self, row: int) -> None:
        self.setCurrentIndex(self.model().index(row, 0))

    def current_entry(self) -> ModelEntry | None:
        index = self.currentIndex()
        return index.data(TableRole.ENTRY) if index.isValid() else None

    def visible_entries(self) -> list[ModelEntry]:
        top = self.indexAt(self.viewport().rect().topLeft())
        entries: list[ModelEntry] = []
        n_rows = self.viewport().height() // theme.size("library-row-height") + 2
        for row in range(max(0, top.row()), min(max(0, top.row()) + n_rows, self.model().rowCount())):
            entries.append(self.model().index(row, 0).data(TableRole.ENTRY))
        return entries

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
        elif event.key() == Qt.Key.Key_Delete:
            self.delete_pressed.emit()
        elif event.key() == Qt.Key.Key_Escape or (event.key() == Qt.Key.Key_Up and self.currentIndex().row() <= 0):
            self.left_above.emit()
        else:
            super().keyPressEvent(event)

    def currentChanged(self, current: _Index, previous: _Index) -> None:
        super().currentChanged(current, previous)
        if current.row() != previous.row():
            self.opened.emit(current.data(TableRole.ENTRY) if current.isValid() else None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Columns that there is no room for go, the least telling first; the name has what is left."""
        super().resizeEvent(event)
        room = self.viewport().width() - theme.size("library-name-min-width")
        for column in _BY_WORTH:
            width = theme.size(f"library-column-{column.name.lower().replace('_', '-')}")
            is_shown = room >= width
            self.setColumnHidden(column, not is_shown)
            if is_shown:
                room -= width
                self.setColumnWidth(column, width)
        self.setColumnWidth(Column.NAME, theme.size("library-name-min-width") + max(0, room))
        self.scrolled.emit()


_BY_WORTH = (Column.SIZE, Column.VERDICT, Column.TYPE, Column.PARAMETERS, Column.LAST_USE, Column.ARCHITECTURE)


_UNUSABLE = Badge("cannot be loaded", Tone.BAD)


class _Delegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(0, theme.size("library-row-height"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        is_current = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_current:
            painter.fillRect(option.rect, theme.color("raise"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(option.rect, theme.color("hover"))
        cell = option.rect.adjusted(theme.space(2), 0, -theme.space(2), 0)
        column = Column(index.column())
        entry: ModelEntry = index.data(TableRole.ENTRY)
        if column is Column.NAME:
            self._paint_name(painter, cell, entry, str(index.data(TableRole.DETAIL)))
        elif column is Column.VERDICT:
            badge: Badge | None = index.data(TableRole.BADGE) if entry.problem is None else _UNUSABLE
            if badge is not None and badge.text:
                middle = cell.center().y() + 1
                paint_badge(painter, cell.left(), middle, badge.text, badge.tone.value, cell.width())
        else:
            side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
            _write(painter, cell, str(index.data()), "figures", "dim", side)
        painter.restore()

    def _paint_name(self, painter: QPainter, cell: QRect, entry: ModelEntry, detail: str) -> None:
        line = theme.line_height("ui")
        top = cell.top() + (cell.height() - 2 * line) // 2
        is_broken = entry.problem is not None
        left = Qt.AlignmentFlag.AlignLeft
        name = QRect(cell.left(), top, cell.width(), line)
        _write(painter, name, entry.name, "strong", "dim" if is_broken else "text", left, Qt.TextElideMode.ElideMiddle)
        _write(painter, name.translated(0, line), detail, "small", "warn" if is_broken else "dim", left)


def _write(
    painter: QPainter,
    rect: QRect,
    text: str,
    role: str,
    color: str,
    side: Qt.AlignmentFlag,
    elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
) -> None:
    font = theme.font(role)
    painter.setFont(font)
    painter.setPen(theme.color(color))
    painter.drawText(
        rect, side | Qt.AlignmentFlag.AlignVCenter, QFontMetrics(font).elidedText(text, elide, rect.width())
    )
