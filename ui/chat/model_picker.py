"""The popup under the model chip: the models of this machine and of servers, more of both, and unloading."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QListView,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
)

from app.library import Source
from ui.models.library import ModelListModel, ModelRole
from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.icons import icon, paint_icon
from ui.widgets.labels import label, rule

_Index = QModelIndex | QPersistentModelIndex
_PROBLEM_FLAGS = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignTop


class ModelPicker(QFrame):
    """The popup's card. Signals carry what the user picked; the popup closes itself."""

    picked = Signal(str)
    removed = Signal(str)
    file_wanted = Signal()
    server_wanted = Signal()
    edit_wanted = Signal(str)  # the server of this model
    unload_wanted = Signal()
    how_wanted = Signal(object)  # the ModelEntry whose loading is to be looked at

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setAccessibleName("Models")
        self.models = ModelListModel()
        self.list = ModelList(self.models)
        self._empty = label("There is no model on this machine yet.", "ui", "dim", wrap=True)
        self._empty.setContentsMargins(theme.space(3), theme.space(3), theme.space(3), theme.space(3))
        self._open = TextButton("Open a model file", "ghost", "folder-open")
        self._add_server = TextButton("Add a server", "ghost", "cloud")
        self._add_server.setToolTip("Use a model that another machine runs")
        self._unload = TextButton("Unload", "ghost")
        self._how = IconButton("sliders-horizontal", "How the chosen model is loaded", keys="F2")
        self._lay_out()
        self.list.picked.connect(self.picked)
        self.list.removed.connect(self.removed)
        self.list.edit_wanted.connect(self.edit_wanted)
        self._add_server.clicked.connect(self.server_wanted)
        self._open.clicked.connect(self.file_wanted)
        self._unload.clicked.connect(self.unload_wanted)
        self._how.clicked.connect(lambda: self.list.ask_how(self.list.currentIndex()))
        self.list.how_wanted.connect(self.how_wanted)
        self.list.selectionModel().currentChanged.connect(
            lambda now, _before: self._how.setEnabled(can_be_planned(now))
        )
        self.models.modelReset.connect(self._on_models_changed)
        self._on_models_changed()

    def set_can_unload(self, can_unload: bool, is_remote: bool = False) -> None:
        self._unload.setVisible(can_unload)
        self._unload.setText("Disconnect" if is_remote else "Unload")
        self._unload.setToolTip("Send this server nothing more" if is_remote else "Give the model's memory back")

    def select_first(self) -> None:
        row = self.models.first_row_to_pick()
        if row is not None:
            self.list.setCurrentIndex(self.models.index(row))

    def sizeHint(self) -> QSize:
        around = self._open.sizeHint().height() + 2 * theme.space(2) + 2 * theme.space(1) + 3 * theme.size("line-width")
        height = self.list.content_height() if self.models.rowCount() else self._empty.sizeHint().height()
        return QSize(theme.size("popup-width"), min(height + around, theme.size("popup-height")))

    def _on_models_changed(self) -> None:
        has_models = self.models.rowCount() > 0
        self.list.setVisible(has_models)
        self._empty.setVisible(not has_models)
        self.select_first()
        self._how.setEnabled(can_be_planned(self.list.currentIndex()))
        self.updateGeometry()

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        foot.setSpacing(0)
        foot.addWidget(self._open)
        foot.addWidget(self._add_server)
        foot.addStretch()
        foot.addWidget(self._how)
        foot.addWidget(self._unload)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[theme.space(2)] * 4)
        layout.setSpacing(theme.space(1))
        layout.addWidget(self.list, stretch=1)
        layout.addWidget(self._empty)
        layout.addWidget(rule())
        layout.addLayout(foot)


