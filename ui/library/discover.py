"""Decides what the search shows: what the hub answers, what is recommended before, and what is here without it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from PySide6.QtCore import QObject, QTimer, Signal

from app.hub import Hub, HubError, HubProblem, Recommendation, RepoSummary
from app.jobs import CancelToken
from app.library import Library, ModelEntry
from app.plans import Badge, Planner, Tone
from engine.errors import KnownError
from engine.plan import Device
from ui.errors import describe
from ui.library.discover_view import Finder
from ui.library.ratings import Rating, rate, usual_group
from ui.library.results import Found
from ui.library.words import joined, place_words, summary_facts
from ui.models.words import count_text, size_text
from ui.tasks import Operation

TYPING_PAUSE_MS = 280
_LOOK_PAUSE_MS = 250
_RECOMMENDED = "Recommended for this machine"


class DiscoverControl(QObject):
    """``repository_wanted`` carries an id and the file that is meant, or nothing; ``local_wanted`` a model's id."""

    repository_wanted = Signal(str, str)
    local_wanted = Signal(str)

    def __init__(self, finder: Finder, hub: Hub, planner: Planner, library: Library, queue: Executor) -> None:
        super().__init__(finder)
        self._finder = finder
        self._hub = hub
        self._planner = planner
        self._library = library
        self._queue = queue
        self._search_token = CancelToken()
        self._look_token = CancelToken()
        self._is_looking = False
        self._may_look = True
        self._typing = QTimer(self, singleShot=True, interval=TYPING_PAUSE_MS)
        self._typing.timeout.connect(self.search)
        self._look = QTimer(self, singleShot=True, interval=_LOOK_PAUSE_MS)
        self._look.timeout.connect(self._look_at_next)
        finder.changed.connect(self._on_changed)
        finder.resized.connect(self._look.start)
        finder.list.verticalScrollBar().valueChanged.connect(lambda _: self._look.start())
        finder.list.opened.connect(self._on_opened)
        finder.list.left_above.connect(finder.search.setFocus)
        finder.list.left.connect(finder.search.setFocus)
        finder.search.left.connect(self._on_down)
        finder.search.returnPressed.connect(self.search)

    def start(self) -> None:
        """Show what is recommended and what it is recommended for."""
        self.search()
        Operation(self._planner.devices, owner=self).success(self._show_machine).failure(_ignore).run(self._queue)

    def search(self) -> None:
        """Look for what the column says now; an answer to what was asked before is not waited for."""
        self._typing.stop()
        self._search_token.cancel()
        self._stop_looking()
        self._search_token = token = CancelToken()
        finder = self._finder
        if finder.is_untouched:
            self._show_recommended()
            return
        finder.note.say("", "Searching the hub ...")
        if not finder.results.rows:
            finder.show_note()
        query = finder.query()
        asked = Operation(lambda: self._hub.search(query, token), owner=self)
        asked.success(lambda found: self._show_found(found) if token is self._search_token else None)
        asked.failure(lambda error: self._show_failure(error) if token is self._search_token else None)
        asked.run(self._hub.executor)

    def pause(self) -> None:
        """Nobody looks: ask the hub nothing."""
        self._look.stop()
        self._stop_looking()

    def resume(self) -> None:
        self._look.start()

    def _on_changed(self) -> None:
        self._search_token.cancel()
        self._typing.start()

    def _show_recommended(self) -> None:
        Operation(self._hub.recommended, owner=self).success(self._on_recommended).run(self._queue)

    def _on_recommended(self, chosen: tuple[Recommendation, ...]) -> None:
        rows = [
            Found(
                each.repo_id,
                each.title,
                joined(f"{count_text(each.n_params)} parameters", size_text(each.size_bytes), each.licence),
                label=each.label,
                tooltip=each.why,
            )
            for each in chosen
        ]
        self._show_rows(rows, _RECOMMENDED)

    def _show_found(self, found: tuple[RepoSummary, ...]) -> None:
        if not found:
            self._finder.results.show_rows(())
            hint = "Try fewer words, or another spelling."
            if self._finder.runnable.isChecked():
                hint += " What cannot run here is left out."
            self._finder.note.say("search", "Nothing was found.", hint)
            self._finder.show_note()
            return
        rows = [Found(each.id, each.name, summary_facts(each), tooltip=each.id) for each in found]
        self._show_rows(rows, "")

    def _show_rows(self, rows: list[Found], heading: str) -> None:
        self._finder.results.show_rows(rows)
        self._finder.show_list(heading)
        self._may_look = True
        self._look.start()

    def _show_failure(self, error: BaseException) -> None:
        info = describe(error)
        problem = error.problem if isinstance(error, HubError) else None
        note = self._finder.note
        if problem is HubProblem.OFFLINE:
            note.say("cloud-off", info.text, "Below is what is on this machine.", "Try again", self.search)
            text = self._finder.search.text().strip().lower()
            here = Operation(self._library.known, owner=self)
            here.success(lambda entries: self._show_local(text, entries)).run(self._queue)
            return
        self._finder.results.show_rows(())
        note.say("triangle-alert", info.text, info.hint, "Try again", self.search)
        self._finder.show_note()

    def _show_local(self, text: str, entries: list[ModelEntry]) -> None:
        models = [entry for entry in entries if entry.problem is None]
        named = [entry for entry in models if text in entry.name.lower()] or models
        rows = [
            Found(
                entry.id, entry.name, joined(entry.quantization, size_text(entry.size_bytes), place_words(entry)), True
            )
            for entry in named
        ]
        self._finder.results.show_rows(rows)
        self._finder.show_list("On this machine")
        self._finder.show_note_above()

    def _on_opened(self, found: Found) -> None:
        if found.is_local:
            self.local_wanted.emit(found.key)
        else:
            self.repository_wanted.emit(found.key, found.label)

    def _on_down(self) -> None:
        if self._typing.isActive():
            self.search()
            return
        lines = self._finder.list
        if self._finder.results.rows:
            lines.setFocus()
            at = lines.currentIndex()
            lines.setCurrentIndex(at if at.isValid() else self._finder.results.index(0))

    # -- verdicts of what can be seen, one after the other

    def _look_at_next(self) -> None:
        """Each asks the hub twice, so only what somebody looks at is asked for, and never two at once."""
        rows, results = self._finder.results.rows, self._finder.results
        if self._is_looking or not self._may_look or not self._finder.isVisible():
            return
        visible = (rows[row] for row in self._finder.list.visible_rows())
        found = next((each for each in visible if not each.is_local and not results.has_badge(each.key)), None)
        if found is None:
            return
        self._is_looking = True
        self._look_token = token = CancelToken()
        looked = Operation(self._rating_of(found, token), owner=self)
        looked.success(lambda rating: self._on_rated(found, rating) if token is self._look_token else None)
        looked.failure(lambda error: self._on_not_rated(found, error) if token is self._look_token else None)
        looked.run(self._hub.executor)

    def _rating_of(self, found: Found, token: CancelToken) -> Callable[[], Rating | None]:
        def work() -> Rating | None:
            repository = self._hub.repository(found.key, cancel=token)
            wanted = [group for group in repository.groups if group.label == found.label and found.label]
            group = wanted[0] if wanted else usual_group(repository.groups)
            if group is None or repository.access is not None:
                return None
            return rate(self._hub, self._planner, repository, group, token)

        return work

    def _on_rated(self, found: Found, rating: Rating | None) -> None:
        self._is_looking = False
        self._finder.results.show_badge(found.key, rating.badge if rating is not None else Badge("", Tone.DIM))
        self._look_at_next()

    def _on_not_rated(self, found: Found, error: BaseException) -> None:
        """A hub that does not answer is left alone until the next search: the rows are of use without verdicts."""
        if not isinstance(error, KnownError):
            raise error
        self._may_look = not (isinstance(error, HubError) and error.is_passing)
        self._on_rated(found, None)

    def _stop_looking(self) -> None:
        self._look_token.cancel()
        self._look_token = CancelToken()
        self._is_looking = False

    def _show_machine(self, devices: tuple[Device, ...]) -> None:
        parts = [
            f"{size_text(device.total_bytes)} {'GPU' if device.is_gpu else 'RAM'} ({size_text(device.free_bytes)} free)"
            for device in sorted(devices, key=lambda device: not device.is_gpu)
        ]
        self._finder.machine.setText("For " + joined(*parts))
        self._finder.machine.setToolTip("What is recommended and all verdicts are for this machine as it is now")
        self._finder.machine.setVisible(bool(parts))


def _ignore(_error: BaseException) -> None:
    """The line about the machine stays away; the verdicts say why."""
