"""The library's place in the window: its page, made when it is first opened, and the ring in the rail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from ui.library.relay import DownloadsFeed
from ui.library.words import queue_words
from ui.widgets.rail import ProgressSign

if TYPE_CHECKING:
    from app.downloads import DownloadItem
    from app.services import Services
    from ui.library.view import LibraryView


class LibraryPlace(QObject):
    """``load_wanted`` carries the id of a model that the user wants to chat with."""

    load_wanted = Signal(str)

    def __init__(self, services: Services, sign: ProgressSign, parent: QObject) -> None:
        super().__init__(parent)
        self._services = services
        self._sign = sign
        self._view: LibraryView | None = None
        self._feed = DownloadsFeed(services.downloads, self)
        self._feed.changed.connect(self._show_downloads)
        self._show_downloads(self._feed.items)

    @property
    def known_view(self) -> LibraryView | None:
        """The page, if it was ever opened."""
        return self._view

    @property
    def view(self) -> LibraryView:
        if self._view is None:
            from ui.library.page import LibraryPage
            from ui.library.view import LibraryView

            self._view = LibraryView()
            LibraryPage(self._view, self._services, self._feed).load_wanted.connect(self.load_wanted)
        return self._view

    def _show_downloads(self, items: tuple[DownloadItem, ...]) -> None:
        words, fraction, has_failed = queue_words(items)
        self._sign.show_progress(fraction, words, "bad" if has_failed else "accent")
