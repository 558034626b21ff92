"""Looking after the files: are they whole, are they there twice, and away with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.files import storage_error
from app.jobs import CancelToken
from app.library.hashes import Hashes
from app.library.library import Library
from app.library.trash import Trash, move_to_trash
from app.library.types import EntryState, ModelEntry, Source
from engine.errors import ErrorInfo, InvalidRequest, ModelFileError

Progress = Callable[[int, int], None]
"""Bytes done, and bytes in all."""


class Outcome(StrEnum):
    """FIRST_TIME: nobody has said what the file should be; what it is now is remembered for the next time."""

    MATCHES = "matches"
    DIFFERS = "differs"
    FIRST_TIME = "first-time"


@dataclass(frozen=True, slots=True)
class Verification:
    """``sha256`` and ``expected`` have one hash for each part; ``text`` and ``hint`` are for a person."""

    outcome: Outcome
    sha256: tuple[str, ...]
    expected: tuple[str | None, ...]
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Models with the same bytes in different files. ``freed_bytes`` is what keeping only one of them frees."""

    entries: tuple[ModelEntry, ...]
    size_bytes: int
    sha256: tuple[str, ...]
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """``freed_bytes`` are free at once, or, ``in_trash``, when the recycle bin is emptied."""

    paths: tuple[Path, ...]
    freed_bytes: int
    in_trash: bool


