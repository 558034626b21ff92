"""Decides what the page of a repository shows and does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from PySide6.QtCore import QObject

from app.downloads import DownloadItem, Downloads, NoRoom
from app.hub import FileGroup, FileKind, Hub, HubError, Repository, TokenPlace
from app.jobs import CancelToken
from app.library import Library, ModelEntry
from app.plans import Planner
from app.remote.keys import KeyringUnavailable
from engine.errors import ErrorInfo
from ui.errors import describe
from ui.library.links import ask_to_open
from ui.library.ratings import Rating, rate, recommended, usual_group
from ui.library.relay import DownloadsFeed, LibraryFeed
from ui.library.repository_view import RepositoryView
from ui.library.words import group_name
from ui.tasks import Operation


class RepositoryControl(QObject):
    """Verdicts come one after the other, the usual file's first. Work for the disk runs in order on ``queue``."""

    def __init__(
        self,
        view: RepositoryView,
        hub: Hub,
        planner: Planner,
        downloads: Downloads,
        library: Library,
        feeds: tuple[DownloadsFeed, LibraryFeed],
        queue: Executor,
    ) -> None:
        super().__init__(view)
        self._view = view
        self._hub = hub
        self._planner = planner
        self._downloads = downloads
        self._library = library
        self._feed, library_feed = feeds
        self._queue = queue
        self._token = CancelToken()
        self._wanted: tuple[str, str] = ("", "")
        self._repository: Repository | None = None
        self._ratings: dict[str, Rating] = {}
        self._here: frozenset[tuple[str, str]] = frozenset()
        self._chosen: FileGroup | None = None
        self._feed.changed.connect(lambda _: self._show_downloads())
        library_feed.changed.connect(self._look_here)
        view.files.get_wanted.connect(self._get)
        view.files.chosen.connect(self._choose)
        view.browser.clicked.connect(self._open_page)
        view.card.link_activated.connect(lambda address: ask_to_open(view, address))
        view.gate.page_wanted.connect(self._open_page)
        view.gate.again_wanted.connect(self._reload)
        view.gate.token_given.connect(self._sign_in)

    def open(self, repo_id: str, label: str = "") -> None:
        """Show a repository; ``label`` is the file that is meant."""
        if repo_id == self._wanted[0] and self._repository is not None:
            return
        self._wanted = (repo_id, label)
        self._token.cancel()
        self._token = token = CancelToken()
        self._repository = None
        self._ratings = {}
        self._view.say(f"Opening {repo_id} ...")
        asked = Operation(lambda: self._hub.repository(repo_id, cancel=token), owner=self)
        asked.success(lambda found: self._show(found, token)).failure(lambda error: self._show_failure(error, token))
        asked.run(self._hub.executor)

    def _reload(self) -> None:
        self._repository = None
        self.open(*self._wanted)

    def _show(self, repository: Repository, token: CancelToken) -> None:
        if token is not self._token:
            return
        self._repository = repository
        self._chosen = None
        self._view.show_repository(repository)
        self._show_downloads()
        self._look_here()
        if repository.access is None:
            self._rate_next(self._in_order_of_use(repository), token)

    def _show_failure(self, error: BaseException, token: CancelToken) -> None:
        if token is not self._token:
            return
        info = describe(error)
        self._view.note.say("triangle-alert", info.text, info.hint, "Try again", self._reload)
        self._view.setCurrentIndex(0)

    # -- what the files will do here

    def _in_order_of_use(self, repository: Repository) -> list[FileGroup]:
        """The file that is meant, the usual one, then the smaller ones before the larger."""
        groups = [group for group in repository.of_kind(FileKind.MODEL) if group.problem is None]
        meant = [group for group in groups if group.label == self._wanted[1]]
        usual = usual_group(groups)
        first = [*meant[:1], *([usual] if usual is not None else [])]
        return [*dict.fromkeys(first), *(group for group in groups if group not in first)]

    def _rate_next(self, groups: list[FileGroup], token: CancelToken) -> None:
        repository = self._repository
        if not groups or repository is None or token is not self._token:
            return
        group, *rest = groups
        row = self._view.files.row(group.stem)
        if row is not None:
            row.say("looking ...")

        def done(rating: Rating) -> None:
            if token is self._token:
                self._ratings[group.stem] = rating
                self._show_ratings()
                self._rate_next(rest, token)

        def failed(error: BaseException) -> None:
            if token is self._token and row is not None:
                row.say("")
                row.badge.setToolTip(describe(error).sentence)

        work = Operation(lambda: rate(self._hub, self._planner, repository, group, token), owner=self)
        work.success(done).failure(failed).run(self._hub.executor)

    def _show_ratings(self) -> None:
        if self._repository is None:
            return
        plans = {stem: rating.plan for stem, rating in self._ratings.items() if rating.plan is not None}
        best = recommended(self._repository.groups, plans)
        for stem, rating in self._ratings.items():
            row = self._view.files.row(stem)
            if row is not None:
                row.show_rating(rating, is_recommended=best is not None and stem == best.stem)
        self._show_plan(self._chosen or best or next(iter(self._repository.groups), None))

    def _choose(self, group: FileGroup) -> None:
        self._chosen = group
        self._show_plan(group)

    def _show_plan(self, group: FileGroup | None) -> None:
        rating = self._ratings.get(group.stem) if group is not None else None
        if group is None or rating is None or rating.plan is None:
            self._view.hide_plan()
            return
        self._view.plan.show_plan(rating.plan)
        self._view.show_plan_of(group_name(group))

    # -- downloads

    def _get(self, group: FileGroup) -> None:
        repository = self._repository
        if repository is None:
            return
        self._view.show_room("")
        work = Operation(lambda: self._downloads.enqueue(repository, group), owner=self)
        work.success(lambda _: None).failure(self._on_refused).run(self._queue)

    def _on_refused(self, error: BaseException) -> None:
        info = describe(error)
        self._view.show_room(info.sentence)
        if not isinstance(error, NoRoom):
            self._view.room.setToolTip(info.detail)

    def _show_downloads(self) -> None:
        if self._repository is None:
            return
        for row in self._view.files.rows():
            file = row.group.first.path
            item = self._download_of(file)
            row.show_download(item, is_here=(self._repository.id, file) in self._here)

    def _download_of(self, file: str) -> DownloadItem | None:
        repo_id = self._repository.id if self._repository is not None else ""
        name = file.rpartition("/")[2]
        items = (item for item in self._feed.items if item.repo_id == repo_id)
        return next((item for item in items if any(path.name == name for path in item.paths)), None)

    def _look_here(self) -> None:
        if self._repository is not None:
            Operation(self._library.known, owner=self).success(self._on_known).run(self._queue)

    def _on_known(self, entries: list[ModelEntry]) -> None:
        origins = (entry.origin for entry in entries if entry.origin is not None)
        self._here = frozenset((origin.repo_id, origin.file) for origin in origins)
        self._show_downloads()

    # -- who is asking

    def _open_page(self) -> None:
        if self._repository is not None:
            ask_to_open(self._view, self._repository.page_url)

    def _sign_in(self, typed: str, place: TokenPlace) -> None:
        def keep() -> str:
            self._hub.set_token(typed, place)
            return self._hub.who()

        work: Callable[[], str] = keep
        Operation(work, owner=self).success(self._on_signed_in).failure(self._on_not_signed_in).run(self._hub.executor)

    def _on_signed_in(self, _name: str) -> None:
        self._view.gate.clear_token()
        self._reload()

    def _on_not_signed_in(self, error: BaseException) -> None:
        info = error.info if isinstance(error, HubError) else ErrorInfo.of(error)
        self._view.gate.show_problem(info, offers_places=isinstance(error, KeyringUnavailable))
