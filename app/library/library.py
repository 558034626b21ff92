"""The list of models, whatever state their files are in."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from app.library.catalogue import Catalogue, Item, Unread, catalogue, file_name
from app.library.details import ModelDetails, details_of
from app.library.facts import FactsCache
from app.library.links import Link, LinkedFiles
from app.library.records import FileRecords
from app.library.scan import SUFFIX, ModelFiles, files_of, find_models
from app.library.starter import starter_file
from app.library.types import EntryState, ModelEntry, Origin, Source
from app.library.watch import Watchers
from app.paths import Paths
from engine.errors import ErrorInfo, InvalidRequest, KnownError, ModelFileError
from engine.probe import HeaderProbe, examine_here
from engine.probe.parent import Examiner

_logger = logging.getLogger(__name__)

_CACHE_NAME = "models.json"
_RECORDS_NAME = "models.json"
_NEWS_PAUSE_S = 0.2


class Library:
    """Thread: any; methods block on the disk where nothing else is said. Files are never copied or changed."""

    def __init__(self, paths: Paths, examine: Examiner = examine_here) -> None:
        """``examine`` reads headers: in this process, or (``engine.probe.HeaderProbe``) in one that may die over it."""
        self._folder = paths.models
        self._lock = threading.RLock()
        self._links = LinkedFiles(paths.library_file)
        self._examine = examine
        self._facts = FactsCache(paths.cache / _CACHE_NAME, examine)
        self.records = FileRecords(paths.data / _RECORDS_NAME, paths.models)
        self._watchers = Watchers()
        self._reader: threading.Thread | None = None
        self._is_closing = False
        self._must_reread = False

    @property
    def problem(self) -> ErrorInfo | None:
        """Why the list of added files could not be read at the start."""
        return self._links.problem

    @property
    def folder(self) -> Path:
        """Where models lie that are not linked."""
        return self._folder

    def entries(self) -> list[ModelEntry]:
        """All models by name, the unusable ones with their problem. Headers that are not known are read first."""
        with self._lock:
            seen = self._look()
            if seen.unread:
                self._read(seen.unread)
                seen = self._look()
            self._facts.save(set(seen.files))
        return list(seen.entries)

    def known(self) -> list[ModelEntry]:
        """The same at once: no header is read, and what is not known has the state READING. See :meth:`refresh`."""
        return list(self._look().entries)

    def refresh(self) -> None:
        """Read what is unread on a thread of its own, and tell those who watch as it goes on. Returns at once."""
        with self._lock:
            self._must_reread = True
            if self._reader is None and not self._is_closing:
                self._reader = threading.Thread(target=self._read_all, name="library", daemon=True)
                self._reader.start()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """``callback`` is told, on any thread, that the list is another one now. Returns how to end that."""
        return self._watchers.add(callback)

    def close(self) -> None:
        """End what runs in the background."""
        with self._lock:
            self._is_closing, reader = True, self._reader
        if reader is not None:
            reader.join()
        if isinstance(self._examine, HeaderProbe):
            self._examine.rest()

    def add(self, path: Path) -> ModelEntry:
        """Refer to a file where it is, or to all parts of the model that it is a part of.

        One that is known already is returned as it is; for an adapter, its model. llama.cpp looks at it, too, where
        that may be done safely. Raises ModelFileError for what cannot be loaded, and StorageError.
        """
        return self.add_links([self.link_to(_absolute(path))])[0]

    def link_to(self, path: Path, template: Link | None = None) -> Link:
        """A link to the model that this file belongs to, with what an app says of it. Nothing is added."""
        files = files_of(path)
        link = template or Link("", str(files.path))
        wanted = link.id or link.name or files.stem
        return Link(wanted, str(files.path), link.name, link.app, link.origin, link.companions)

    def add_links(self, links: Sequence[Link]) -> list[ModelEntry]:
        """Add what is not known yet; ids are made unique. Raises ModelFileError, and StorageError."""
        with self._lock:
            before = self.entries()
            fresh = [link for link in links if self._holder_of(before, Path(link.path)) is None]
            taken = {entry.id for entry in before} | {link.id for link in self._links}
            named: list[Link] = []
            for link in fresh:
                self._check(link)
                model_id = _unique(link.id, taken)
                taken.add(model_id)
                named.append(Link(model_id, link.path, link.name, link.app, link.origin, link.companions))
            items = [*self._items(), *(Item(link.id, files_of(Path(link.path)), Source.LINKED, link) for link in named)]
            after = self._read_items(items)
            found = [self._holder_of(after, Path(link.path)) for link in links]
            for entry in found:
                if entry is not None and entry.problem is not None:
                    raise ModelFileError(entry.problem.text, entry.problem.hint)
            if named:
                self._links.add(named)
        self._watchers.tell()
        return [entry for entry in found if entry is not None]

    def remove(self, model_id: str) -> None:
        """Forget a file that was added. Raises ModelFileError for an unknown one, InvalidRequest for one that lies in
        the models folder, and StorageError."""
        with self._lock:
            if not any(link.id == model_id for link in self._links):
                entry = self.find(model_id)
                raise InvalidRequest(
                    f"{entry.path.name} was not added; it lies in {entry.path.parent}.",
                    "To be rid of it, delete the file there.",
                )
            self._links.remove(model_id)
        self._watchers.tell()

    def remove_companion(self, path: Path) -> None:
        """Forget an adapter or projector that was added. Raises InvalidRequest for another one, and StorageError."""
        link = next((link for link in self._links if Path(link.path) == path), None)
        if link is None:
            raise InvalidRequest(f"{path.name} lies in {path.parent}.", "To be rid of it, delete the file there.")
        self.remove(link.id)

    def find(self, id_or_path: str) -> ModelEntry:
        """A model by its id or the path of its file, which need not be in the list. Raises ModelFileError.

        What is returned may have a problem.
        """
        path = files_of(_absolute(Path(id_or_path))).path
        with self._lock:
            seen = self._look()
            entry = _named(seen.entries, id_or_path) or _at(seen.entries, path)
            if entry is not None and entry.state is EntryState.READING:
                self._read(unread for unread in seen.unread if unread.path in entry.parts)
                entry = _named(self._look().entries, entry.id)
            if entry is not None:
                return entry
            entries = self.entries()
            if path.exists():
                item = Item(str(path), files_of(path), Source.LINKED)
                return next(entry for entry in self._read_items([item]) if entry.id == item.id)
        raise _unknown(id_or_path, entries)

    def details(self, model_id: str) -> ModelDetails:
        """What a page about one model shows, read from its file. Raises ModelFileError."""
        return details_of(self.find(model_id))

    def origin_of(self, path: Path) -> Origin | None:
        """Where a single file came from, as far as that is known."""
        recorded = self.records.of(path).origin
        linked = (link.origin for link in self._links if Path(link.path) == path)
        return recorded or next(linked, None)

    def record_origin(self, path: Path, origin: Origin) -> None:
        """Remember where a file came from, which need not be there yet. Raises StorageError."""
        self.records.update(_absolute(path), origin=origin)

    def note_use(self, entry: ModelEntry) -> None:
        """It is loaded now. What the disk refuses is only logged."""
        try:
            self.records.update(entry.path, last_used_s=time.time())
        except KnownError as error:
            _logger.info("the last use of %s is not remembered: %s", entry.id, error)
        else:
            self._watchers.tell()

    def tell(self) -> None:
        """Say that files have changed."""
        self._watchers.tell()

    def _items(self) -> list[Item]:
        found = {files.path: files for files in find_models(self._folder)}
        links = {Path(link.path): link for link in self._links}
        taken = {link.id for link in links.values()}
        items = []
        for path, files in found.items():
            link = links.pop(path, None)
            model_id = link.id if link is not None else _unique(self._folder_id(files), taken)
            taken.add(model_id)
            items.append(Item(model_id, files, self._source(files)))
        return items + [Item(link.id, files_of(path), Source.LINKED, link) for path, link in links.items()]

    def _look(self, items: Sequence[Item] | None = None) -> Catalogue:
        return catalogue(self._items() if items is None else items, self._facts, self.records)

    def _read(self, unread: Iterable[Unread]) -> None:
        for file in unread:
            self._facts.read(file.path, file.name, is_part=file.is_part)

    def _read_items(self, items: Sequence[Item]) -> tuple[ModelEntry, ...]:
        self._read(self._look(items).unread)
        return self._look(items).entries

    def _check(self, link: Link) -> None:
        """Let llama.cpp look at what a person adds. What it says is remembered, and stands in the row."""
        path = Path(link.path)
        self._facts.read(path, file_name(path, link), is_part=False, by_llama=True)

    def _read_all(self) -> None:
        """The thread of :meth:`refresh`."""
        while self._wants_more():
            told_s = 0.0
            for file in self._look().unread:
                if self._is_closing:
                    break
                self._facts.read(file.path, file.name, is_part=file.is_part)
                if time.monotonic() - told_s > _NEWS_PAUSE_S:
                    told_s = time.monotonic()
                    self._watchers.tell()
            self._facts.save(set(self._look().files))
            self._watchers.tell()
        if isinstance(self._examine, HeaderProbe):
            self._examine.rest()

    def _wants_more(self) -> bool:
        with self._lock:
            wants = self._must_reread and not self._is_closing
            self._must_reread = False
            if not wants:
                self._reader = None
            return wants

    def _holder_of(self, entries: Iterable[ModelEntry], path: Path) -> ModelEntry | None:
        """The entry of a file, or of the model that it is a companion of."""
        held = _at(list(entries), path)
        if held is not None:
            return held
        return next((e for e in entries if any(c.path == path for c in (*e.adapters, *e.projectors))), None)

    def _source(self, files: ModelFiles) -> Source:
        return Source.STARTER if files.path == starter_file(self._folder) else Source.FOLDER

    def _folder_id(self, files: ModelFiles) -> str:
        """The path below the models folder, without what all have in common."""
        place = os.path.join(os.path.dirname(files.path), files.stem)
        return place.removeprefix(f"{self._folder}{os.sep}").replace(os.sep, "/")


def _unknown(id_or_path: str, entries: Collection[ModelEntry]) -> ModelFileError:
    if os.sep in id_or_path or id_or_path.lower().endswith(SUFFIX):
        return ModelFileError(f"There is no file {id_or_path}.", "Check the path.")
    names = ", ".join(entry.id for entry in entries if entry.problem is None)
    return ModelFileError(f"There is no model {id_or_path}.", f"There is: {names}." if names else "There is none yet.")


def _named(entries: Collection[ModelEntry], model_id: str) -> ModelEntry | None:
    return next((entry for entry in entries if entry.id == model_id), None)


def _at(entries: Collection[ModelEntry], path: Path) -> ModelEntry | None:
    """The entry of a file, by whatever way the path leads there."""
    same = next((entry for entry in entries if entry.path == path), None)
    if same is not None or not path.exists():
        return same
    real = path.resolve()
    return next((entry for entry in entries if entry.path.resolve() == real), None)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _unique(wanted: str, taken: Collection[str]) -> str:
    candidate, n = wanted, 1
    while candidate in taken:
        n += 1
        candidate = f"{wanted}-{n}"
    return candidate
