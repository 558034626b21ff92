"""News of services, from whatever thread they come, on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal

from app.downloads import DownloadItem, Downloads
from app.library import Library


class DownloadsFeed(QObject):
    """``changed`` carries all downloads, in the order of their queue."""

    changed = Signal(object)  # tuple[DownloadItem, ...]

    _told = Signal(object)

    def __init__(self, downloads: Downloads, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._told.connect(self._apply, Qt.ConnectionType.QueuedConnection)
        self._items = downloads.items()
        self._unsubscribe: Callable[[], None] = downloads.subscribe(self._told.emit)

    @property
    def items(self) -> tuple[DownloadItem, ...]:
        return self._items

    def close(self) -> None:
        """Tell nothing more."""
        self._unsubscribe()

    def _apply(self, items: tuple[DownloadItem, ...]) -> None:
        if items != self._items:
            self._items = items
            self.changed.emit(items)


class LibraryFeed(QObject):
    """``changed``: the list of models is another one."""

    changed = Signal()

    _told = Signal()

    def __init__(self, library: Library, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._told.connect(self.changed, Qt.ConnectionType.QueuedConnection)
        self._unsubscribe: Callable[[], None] = library.subscribe(self._told.emit)

    def close(self) -> None:
        """Tell nothing more."""
        self._unsubscribe()
