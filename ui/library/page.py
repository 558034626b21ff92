"""Puts the places of the library together: what one of them asks of another."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from app.downloads import DownloadItem, DownloadState
from app.library import ModelEntry
from app.services import Services
from ui.errors import describe
from ui.library.discover import DiscoverControl
from ui.library.imports import ImportControl
from ui.library.models import ModelsControl
from ui.library.relay import DownloadsFeed, LibraryFeed
from ui.library.repository import RepositoryControl
from ui.library.view import DISCOVER, DOWNLOADS, MODELS, LibraryView
from ui.tasks import Operation
from ui.widgets.banner import BannerText, details_action


class LibraryPage(QObject):
    """``load_wanted`` carries the id of a model that the user wants to chat with."""

    load_wanted = Signal(str)

    def __init__(self, view: LibraryView, services: Services, downloads: DownloadsFeed) -> None:
        super().__init__(view)
        self._view = view
        self._services = services
        self._feed = downloads
        self._has_started = False
        self._queue = services.io.serial("library")
        plans = services.io.serial("plans")
        self.models_feed = LibraryFeed(services.library, self)
        view.destroyed.connect(self.models_feed.close)
        finder = view.discover.finder
        self._discover = DiscoverControl(finder, services.hub, services.planner, services.library, self._queue)
        self._repository = RepositoryControl(
            view.discover.repository,
            services.hub,
            services.planner,
            services.downloads,
            services.library,
            (downloads, self.models_feed),
            self._queue,
        )
        imports = ImportControl(view.models, services.importer, self._queue)
        self._models = ModelsControl(
            view.models,
            services.library,
            services.upkeep,
            imports,
            services.planner,
            self.models_feed,
            (self._queue, plans),
        )
        self._connect()

    def _connect(self) -> None:
        view, downloads = self._view, self._services.downloads
        self._discover.repository_wanted.connect(self._repository.open)
        self._discover.local_wanted.connect(self._show_model)
        self._models.counted.connect(view.show_n_models)
        self._models.load_wanted.connect(self.load_wanted)
        view.shown.connect(self._on_shown)
        view.place_opened.connect(self._on_place)
        rows = view.downloads
        rows.pause_wanted.connect(lambda key: self._do(lambda: downloads.pause(key)))
        rows.resume_wanted.connect(lambda key: self._do(lambda: downloads.resume(key)))
        rows.cancel_wanted.connect(lambda key: self._do(lambda: downloads.cancel(key)))
        rows.move_wanted.connect(lambda key, place: self._do(lambda: downloads.move(key, place)))
        rows.pause_all.clicked.connect(lambda: self._do(downloads.pause_all))
        rows.resume_all.clicked.connect(lambda: self._do(downloads.resume_all))
        rows.clear.clicked.connect(lambda: self._do(downloads.clear_finished))
        rows.show_wanted.connect(self._show_downloaded)
        rows.room_wanted.connect(self._make_room)
        self._feed.changed.connect(self._show_downloads)
        self._show_downloads(self._feed.items)

    def _on_shown(self, is_shown: bool) -> None:
        if not is_shown:
            self._discover.pause()
            self._models.pause()
            return
        self._services.library.refresh()
        self._models.refresh()
        if not self._has_started:
            self._has_started = True
            self._discover.start()
        self._discover.resume()

    def _on_place(self, place: int) -> None:
        if place == MODELS:
            self._models.refresh()
        if place == DISCOVER:
            self._discover.resume()
        else:
            self._discover.pause()
        self._view.focus()

    def _show_downloads(self, items: tuple[DownloadItem, ...]) -> None:
        self._view.downloads.show_items(items)
        self._view.show_n_downloads(sum(item.state is not DownloadState.DONE for item in items))

    def _do(self, verb: Callable[[], object]) -> None:
        Operation(verb, owner=self).failure(self._show_error).run(self._queue)

    def _show_model(self, model_id: str) -> None:
        self._view.open_place(MODELS)
        self._models.show_model(model_id)

    def _show_downloaded(self, download_id: str) -> None:
        item = next((item for item in self._feed.items if item.id == download_id), None)
        if item is None:
            return

        def found(entries: list[ModelEntry]) -> None:
            entry = next((entry for entry in entries if entry.path in item.paths), None)
            self._view.open_place(MODELS)
            if entry is not None:
                self._models.show_model(entry.id)

        Operation(self._services.library.known, owner=self).success(found).run(self._queue)

    def _make_room(self) -> None:
        self._view.open_place(MODELS)
        self._models.sort_by_size()

    def open_downloads(self) -> None:
        self._view.open_place(DOWNLOADS)

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        content = BannerText(info.text, info.hint)
        self._view.banners.show_banner("library", content, *details_action(self._view.window(), info))