class ModelList(QListView):
    """Return or a click picks what can be loaded; Delete or the menu takes what was added out of the list.

    F2 or the menu edits the server of a model, or shows how a model of this machine is loaded.
    """

    picked = Signal(str)
    removed = Signal(str)
    edit_wanted = Signal(str)
    how_wanted = Signal(object)

    def __init__(self, model: ModelListModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(_ModelDelegate(self))
        self.setAccessibleName("Models")
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.clicked.connect(self._pick)

    def content_height(self) -> int:
        return sum(self.sizeHintForIndex(self.model().index(row, 0)).height() for row in range(self.model().rowCount()))

    def event(self, event: QEvent) -> bool:
        """The window has a use for F2 as well; here it is the list's."""
        is_override = event.type() is QEvent.Type.ShortcutOverride
        if is_override and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_F2:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._pick(self.currentIndex())
        elif event.key() == Qt.Key.Key_Delete:
            self._remove(self.currentIndex())
        elif event.key() == Qt.Key.Key_F2:
            self._edit(self.currentIndex())
            self.ask_how(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _pick(self, index: QModelIndex) -> None:
        if index.isValid() and not index.data(ModelRole.PROBLEM):
            self.picked.emit(index.data(ModelRole.ENTRY).id)

    def _remove(self, index: QModelIndex) -> None:
        if index.isValid() and _was_added(index):
            self.removed.emit(index.data(ModelRole.ENTRY).id)

    def _edit(self, index: QModelIndex) -> None:
        if index.isValid() and index.data(ModelRole.IS_REMOTE):
            self.edit_wanted.emit(index.data(ModelRole.ENTRY).id)

    def ask_how(self, index: QModelIndex) -> None:
        if can_be_planned(index):
            self.how_wanted.emit(index.data(ModelRole.ENTRY))

    def _show_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        if index.isValid() and (_was_added(index) or can_be_planned(index)):
            menu = QMenu(self)
            if can_be_planned(index):
                menu.addAction(icon("sliders-horizontal", "dim"), "How it is loaded", lambda: self.ask_how(index))
            if index.data(ModelRole.IS_REMOTE):
                menu.addAction(icon("pencil", "dim"), "Edit the server", lambda: self._edit(index))
            if _was_added(index):
                menu.addAction(icon("trash-2", "dim"), "Remove from the list", lambda: self._remove(index))
            menu.aboutToHide.connect(menu.deleteLater)
            menu.popup(self.viewport().mapToGlobal(at))


def can_be_planned(index: QModelIndex) -> bool:
    """Whether it is a usable model of this machine."""
    return index.isValid() and not index.data(ModelRole.IS_REMOTE) and not index.data(ModelRole.PROBLEM)


def _was_added(index: QModelIndex) -> bool:
    """Whether the user brought it into the list, and so can take it out."""
    return bool(index.data(ModelRole.IS_REMOTE)) or index.data(ModelRole.ENTRY).source is Source.LINKED


class _ModelDelegate(QStyledItemDelegate):
    """A name and a quiet line of facts; for a model that cannot be used, the reason in full."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        problem = index.data(ModelRole.PROBLEM)
        if not problem:
            return QSize(0, theme.size("model-row-height"))
        width = theme.size("popup-width") - theme.space(4) - theme.space(12)
        wrapped = QFontMetrics(theme.font("small")).boundingRect(QRect(0, 0, width, 0), _PROBLEM_FLAGS, problem)
        return QSize(0, theme.line_height("ui") + wrapped.height() + theme.space(5))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ground(painter, option)
        words = option.rect.adjusted(theme.space(3), theme.space(2), -theme.space(9), -theme.space(2))
        problem = index.data(ModelRole.PROBLEM)
        self._paint_name(painter, words, index, "dim" if problem else "text")
        below = words.adjusted(0, theme.line_height("ui"), 0, 0)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.color("warn" if problem else "dim"))
        self._paint_below(painter, below, index)
        self._paint_sign(painter, option.rect, "triangle-alert" if problem else "check", index)
        painter.restore()

    def _paint_below(self, painter: QPainter, rect: QRect, index: _Index) -> None:
        problem = index.data(ModelRole.PROBLEM)
        if problem:
            painter.drawText(rect, _PROBLEM_FLAGS, problem)
        else:
            shown = painter.fontMetrics().elidedText(
                index.data(ModelRole.DETAIL), Qt.TextElideMode.ElideRight, rect.width()
            )
            painter.drawText(rect, Qt.AlignmentFlag.AlignTop, shown)

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> None:
        shown = option.state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver)
        if shown:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("raise" if option.state & QStyle.StateFlag.State_Selected else "hover"))
            painter.drawRoundedRect(option.rect, theme.size("radius-control"), theme.size("radius-control"))

    def _paint_name(self, painter: QPainter, rect: QRect, index: _Index, color: str) -> None:
        if index.data(ModelRole.IS_REMOTE):
            side = theme.size("icon-small")
            top = rect.top() + (theme.line_height("ui") - side) / 2
            paint_icon(painter, QRectF(rect.left(), top, side, side), "cloud", theme.color("dim"))
            rect = rect.adjusted(side + theme.space(2), 0, 0, 0)
        font = theme.font("strong")
        painter.setFont(font)
        painter.setPen(theme.color(color))
        shown = QFontMetrics(font).elidedText(index.data(), Qt.TextElideMode.ElideMiddle, rect.width())
        line = QRect(rect.left(), rect.top(), rect.width(), theme.line_height("ui"))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, shown)

    def _paint_sign(self, painter: QPainter, row: QRect, name: str, index: _Index) -> None:
        problem = name == "triangle-alert"
        if problem or index.data(ModelRole.IS_CURRENT):
            side = theme.size("icon-small")
            left = row.right() - theme.space(3) - side
            rect = QRectF(left, row.top() + theme.space(2) + theme.space(1) / 2, side, side)
            paint_icon(painter, rect, name, theme.color("warn" if problem else "accent"))