class Upkeep:
    """Thread: any; methods block for as long as it takes to read the files."""

    def __init__(
        self,
        library: Library,
        hashes: Hashes,
        in_use: Callable[[], Collection[Path]] = tuple,
        trash: Trash = move_to_trash,
    ) -> None:
        """``in_use`` tells which files are loaded now."""
        self._library = library
        self._hashes = hashes
        self._in_use = in_use
        self._trash = trash

    def verify(
        self, model_id: str, on_progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Verification:
        """Read a model's files whole and compare them with what they should be.

        Raises ModelFileError, StorageError, and Cancelled.
        """
        entry = self._library.find(model_id)
        parts = _files(entry)
        count = _Counter(sum(map(_size_bytes, parts)), on_progress)
        hashes = tuple(self._hashes.sha256(part, count, cancel, afresh=True) for part in parts)
        expected = tuple(self._expected(part) for part in parts)
        for part, sha256 in zip(parts, hashes, strict=True):
            if self._library.records.of(part).sha256 is None:
                self._library.records.update(part, sha256=sha256)
        return _verification(entry, parts, hashes, expected)

    def duplicates(
        self, on_progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> tuple[DuplicateGroup, ...]:
        """Models that are here more than once. Only files of the same size are read. Raises Cancelled.

        Links to one file are no duplicates: nothing would be freed.
        """
        groups = _same_sizes(entry for entry in self._library.entries() if entry.state is not EntryState.READING)
        n_bytes = sum(size for sizes, entries in groups for size in sizes for _ in entries)
        count, found = _Counter(n_bytes, on_progress), []
        for sizes, entries in groups:
            by_hash: dict[tuple[str, ...], list[ModelEntry]] = defaultdict(list)
            for entry in entries:
                hashes = self._hashes_of(entry, count, cancel)
                if hashes is not None:
                    by_hash[hashes].append(entry)
            for hashes, same in by_hash.items():
                if len(same) > 1:
                    size_bytes = sum(sizes)
                    found.append(DuplicateGroup(tuple(same), size_bytes, hashes, size_bytes * (len(same) - 1)))
        return tuple(sorted(found, key=lambda group: -group.freed_bytes))

    def why_not_delete(self, model_id: str) -> ErrorInfo | None:
        """None where the model's files may be deleted. Raises ModelFileError for an unknown one."""
        entry = self._library.find(model_id)
        if entry.source is Source.LINKED:
            owner = f"belongs to {entry.app.label}" if entry.app is not None else "lies outside of Hearth's folder"
            text = f"{entry.name} {owner}, so Hearth does not delete it."
            return ErrorInfo.of(InvalidRequest(text, "Remove it from the list instead; the file stays."))
        used = {path.resolve() for path in self._in_use()}
        if any(part.resolve() in used for part in _files(entry)):
            return ErrorInfo.of(InvalidRequest(f"{entry.name} is loaded now.", "Unload it first."))
        return None

    def delete(self, model_id: str, *, forever: bool = False) -> Deleted:
        """Move a model's files to the recycle bin, or delete them ``forever``.

        Raises ModelFileError for an unknown one, InvalidRequest where it is linked or loaded, and StorageError.
        """
        refusal = self.why_not_delete(model_id)
        if refusal is not None:
            raise InvalidRequest(refusal.text, refusal.hint)
        entries = self._library.entries()  # all, since a companion may not have been read yet
        entry = next((entry for entry in entries if entry.id == model_id), self._library.find(model_id))
        paths = [
            path
            for path in (*_files(entry), *_only_its(entry, entries, self._library.folder))
            if path.exists() or path.is_symlink()
        ]
        freed_bytes = sum(map(_freed_bytes, paths))
        for path in paths:
            if forever:
                _delete(path)
            else:
                self._trash(path)
            self._library.records.forget(path)
        _remove_empty_folders(entry.path.parent, self._library.folder)
        self._library.tell()
        return Deleted(tuple(paths), freed_bytes, in_trash=not forever)

    def _expected(self, part: Path) -> str | None:
        """What its publisher says that it is, else what it was the first time."""
        origin = self._library.origin_of(part)
        said = origin.sha256 if origin is not None else None
        return said or self._library.records.of(part).sha256

    def _hashes_of(
        self, entry: ModelEntry, count: Callable[[int], None], cancel: CancelToken | None
    ) -> tuple[str, ...] | None:
        """None where a file cannot be read, which its row says already."""
        try:
            return tuple(self._hashes.sha256(part, count, cancel) for part in _files(entry))
        except ModelFileError:
            return None


class _Counter:
    """Adds up bytes and reports the sum."""

    def __init__(self, total_bytes: int, on_progress: Progress | None) -> None:
        self._done_bytes = 0
        self._total_bytes = total_bytes
        self._on_progress = on_progress

    def __call__(self, n_bytes: int) -> None:
        self._done_bytes += n_bytes
        if self._on_progress is not None:
            self._on_progress(self._done_bytes, self._total_bytes)


def _verification(
    entry: ModelEntry, parts: Sequence[Path], hashes: tuple[str, ...], expected: tuple[str | None, ...]
) -> Verification:
    wrong = [part.name for part, is_, should in zip(parts, hashes, expected, strict=True) if should not in (None, is_)]
    if wrong:
        text = f"{', '.join(wrong)} is not what it should be: its bytes have changed."
        return Verification(Outcome.DIFFERS, hashes, expected, text, "Get it again; the disk may be failing.")
    if None in expected:
        text = f"{entry.name} can be read whole. What it should be is not known, so it is remembered as it is now."
        return Verification(Outcome.FIRST_TIME, hashes, expected, text)
    return Verification(Outcome.MATCHES, hashes, expected, f"{entry.name} is whole and unchanged.")


def _same_sizes(entries: Iterable[ModelEntry]) -> list[tuple[tuple[int, ...], list[ModelEntry]]]:
    """Groups of different files with the same sizes."""
    groups: dict[tuple[int, ...], dict[tuple[int, int], ModelEntry]] = defaultdict(dict)
    for entry in entries:
        try:
            statuses = [part.stat() for part in _files(entry)]
        except OSError:
            continue
        sizes = tuple(status.st_size for status in statuses)
        if sizes and sum(sizes):
            groups[sizes].setdefault((statuses[0].st_dev, statuses[0].st_ino), entry)
    return [(sizes, list(files.values())) for sizes, files in groups.items() if len(files) > 1]


def _only_its(entry: ModelEntry, entries: Iterable[ModelEntry], folder: Path) -> list[Path]:
    """Projectors in the models folder that no other model needs."""
    needed = {projector.path for other in entries if other.id != entry.id for projector in other.projectors}
    mine = (projector.path for projector in entry.projectors)
    return [path for path in mine if path not in needed and path.is_relative_to(folder)]


def _files(entry: ModelEntry) -> tuple[Path, ...]:
    return entry.parts or (entry.path,)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _freed_bytes(path: Path) -> int:
    """A file with a second name, or that is only a link, frees nothing."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if status.st_nlink == 1 and not path.is_symlink() else 0


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise storage_error(error, path) from error


def _remove_empty_folders(folder: Path, root: Path) -> None:
    """Those that the download of a model has made for it."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
