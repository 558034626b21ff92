"""Builds the place of the models that are here: a table with a search above it, and one model in full beside it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from ui.library.details import DetailsPane
from ui.library.state import StateNote
from ui.library.table import ModelTable, TableView
from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.labels import label
from ui.widgets.search_field import SearchField


class ModelsView(QWidget):
    """``dropped`` carries the paths of what was dropped here."""

    dropped = Signal(object)  # tuple[Path, ...]

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.search = SearchField("Filter the models")
        self.search.setToolTip("Name, architecture, type or place (/)")
        self.import_models = TextButton("Import", icon_name="plus")
        self.duplicates = TextButton("Find duplicates", "ghost")
        self.duplicates.setToolTip("Compare files of equal size by what is in them")
        self.stop = IconButton("x", "Stop", small=True)
        self.busy = label("", "small", "dim")
        self.table = ModelTable()
        self.list = TableView(self.table)
        self.details = DetailsPane()
        self.note = StateNote()
        self.count = label("", "small", "dim")
        self._places = QStackedWidget()
        self._veil = _DropVeil(self)
        self._lay_out()
        self.show_busy("")

    def show_count(self) -> None:
        """How many there are, how many of them are shown, and what they take."""
        n_all, n_shown = len(self.table.entries), self.table.rowCount()
        total = sum(entry.size_bytes for entry in self.table.entries)
        models = "1 model" if n_all == 1 else f"{n_all:,} models"
        shown = f"{n_shown:,} of {models}" if n_shown != n_all else models
        self.count.setText(f"{shown} · {total / 1e9:,.1f} GB" if n_all else "")
        if n_all and not n_shown:
            self.note.say("search", "No model matches.", "Escape clears the filter.")
        self._places.setCurrentIndex(0 if n_shown else 1)

    def show_busy(self, words: str) -> None:
        """What goes on in the background, with a button that ends it; nothing hides both."""
        self.busy.setText(words)
        self.busy.setVisible(bool(words))
        self.stop.setVisible(bool(words))
        self.duplicates.setVisible(not words)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _paths(event):
            event.acceptProposedAction()
            self._veil.cover()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._veil.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self._veil.hide()
        event.acceptProposedAction()
        self.dropped.emit(_paths(event))

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setContentsMargins(theme.space(4), theme.space(4), theme.space(4), theme.space(2))
        bar.setSpacing(theme.space(2))
        self.search.setMaximumWidth(theme.size("library-search-width"))
        bar.addWidget(self.search, stretch=1)
        bar.addSpacing(theme.space(2))
        bar.addWidget(self.count)
        bar.addStretch()
        for widget in (self.busy, self.stop, self.duplicates, self.import_models):
            bar.addWidget(widget)
        self._places.addWidget(self.list)
        self._places.addWidget(self.note)
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addLayout(bar)
        self.banners = BannerArea()
        left.addWidget(self.banners)
        inset = QHBoxLayout()
        inset.setContentsMargins(theme.space(2), 0, 0, 0)
        inset.addWidget(self._places)
        left.addLayout(inset, stretch=1)
        edge = QFrame()
        edge.setProperty("role", "edge")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(left, stretch=1)
        layout.addWidget(edge)
        layout.addWidget(self.details)


class _DropVeil(QWidget):
    """Over the place while something is dragged above it."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def cover(self) -> None:
        self.setGeometry(self._host.rect())
        self.raise_()
        self.show()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), theme.color("veil"))
        inner = self.rect().adjusted(theme.space(3), theme.space(3), -theme.space(3), -theme.space(3))
        painter.setPen(QPen(theme.color("accent"), theme.exact_size("focus-width"), Qt.PenStyle.DashLine))
        painter.setBrush(theme.color("soft"))
        painter.drawRoundedRect(inner, theme.size("radius-card"), theme.size("radius-card"))
        painter.setPen(theme.color("text"))
        painter.setFont(theme.font("heading"))
        words = "Drop model files or folders here. They stay where they are."
        painter.drawText(inner, Qt.AlignmentFlag.AlignCenter, words)


def _paths(event: QDropEvent) -> tuple[Path, ...]:
    return tuple(Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile())
