"""Builds the place where models are looked for: a column with the search and what it found, and a page beside it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.hub import HubQuery, Sort, Task
from ui.library.repository_view import RepositoryView
from ui.library.results import ResultList, ResultModel
from ui.library.state import StateNote
from ui.library.words import SORTS, TASKS
from ui.theme import theme
from ui.widgets.buttons import CheckBox
from ui.widgets.icons import paint_icon
from ui.widgets.labels import label
from ui.widgets.search_field import SearchField


class Finder(QWidget):
    """The column. ``changed`` comes with every change of what is looked for."""

    changed = Signal()
    resized = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "sidebar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.search = SearchField("Search the hub")
        self.search.setToolTip("Words, or the address of a model's page (/)")
        self.author = QLineEdit()
        self.author.setPlaceholderText("Any author")
        self.author.setAccessibleName("Author")
        self.sort = _choice("Order", list(SORTS.values()))
        self.task = _choice("Task", list(TASKS.values()))
        self.runnable = CheckBox("Only what runs here")
        self.runnable.setChecked(True)
        self.runnable.setToolTip(
            "Leaves out what has no GGUF file, and families of models that this version cannot run"
        )
        self.machine = label("", "small", "dim")
        self.results = ResultModel()
        self.list = ResultList(self.results)
        self.note = StateNote()
        self._heading = label("", "label", "faint")
        self._places = QStackedWidget()
        self._lay_out()
        for changed in (self.search.textChanged, self.author.textChanged, self.runnable.toggled):
            changed.connect(lambda *_: self.changed.emit())
        for choice in (self.sort, self.task):
            choice.currentIndexChanged.connect(lambda _: self.changed.emit())

    def query(self) -> HubQuery:
        return HubQuery(
            self.search.text().strip(),
            self.author.text().strip(),
            list(SORTS)[self.sort.currentIndex()],
            list(TASKS)[self.task.currentIndex()],
            self.runnable.isChecked(),
        )

    @property
    def is_untouched(self) -> bool:
        """Whether nothing is looked for."""
        return self.query() == HubQuery(sort=Sort.TRENDING, task=_no_task(), only_runnable=self.runnable.isChecked())

    def show_list(self, heading: str) -> None:
        self._heading.setText(heading)
        self._heading.setVisible(bool(heading))
        self._places.setCurrentWidget(self.list)
        self.note.hide()

    def show_note_above(self) -> None:
        """The note says why there is only what the list shows."""
        self.note.show()

    def show_note(self) -> None:
        """The note instead of the list."""
        self._heading.hide()
        self._places.setCurrentIndex(1)
        self.note.show()

    def heading(self) -> str:
        return self._heading.text() if not self._heading.isHidden() else ""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def _lay_out(self) -> None:
        filters = QHBoxLayout()
        filters.setSpacing(theme.space(2))
        filters.addWidget(self.sort, stretch=1)
        filters.addWidget(self.task, stretch=1)
        more = QHBoxLayout()
        more.setSpacing(theme.space(2))
        more.addWidget(self.author, stretch=1)
        more.addWidget(self.runnable)
        self._places.addWidget(self.list)
        self._places.addWidget(QWidget())
        self._heading.setContentsMargins(theme.space(2), theme.space(1), 0, 0)
        self.machine.setContentsMargins(theme.space(1) // 2, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(4), theme.space(4), theme.space(4), theme.space(2))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self.search)
        layout.addLayout(filters)
        layout.addLayout(more)
        layout.addWidget(self.machine)
        layout.addWidget(self.note)
        layout.addWidget(self._heading)
        layout.addWidget(self._places, stretch=1)
        self.note.hide()
        self._heading.hide()
        self.machine.hide()


class DiscoverView(QWidget):
    """The column takes a third of a narrow window, and no more than it has use for."""

    def __init__(self) -> None:
        super().__init__()
        self.finder = Finder()
        self.repository = RepositoryView()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        edge = QFrame()
        edge.setProperty("role", "edge")
        layout.addWidget(self.finder)
        layout.addWidget(edge)
        layout.addWidget(self.repository, stretch=1)
        self.finder.list.entered.connect(self.repository.focus)
        self.repository.left.connect(self.finder.list.setFocus)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        least, most = theme.size("library-column-min-width"), theme.size("library-column-width")
        self.finder.setFixedWidth(max(least, min(most, self.width() * 3 // 10)))


class _Choice(QComboBox):
    """With its arrow painted here, because a style sheet cannot recolour one."""

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        side = theme.size("icon-small")
        place = QRectF(self.width() - side - theme.space(2), (self.height() - side) / 2, side, side)
        paint_icon(QPainter(self), place, "chevron-down", theme.color("dim"))


def _choice(name: str, words: list[str]) -> QComboBox:
    made = _Choice()
    made.addItems(words)
    made.setAccessibleName(name)
    made.setToolTip(name)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def _no_task() -> Task | None:
    return None
