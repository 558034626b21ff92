"""The files of a repository, a row for each quantization."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from app.downloads import DownloadItem, DownloadState
from app.hub import FileGroup, FileKind
from ui.library.progress import ProgressBar
from ui.library.ratings import Rating
from ui.library.words import KINDS, download_words, group_name, group_size
from ui.theme import theme
from ui.widgets.badge import Badge
from ui.widgets.buttons import TextButton
from ui.widgets.labels import ElidedLabel, label, rule

_GET, _PROGRESS, _HERE = range(3)
_WIDE = 4


class FileRows(QFrame):
    """``get_wanted`` and ``chosen`` carry a group: to download it, and to show what it will do here."""

    get_wanted = Signal(object)
    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setAccessibleName("Files")
        self._rows: dict[str, FileRow] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)

    def row(self, stem: str) -> FileRow | None:
        return self._rows.get(stem)

    def rows(self) -> Sequence[FileRow]:
        return list(self._rows.values())

    def show_groups(self, groups: Sequence[FileGroup], *, can_get: bool) -> None:
        self._clear()
        kind = FileKind.MODEL
        for index, group in enumerate(groups):
            if index:
                self._layout.addWidget(rule())
            if group.kind is not kind:
                kind = group.kind
                heading = label(KINDS[kind], "label", "faint")
                heading.setContentsMargins(theme.space(4), theme.space(2), theme.space(4), theme.space(1))
                self._layout.addWidget(heading)
            row = FileRow(group, can_get=can_get)
            row.get.clicked.connect(lambda _=False, group=group: self.get_wanted.emit(group))
            row.chosen.connect(lambda group=group: self.chosen.emit(group))
            self._rows[group.stem] = row
            self._layout.addWidget(row)

    def _clear(self) -> None:
        self._rows = {}
        while (item := self._layout.takeAt(0)) is not None:
            old = item.widget()
            if old is not None:
                old.hide()
                old.deleteLater()


class FileRow(QWidget):
    """``chosen`` comes with a click anywhere but on the button, and when the button gets the focus."""

    chosen = Signal()

    def __init__(self, group: FileGroup, *, can_get: bool) -> None:
        super().__init__()
        self.group = group
        self.get = TextButton("Get", icon_name="download")
        self.badge = Badge()
        self._mark = Badge()
        self._problem = ElidedLabel("", "small", "warn")
        self._bar = ProgressBar(f"Download of {group_name(group)}")
        self._words = ElidedLabel("", "small", "dim")
        self._end = QStackedWidget()
        self.setFixedHeight(theme.size("library-file-height"))
        self.get.setAccessibleName(f"Get {group_name(group)}, {group_size(group)}")
        self.get.setToolTip("\n".join(part.path for part in group.parts[:4]))
        self.get.setEnabled(can_get and group.problem is None)
        if group.problem is not None:
            self._problem.setText(group.problem.sentence)
        self._lay_out()

    def show_rating(self, rating: Rating, *, is_recommended: bool) -> None:
        self.badge.show_badge(rating.badge.text, rating.badge.tone.value, rating.badge.tooltip)
        self._mark.show_badge("recommended" if is_recommended else "", "ok", "The best choice for this machine")
        if self._end.currentIndex() == _PROGRESS:
            self._mark.hide()

    def say(self, words: str) -> None:
        """What is known before the rating is."""
        self.badge.show_badge(words)

    def show_download(self, item: DownloadItem | None, *, is_here: bool) -> None:
        if item is None or item.state is DownloadState.DONE:
            done = is_here or item is not None
            self._end.setCurrentIndex(_HERE if done else _GET)
            self._line.setStretchFactor(self._end, 0)
            self._mark.setVisible(bool(self._mark.text()))
            return
        self._end.setCurrentIndex(_PROGRESS)
        self._bar.show_fraction(item.fraction, "bad" if item.state is DownloadState.FAILED else "accent")
        self._words.setText(download_words(item))
        self._mark.hide()
        self._line.setStretchFactor(self._end, _WIDE)
        if item.problem is not None:
            self._words.setToolTip(item.problem.sentence)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.chosen.emit()

    def text(self) -> str:
        """What it says."""
        end = self._words.text() if self._end.currentIndex() == _PROGRESS else ""
        here = "here" if self._end.currentIndex() == _HERE else ""
        parts = (group_name(self.group), group_size(self.group), self.badge.text(), self._mark.text(), end, here)
        return ", ".join(part for part in (*parts, self._problem.text()) if part)

    def _lay_out(self) -> None:
        name = ElidedLabel(group_name(self.group), "code", elide=Qt.TextElideMode.ElideMiddle)
        name.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        name.setFixedWidth(theme.size("library-type-width"))
        size = label(group_size(self.group), "figures", "dim")
        size.setMinimumWidth(theme.size("library-size-width"))
        layout = self._line = QHBoxLayout(self)
        layout.setContentsMargins(theme.space(4), theme.space(2), theme.space(4), theme.space(2))
        layout.setSpacing(theme.space(3))
        layout.addWidget(name)
        layout.addWidget(size)
        layout.addWidget(self.badge)
        layout.addWidget(self._mark)
        layout.addWidget(self._problem, stretch=1)
        layout.addWidget(self._end)
        self._end.addWidget(_at_right(self.get))
        self._end.addWidget(_at_right(self._bar, self._words, last_grows=True))
        self._end.addWidget(_at_right(label("On this machine", "small", "ok")))


def _at_right(*widgets: QWidget, last_grows: bool = False) -> QWidget:
    box = QWidget()
    box.setProperty("role", "clear")
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.space(3))
    if not last_grows:
        layout.addStretch()
    for widget in widgets:
        layout.addWidget(widget, stretch=1 if last_grows and widget is widgets[-1] else 0)
    return box
