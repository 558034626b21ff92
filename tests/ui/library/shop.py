"""The library's page as a person uses it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from app.downloads import DownloadState
from tests.doubles.hub_server import HubServer
from tests.ui.world import World
from ui.library.file_rows import FileRow
from ui.library.results import FoundRole
from ui.library.view import LibraryView

PATIENCE_MS = 20_000


class Shop:
    def __init__(self, world: World, hub: HubServer) -> None:
        self.world = world
        self.hub = hub
        world.settings.update(hub_endpoint=hub.endpoint)
        world.start(loaded=False)
        world.press(world.window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
        self.view: LibraryView = world.window.findChild(LibraryView)
        self.settle()

    @property
    def finder(self) -> QWidget:
        return self.view.discover.finder

    def settle(self) -> None:
        """Wait until the disk's queues have told what they found."""
        for _ in range(3):
            for name in ("library", "plans"):
                self.world.io.serial(name).submit(lambda: None).result()
                self.world.settle()

    def until(self, is_so: object) -> None:
        self.world.qtbot.waitUntil(is_so, timeout=PATIENCE_MS)

    def rows(self) -> list[str]:
        return [found.title for found in self.view.discover.finder.results.rows]

    def verdict(self, row: int) -> str | None:
        badge = self.view.discover.finder.results.index(row).data(FoundRole.BADGE)
        return badge.text if badge is not None else None

    def search(self, text: str) -> None:
        self.world.qtbot.keyClicks(self.view.discover.finder.search, text)

    def find(self, text: str, name: str) -> None:
        """Search, go down into the results with the keyboard, and wait for the page of the first."""
        self.search(text)
        self.until(lambda: self.rows()[:1] == [name])
        self.world.press(self.view.discover.finder.search, Qt.Key.Key_Down)
        self.until(lambda: self.view.discover.repository.currentIndex() == 1)

    def files(self) -> list[FileRow]:
        return list(self.view.discover.repository.files.rows())

    def said(self, widget: QWidget | None = None) -> str:
        """All words that can be seen."""
        labels = (widget or self.view).findChildren(QLabel)
        return "\n".join(label.text() for label in labels if label.isVisible() and label.text())

    def states(self) -> list[DownloadState]:
        return [item.state for item in self.world.downloads.items()]
