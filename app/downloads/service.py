"""The queue of downloads: what runs, what waits, and who is told."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.downloads.attempt import Options
from app.downloads.pace import Limiter, Speed
from app.downloads.part import discard
from app.downloads.queue import QueueFile, Wanted, WantedFile
from app.downloads.transfer import Transfer, kept_bytes, no_room, room_for
from app.downloads.types import DownloadError, DownloadItem, DownloadState, Finished, Room
from app.hub.endpoint import checked_endpoint
from app.hub.hub import Hub
from app.hub.names import safe_child
from app.hub.resolve import Origin
from app.hub.types import FileGroup, Repository
from app.settings import SettingsStore
from engine.errors import Cancelled, ErrorInfo, HearthError, KnownError

_log = logging.getLogger(__name__)

Callback = Callable[[tuple[DownloadItem, ...]], None]

TOLD_S = 0.1
"""How often subscribers are told of progress at most."""

_JOIN_S = 5.0
_SPLIT = re.compile(r"[-_. ]*gguf$", re.IGNORECASE)


@dataclass(slots=True)
class _Row:
    """A download and, while it runs, what carries it."""

    wanted: Wanted
    kept_bytes: int = 0
    transfer: Transfer | None = None
    thread: threading.Thread | None = None
    is_dropped: bool = False


class Downloads:
    """One runs at a time, the first of the list that can. Thread: any; methods return at once but where they say so.

    Nothing runs before :meth:`start`, which the first :meth:`enqueue` calls as well.
    """

    def __init__(
        self,
        folder: Path,
        queue_file: Path | None,
        hub: Hub,
        settings: SettingsStore,
        finishing: Callable[[tuple[Finished, ...]], None],
        finished: Callable[[], None] = lambda: None,
        options: Options | None = None,
    ) -> None:
        """``finishing`` is told of files before they get their final names, ``finished`` after, on a thread of these.

        ``options`` are for tests; the number of connections comes from the settings.
        """
        self._folder = folder
        self._queue = QueueFile(queue_file)
        self._hub = hub
        self._settings = settings
        self._finishing = finishing
        self._finished = finished
        self._options = options
        self._limiter = Limiter(settings.current.download_bytes_per_s)
        self._speed = Speed()
        self._changed = threading.Condition(threading.RLock())
        self._rows: list[_Row] = [_Row(wanted) for wanted in self._queue.read()]
        self._running: _Row | None = None
        self._callbacks: list[Callback] = []
        self._thread: threading.Thread | None = None
        self._needs_saving = self._is_closed = False
        self._version = 0
        self._stop_settings = settings.subscribe(lambda now: self._limiter.set_speed(now.download_bytes_per_s))

    def start(self) -> None:
        """Continue what the last run left. Its state is read on a thread of its own."""
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
                self._thread.start()

    def enqueue(self, repository: Repository, *groups: FileGroup) -> str:
        """Add files of a repository as one download, and return its id; one that is in the list is continued.

        Reads the disk. Raises KnownError where it cannot work: a name that is refused, no access, no room.
        """
        for problem in (repository.access, *(group.problem for group in groups)):
            if problem is not None:
                raise DownloadError(problem.text, problem.hint)
        wanted = _wanted(repository, groups)
        for file in wanted.files:
            safe_child(self._folder, wanted.repo_id, file.path)
        room = room_for(wanted, self._folder, self._of_now().reserve_bytes)
        if not room.is_enough:
            raise no_room(room, self._folder)
        with self._changed:
            known = self._find(wanted.id)
            if known is None:
                self._rows.append(_Row(wanted, kept_bytes(wanted, self._folder)))
            else:
                known.wanted = msgspec.structs.replace(known.wanted, is_paused=False, is_done=False, problem=None)
            self._note_change()
        self.start()
        return wanted.id

    def room(self, repository: Repository, *groups: FileGroup) -> Room:
        """Reads the disk. Raises KnownError."""
        return room_for(_wanted(repository, groups), self._folder, self._of_now().reserve_bytes)

    def pause(self, download_id: str) -> None:
        self._change(download_id, lambda wanted: wanted if wanted.is_done else _with(wanted, is_paused=True))

    def resume(self, download_id: str) -> None:
        """Also one that has failed."""
        self._change(download_id, lambda wanted: _with(wanted, is_paused=False, problem=None))
        self.start()

    def cancel(self, download_id: str) -> None:
        """Drop it with what is half downloaded; finished files stay."""
        with self._changed:
            row = self._find(download_id)
            if row is None:
                return
            row.is_dropped = True
            self._rows.remove(row)
            if row is self._running and row.transfer is not None:
                row.transfer.stop.cancel()  # its thread removes what is left
            elif not row.wanted.is_done:
                self._discard(row.wanted)
            self._note_change()

    def move(self, download_id: str, index: int) -> None:
        """What comes first runs first: it takes the place of one that runs."""
        with self._changed:
            row = self._find(download_id)
            if row is not None:
                self._rows.remove(row)
                self._rows.insert(max(0, index), row)
                self._note_change()

    def pause_all(self) -> None:
        for item in self.items():
            self.pause(item.id)

    def resume_all(self) -> None:
        for item in self.items():
            if item.state in (DownloadState.PAUSED, DownloadState.FAILED):
                self.resume(item.id)

    def clear_finished(self) -> None:
        with self._changed:
            self._rows = [row for row in self._rows if not row.wanted.is_done]
            self._note_change()

    def items(self) -> tuple[DownloadItem, ...]:
        """In the order of the list."""
        with self._changed:
            return tuple(self._item(row) for row in self._rows)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call it after changes and with progress, at most ten times a second, on a thread of these. Ends that."""
        with self._changed:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def close(self) -> None:
        """Stop everything and return when it has stopped; the next run continues."""
        self._stop_settings()
        with self._changed:
            self._is_closed = True
            running = self._running
            if running is not None and running.transfer is not None:
                running.transfer.stop.cancel()
            self._changed.notify_all()
            threads = [self._thread, running.thread if running is not None else None]
        for thread in threads:
            if thread is not None:
                thread.join(_JOIN_S)
        self._save()

    def _run(self) -> None:
        """The thread of the list: starts and stops, saves, and tells."""
        self._look_at_the_disk()
        told_version, told_s = -1, -TOLD_S
        while True:
            with self._changed:
                if self._is_closed:
                    return
                self._schedule()
                version, needs_saving = self._version, self._needs_saving
                is_moving = self._running is not None
            if needs_saving:
                self._save()
            if (is_moving or version != told_version) and time.monotonic() - told_s >= TOLD_S:
                self._tell()
                told_version, told_s = version, time.monotonic()
            is_due = is_moving or version != told_version
            with self._changed:
                self._changed.wait_for(self._has_news(version), TOLD_S if is_due else None)

    def _has_news(self, version: int) -> Callable[[], bool]:
        return lambda: self._is_closed or self._version != version

    def _look_at_the_disk(self) -> None:
        """How much of each there is; a name that was refused meanwhile shows when it runs."""
        for row in list(self._rows):
            try:
                row.kept_bytes = row.wanted.total_bytes if row.wanted.is_done else kept_bytes(row.wanted, self._folder)
            except KnownError as error:
                _log.warning("a download cannot go on: %s", error)

    def _schedule(self) -> None:
        """Under the lock: stop what may not run any more, and start the first that may."""
        first = next((row for row in self._rows if _may_run(row.wanted)), None)
        if self._running is not None:
            if self._running is not first and self._running.transfer is not None:
                self._running.transfer.stop.cancel()
            return
        if first is not None:
            self._begin(first)

    def _begin(self, row: _Row) -> None:
        options = self._of_now()
        row.transfer = Transfer(row.wanted, self._folder, self._origins_of(row.wanted), options, self._limiter)
        row.thread = threading.Thread(target=self._carry, args=(row,), name="download-item", daemon=True)
        self._running = row
        self._speed.restart()
        self._note_change(saves=False)
        row.thread.start()

    def _carry(self, row: _Row) -> None:
        """The thread of one download."""
        transfer = row.transfer
        assert transfer is not None
        changes: dict[str, object] = {}
        try:
            transfer.run(self._finishing)
            changes = {"is_done": True, "is_paused": False, "problem": None}
        except Cancelled:
            _log.info("the download of %s stops", row.wanted.name)
        except HearthError as error:
            changes = {"problem": getattr(error, "info", None) or ErrorInfo.of(error)}
            _log.warning("the download of %s fails: %s", row.wanted.name, error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours fails one download and not the list
            _log.exception("the download of %s fails by a mistake of ours", row.wanted.name)
            changes = {"problem": ErrorInfo.of(error)}
        with self._changed:
            row.kept_bytes = transfer.done_bytes
            row.transfer, row.thread, self._running = None, None, None
            if row.is_dropped:
                self._discard(row.wanted)
            else:
                row.wanted = _with(row.wanted, **changes)
            self._note_change()
        if changes.get("is_done"):
            self._finished()

    def _origins_of(self, wanted: Wanted) -> Callable[[WantedFile], Sequence[Origin]]:
        """Where it was found comes first, then the hub and mirrors of now. Waits for the keyring."""

        def origins(file: WantedFile) -> list[Origin]:
            endpoints = dict.fromkeys((checked_endpoint(wanted.endpoint), *self._hub.endpoints()))
            return [
                Origin(endpoint, wanted.repo_id, wanted.commit, file.path, self._hub.token(endpoint))
                for endpoint in endpoints
            ]

        return origins

    def _of_now(self) -> Options:
        if self._options is not None:
            return self._options
        return Options(n_connections=self._settings.current.download_connections)

    def _item(self, row: _Row) -> DownloadItem:
        wanted, transfer = row.wanted, row.transfer
        done = transfer.done_bytes if transfer is not None else row.kept_bytes
        pause = transfer.pause if transfer is not None else None
        speed = self._speed.note(done) if transfer is not None and row is self._running else 0.0
        left_s = (wanted.total_bytes - done) / speed if speed > 1 and pause is None else None
        retry_in_s = max(0.0, pause.until_s - time.monotonic()) if pause is not None else None
        return DownloadItem(
            wanted.id,
            wanted.name,
            wanted.repo_id,
            _state(row),
            min(done, wanted.total_bytes),
            wanted.total_bytes,
            speed,
            left_s,
            tuple(self._folder.joinpath(*wanted.repo_id.split("/"), file.path) for file in wanted.files),
            pause.problem if pause is not None else wanted.problem,
            retry_in_s,
        )

    def _find(self, download_id: str) -> _Row | None:
        return next((row for row in self._rows if row.wanted.id == download_id), None)

    def _change(self, download_id: str, change: Callable[[Wanted], Wanted]) -> None:
        with self._changed:
            row = self._find(download_id)
            if row is not None:
                row.wanted = change(row.wanted)
                self._note_change()

    def _note_change(self, *, saves: bool = True) -> None:
        self._version += 1
        self._needs_saving |= saves
        self._changed.notify_all()

    def _save(self) -> None:
        with self._changed:
            if not self._needs_saving:
                return
            self._needs_saving = False
            wanted = tuple(row.wanted for row in self._rows)
        try:
            self._queue.write(wanted)
        except KnownError as error:
            _log.warning("the list of downloads is not kept: %s", error)

    def _tell(self) -> None:
        items = self.items()
        with self._changed:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(items)

    def _discard(self, wanted: Wanted) -> None:
        for file in wanted.files:
            try:
                discard(safe_child(self._folder, wanted.repo_id, file.path))
            except KnownError as error:
                _log.warning("what is left of a download stays: %s", error)


def _may_run(wanted: Wanted) -> bool:
    return not (wanted.is_paused or wanted.is_done or wanted.problem is not None)


def _state(row: _Row) -> DownloadState:
    wanted, transfer = row.wanted, row.transfer
    if wanted.is_done:
        return DownloadState.DONE
    if wanted.problem is not None:
        return DownloadState.FAILED
    if wanted.is_paused:
        return DownloadState.PAUSED
    if transfer is None:
        return DownloadState.WAITING
    if transfer.pause is not None:
        return DownloadState.RETRYING
    return DownloadState.CHECKING if transfer.is_checking else DownloadState.RUNNING


def _wanted(repository: Repository, groups: Sequence[FileGroup]) -> Wanted:
    files = tuple(WantedFile(part.path, part.size_bytes, part.sha256) for group in groups for part in group.parts)
    identity = "\n".join((repository.id, repository.commit, *(file.path for file in files)))
    label = groups[0].label if groups else ""
    title = " ".join(re.split(r"[-_ ]+", _SPLIT.sub("", repository.name))).strip()
    return Wanted(
        hashlib.sha256(identity.encode()).hexdigest()[:16],
        f"{title} {label}".strip(),
        repository.id,
        repository.commit,
        repository.endpoint,
        files,
        repository.licence.id if repository.licence is not None else None,
    )


def _with(wanted: Wanted, **changes: object) -> Wanted:
    return msgspec.structs.replace(wanted, **changes)
