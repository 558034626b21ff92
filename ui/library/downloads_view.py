"""Builds the place of the downloads: a row for each, in the order of the queue."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.downloads import DownloadItem, DownloadState
from ui.library.progress import ProgressBar
from ui.library.state import StateNote
from ui.library.words import download_words
from ui.theme import theme
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.labels import ElidedLabel, label

_STOPPABLE = (DownloadState.WAITING, DownloadState.RUNNING, DownloadState.RETRYING)
_NO_ROOM = "NoRoom"


class DownloadsView(QWidget):
    """Signals carry a download's id; ``move_wanted`` with the place in the queue that it shall have."""

    pause_wanted = Signal(str)
    resume_wanted = Signal(str)
    cancel_wanted = Signal(str)
    show_wanted = Signal(str)
    room_wanted = Signal()
    move_wanted = Signal(str, int)

    def __init__(self) -> None:
        super().__init__()
        self.pause_all = TextButton("Pause all", icon_name="pause")
        self.resume_all = TextButton("Go on with all", icon_name="play")
        self.clear = TextButton("Clear finished", "ghost")
        self.note = StateNote()
        self._summary = label("", "ui", "dim")
        self._rows: dict[str, DownloadRow] = {}
        self._order: tuple[str, ...] = ()
        self._list = QVBoxLayout()
        self._list.setSpacing(theme.space(2))
        self._places = QStackedWidget()
        self._places.addWidget(self._make_area())
        self._places.addWidget(self.note)
        self.note.say("download", "There are no downloads.", "What you get in Discover is listed here.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._places)
        self.show_items(())

    def rows(self) -> Sequence[DownloadRow]:
        return [self._rows[key] for key in self._order]

    def show_items(self, items: Sequence[DownloadItem]) -> None:
        """A row stays the widget of its download, so that a focus and a press stay where they are."""
        self._drop(self._rows.keys() - {item.id for item in items})
        for index, item in enumerate(items):
            row = self._rows.get(item.id) or self._add(item.id)
            row.show_item(item, index, len(items))
        order = tuple(item.id for item in items)
        if order != self._order:
            self._order = order
            for index, key in enumerate(order):
                self._list.insertWidget(index, self._rows[key])
        states = {item.state for item in items}
        self.pause_all.setVisible(any(state in states for state in _STOPPABLE))
        self.resume_all.setVisible(DownloadState.PAUSED in states and not self.pause_all.isVisibleTo(self))
        self.clear.setVisible(DownloadState.DONE in states)
        n_left = sum(item.state is not DownloadState.DONE for item in items)
        self._summary.setText(f"{n_left} to go" if n_left else "All finished")
        self._places.setCurrentIndex(0 if items else 1)

    def _drop(self, gone: set[str]) -> None:
        for key in gone:
            row = self._rows.pop(key)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()

    def _add(self, key: str) -> DownloadRow:
        row = self._rows[key] = DownloadRow()
        row.pause.clicked.connect(lambda: (self.resume_wanted if row.is_stopped else self.pause_wanted).emit(key))
        row.cancel.clicked.connect(lambda: self.cancel_wanted.emit(key))
        row.up.clicked.connect(lambda: self.move_wanted.emit(key, self._order.index(key) - 1))
        row.down.clicked.connect(lambda: self.move_wanted.emit(key, self._order.index(key) + 1))
        row.show_model.clicked.connect(lambda: self.show_wanted.emit(key))
        row.make_room.clicked.connect(self.room_wanted)
        self._list.addWidget(row)
        return row

    def _make_area(self) -> QScrollArea:
        head = QHBoxLayout()
        head.setSpacing(theme.space(2))
        head.addWidget(self._summary, stretch=1)
        for button in (self.pause_all, self.resume_all, self.clear):
            head.addWidget(button)
        board = QWidget()
        board.setProperty("role", "clear")
        board.setMaximumWidth(theme.size("board-width"))
        column = QVBoxLayout(board)
        column.setContentsMargins(theme.space(6), theme.space(5), theme.space(6), theme.space(6))
        column.setSpacing(theme.space(3))
        column.addLayout(head)
        column.addLayout(self._list)
        column.addStretch()
        page = QWidget()
        page.setProperty("role", "page")
        sides = QHBoxLayout(page)
        sides.setContentsMargins(0, 0, 0, 0)
        sides.addWidget(board)
        area = QScrollArea()
        area.setWidget(page)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        return area


class DownloadRow(QFrame):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.is_stopped = False
        self.pause = IconButton("pause", "Pause", small=True)
        self.cancel = IconButton("x", "Cancel", small=True)
        self.up = IconButton("arrow-up", "Earlier", small=True)
        self.down = IconButton("arrow-down", "Later", small=True)
        self.show_model = TextButton("Show the model")
        self.make_room = TextButton("Make room")
        self.make_room.setToolTip("See what takes the room on this machine, the largest first")
        self._name = ElidedLabel("", "strong", elide=Qt.TextElideMode.ElideMiddle)
        self._words = ElidedLabel("", "small", "dim")
        self._problem = label("", "small", "bad", wrap=True)
        self._bar = ProgressBar("Progress")
        self._known: DownloadItem | None = None
        self._place = (-1, -1)
        self._lay_out()

    def show_item(self, item: DownloadItem, index: int, n_items: int) -> None:
        if (item, (index, n_items)) == (self._known, self._place):
            return
        self._known, self._place = item, (index, n_items)
        is_done, has_failed = item.state is DownloadState.DONE, item.state is DownloadState.FAILED
        self.is_stopped = item.state in (DownloadState.PAUSED, DownloadState.FAILED)
        self._name.setText(item.name)
        self._words.setText(download_words(item))
        self._words.setToolTip(item.repo_id)
        self._problem.setText(item.problem.sentence if item.problem is not None else "")
        self._problem.setVisible(item.problem is not None)
        self._bar.setVisible(not is_done)
        self._bar.show_fraction(item.fraction, _bar_color(item.state))
        self._show_buttons(item, is_done=is_done, has_failed=has_failed)

    @property
    def text(self) -> str:
        problem = self._problem.text() if not self._problem.isHidden() else ""
        return ", ".join(part for part in (self._name.text(), self._words.text(), problem) if part)

    def _show_buttons(self, item: DownloadItem, *, is_done: bool, has_failed: bool) -> None:
        index, n_items = self._place
        if self.is_stopped:
            icon, word = ("rotate-cw", "Try again") if has_failed else ("play", "Go on with")
        else:
            icon, word = "pause", "Pause"
        self.pause.describe(icon, f"{word}: {item.name}")
        self.pause.setVisible(not is_done and item.state is not DownloadState.CHECKING)
        self.cancel.describe("x", f"{'Take off the list' if is_done else 'Cancel'}: {item.name}")
        self.up.describe("arrow-up", f"Earlier: {item.name}")
        self.down.describe("arrow-down", f"Later: {item.name}")
        for button, can_move in ((self.up, index > 0), (self.down, index < n_items - 1)):
            button.setVisible(n_items > 1 and not is_done)
            button.setEnabled(can_move)
        self.show_model.setVisible(is_done)
        self.make_room.setVisible(item.problem is not None and item.problem.kind == _NO_ROOM)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.space(1))
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self._name)
        words.addWidget(self._words)
        head.addLayout(words, stretch=1)
        for widget in (self.make_room, self.show_model, self.up, self.down, self.pause, self.cancel):
            head.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(4), theme.space(3), theme.space(3), theme.space(3))
        layout.setSpacing(theme.space(2))
        layout.addLayout(head)
        layout.addWidget(self._bar)
        layout.addWidget(self._problem)


def _bar_color(state: DownloadState) -> str:
    if state is DownloadState.FAILED:
        return "bad"
    return "faint" if state in (DownloadState.PAUSED, DownloadState.WAITING) else "accent"
