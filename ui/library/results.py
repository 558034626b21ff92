"""What the search found, as rows: a name, what it will do on this machine, and a quiet line of facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.plans import Badge
from ui.theme import theme

_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Found:
    """``key`` is a repository's id or, where ``is_local``, a model's. ``label`` is the file that is meant, if any."""

    key: str
    title: str
    detail: str
    is_local: bool = False
    label: str = ""
    tooltip: str = ""


class FoundRole(IntEnum):
    FOUND = Qt.ItemDataRole.UserRole
    BADGE = Qt.ItemDataRole.UserRole + 1


class ResultModel(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Found] = []
        self._badges: dict[str, Badge] = {}

    @property
    def rows(self) -> Sequence[Found]:
        return self._rows

    def show_rows(self, rows: Sequence[Found]) -> None:
        """Badges that are known stay known."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def show_badge(self, key: str, badge: Badge) -> None:
        self._badges[key] = badge
        for row, found in enumerate(self._rows):
            if found.key == key:
                self.dataChanged.emit(self.index(row), self.index(row))

    def has_badge(self, key: str) -> bool:
        return key in self._badges

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        found = self._rows[index.row()]
        badge = self._badges.get(found.key)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return found.title
            case Qt.ItemDataRole.AccessibleTextRole:
                return ", ".join(part for part in (found.title, badge.text if badge else "", found.detail) if part)
            case Qt.ItemDataRole.ToolTipRole:
                return badge.tooltip if badge is not None and badge.tooltip else found.tooltip or found.key
            case FoundRole.FOUND:
                return found
            case FoundRole.BADGE:
                return badge
        return None


class ResultList(QListView):
    """``opened`` comes when a row becomes the current one; ``entered`` when the user goes on into it.

    ``left_above`` comes when the user goes up beyond the first row.
    """

    opened = Signal(object)  # Found
    entered = Signal()
    left_above = Signal()
    left = Signal()

    def __init__(self, model: ResultModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(_ResultDelegate(self))
        self.setAccessibleName("Models found")
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self.clicked.connect(self._open)

    def visible_rows(self) -> range:
        """The rows that can be seen, and one more."""
        height = theme.size("library-result-height")
        first = self.verticalScrollBar().value() // height
        last = first + self.viewport().height() // height + 2
        return range(first, min(last, self.model().rowCount()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Right):
            self._open(self.currentIndex())
            self.entered.emit()
        elif event.key() == Qt.Key.Key_Up and self.currentIndex().row() <= 0:
            self.left_above.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def currentChanged(self, current: _Index, previous: _Index) -> None:
        super().currentChanged(current, previous)
        if current.isValid() and self.hasFocus():
            self._open(current)

    def _open(self, index: _Index) -> None:
        if index.isValid():
            self.opened.emit(index.data(FoundRole.FOUND))


class _ResultDelegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(0, theme.size("library-result-height"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        shown = option.state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver)
        ground = option.rect.adjusted(0, 0, 0, -theme.space(1) // 2)
        if shown:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("raise" if option.state & QStyle.StateFlag.State_Selected else "hover"))
            painter.drawRoundedRect(ground, theme.size("radius-control"), theme.size("radius-control"))
        found: Found = index.data(FoundRole.FOUND)
        badge: Badge | None = index.data(FoundRole.BADGE)
        words = ground.adjusted(theme.space(3), 0, -theme.space(3), 0)
        line = theme.line_height("ui")
        top = words.top() + (words.height() - 2 * line) // 2
        _line(painter, QRect(words.left(), top, words.width(), line), found.title, "strong", "text")
        below = QRect(words.left(), top + line, words.width(), line)
        if badge is not None and badge.text:
            below.setLeft(below.left() + _line(painter, below, f"{badge.text}  ·  ", "small", badge.tone.value))
        _line(painter, below, found.detail, "small", "dim")
        painter.restore()


def _line(painter: QPainter, rect: QRect, text: str, role: str, color: str) -> int:
    """Returns how wide it is."""
    font = theme.font(role)
    painter.setFont(font)
    painter.setPen(theme.color(color))
    shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter, shown)
    return QFontMetrics(font).horizontalAdvance(shown)
