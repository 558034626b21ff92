"""Page files in a folder: written whole or not at all, listed, read, deleted. Knows no thread and no ledger.

::

    <root>/<16 hex digits of the fingerprint's digest>/<key in hex>.page

Several processes may use one root. Names are keys of contents, so another's file is as good as an own one. Files of
other fingerprints are foreign: they take room, are never read as pages, and go first.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.cells import Blob
from engine.kv.container import (
    DamagedPage,
    PageContent,
    PageHeader,
    digest_of,
    encode_header,
    file_bytes,
    read_header,
    read_payload,
)

ABANDONED_S = 600.0
"""How old a temporary file must be before it surely is nobody's any more."""

_PAGE_NAME = re.compile(r"[0-9a-f]{32}\.page")
_TEMPORARY_NAME = re.compile(r"[0-9a-f]{32}\..*\.tmp")
_FOLDER_NAME = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A whole page file. ``age_rank`` is 0 for the file that was used last, 1 for those used just before it, ..."""

    page: PageContent
    size_bytes: int
    age_rank: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Own pages that are new since the last listing, parents first, and those that went missing; what is foreign.

    ``foreign_conversations`` has for each conversation how many tokens of it are saved under other fingerprints.
    """

    found: tuple[FoundPage, ...]
    lost: tuple[bytes, ...]
    foreign_bytes: int
    foreign_conversations: dict[str, int]


@dataclass(slots=True)
class _ForeignFile:
    path: Path
    size_bytes: int
    mtime_ns: int
    conversation: str
    end: int


@dataclass(slots=True)
class _OwnFile:
    """``header`` is None for a file that was listed before."""

    size_bytes: int
    mtime_ns: int
    header: PageHeader | None


class PageFolder:
    """Thread: one at a time. Every method may block on the disk and raise OSError."""

    def __init__(self, root: Path, fingerprint: str) -> None:
        self._digest = digest_of(fingerprint)
        self._root = root
        self._own = root / self._digest.hex()[:16]
        self._known: set[bytes] = set()
        self._foreign: dict[Path, _ForeignFile] = {}

    def write(self, page: PageContent, payload: Blob) -> int:
        """Make a page file and see it to the disk. Returns its size."""
        self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{page.key.hex()}.", suffix=".tmp", dir=self._own)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(encode_header(self._digest, page, payload))
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path(page.key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self._sync()
        self._known.add(page.key)
        return file_bytes(page, len(payload))

    def read(self, key: bytes) -> bytes:
        """The payload of a page. Raises FileNotFoundError, DamagedPage."""
        path = self._path(key)
        with path.open("rb") as file:
            header = self._checked(read_header(file), key)
            payload = read_payload(file, header)
        with contextlib.suppress(OSError):
            os.utime(path)  # the next start knows what was used last
        return payload

    def delete(self, key: bytes) -> None:
        """Whatever is there under this key is gone afterwards, if it can be."""
        self._known.discard(key)
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def relabel(self, key: bytes, conversation: str) -> int:
        """Let a page name another conversation. Returns the file's new size. Raises as :meth:`read` does."""
        with self._path(key).open("rb") as file:
            header = self._checked(read_header(file), key)
            payload = read_payload(file, header)
        return self.write(replace(header.page, conversation=conversation), payload)

    def look(self) -> Listing:
        """Look at every file; headers are read of new ones only. Damaged ones and abandoned ones are deleted."""
        files = dict(self._own_files())
        lost = tuple(self._known - files.keys())
        times = sorted({file.mtime_ns for file in files.values()}, reverse=True)
        age_ranks = {mtime_ns: rank for rank, mtime_ns in enumerate(times)}
        found = [
            FoundPage(file.header.page, file.size_bytes, age_ranks[file.mtime_ns])
            for key, file in files.items()
            if file.header is not None and key not in self._known
        ]
        found.sort(key=lambda found: found.page.begin)
        self._known = set(files)
        self._look_at_foreign()
        return Listing(tuple(found), lost, self._foreign_bytes(), self._foreign_conversations())

    def purge_foreign(self, n_bytes: int) -> int:
        """Delete foreign files, the oldest first, until so much is free. Returns what is left of them."""
        for foreign in sorted(self._foreign.values(), key=lambda file: file.mtime_ns):
            if n_bytes <= 0:
                break
            if self._delete_foreign(foreign):
                n_bytes -= foreign.size_bytes
        return self._foreign_bytes()

    def forget_foreign(self, conversation: str) -> int:
        """Delete foreign files that name this conversation. Returns what is left of foreign ones."""
        for foreign in list(self._foreign.values()):
            if foreign.conversation == conversation:
                self._delete_foreign(foreign)
        return self._foreign_bytes()

    def _own_files(self) -> Iterator[tuple[bytes, _OwnFile]]:
        for entry in _entries(self._own):
            if _is_page(entry):
                key = bytes.fromhex(entry.name[:32])
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    header = None if key in self._known else self._header_or_delete(key)
                    if header is not None or key in self._known:
                        yield key, _OwnFile(status.st_size, status.st_mtime_ns, header)
            elif _TEMPORARY_NAME.fullmatch(entry.name):
                _delete_if_abandoned(entry)

    def _header_or_delete(self, key: bytes) -> PageHeader | None:
        try:
            with self._path(key).open("rb") as file:
                return self._checked(read_header(file), key)
        except DamagedPage:
            self.delete(key)
            return None

    def _checked(self, header: PageHeader, key: bytes) -> PageHeader:
        if header.page.key != key or header.digest != self._digest:
            raise DamagedPage("it belongs to another model or has another name")
        return header

    def _look_at_foreign(self) -> None:
        seen: dict[Path, _ForeignFile] = {}
        for folder in _entries(self._root):
            if not _FOLDER_NAME.fullmatch(folder.name) or folder.name == self._own.name:
                continue
            for entry in _entries(Path(folder.path)):
                with contextlib.suppress(OSError):
                    if _is_page(entry):
                        file = self._foreign_file(entry)
                        seen[file.path] = file
                    elif _TEMPORARY_NAME.fullmatch(entry.name):
                        _delete_if_abandoned(entry)
        self._foreign = seen

    def _foreign_file(self, entry: os.DirEntry[str]) -> _ForeignFile:
        path, status = Path(entry.path), entry.stat(follow_symlinks=False)
        known = self._foreign.get(path)
        if known is not None and known.mtime_ns == status.st_mtime_ns:
            return known
        conversation, end = "", 0
        with contextlib.suppress(DamagedPage), path.open("rb") as file:
            header = read_header(file)
            conversation, end = header.page.conversation, header.page.end
        return _ForeignFile(path, status.st_size, status.st_mtime_ns, conversation, end)

    def _foreign_bytes(self) -> int:
        return sum(file.size_bytes for file in self._foreign.values())

    def _foreign_conversations(self) -> dict[str, int]:
        n_tokens: dict[str, int] = {}
        for file in self._foreign.values():
            if file.conversation:
                n_tokens[file.conversation] = max(n_tokens.get(file.conversation, 0), file.end)
        return n_tokens

    def _delete_foreign(self, foreign: _ForeignFile) -> bool:
        """False where it cannot be deleted."""
        try:
            foreign.path.unlink(missing_ok=True)
        except OSError:
            return False
        del self._foreign[foreign.path]
        with contextlib.suppress(OSError):
            foreign.path.parent.rmdir()  # refuses while anything is in it
        return True

    def _path(self, key: bytes) -> Path:
        return self._own / f"{key.hex()}.page"

    def _sync(self) -> None:
        """Make a rename last. Windows does so by itself, and cannot open folders."""
        if os.name != "posix":
            return
        handle = os.open(self._own, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing where there is none or it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _is_page(entry: os.DirEntry[str]) -> bool:
    return _PAGE_NAME.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)


def _delete_if_abandoned(entry: os.DirEntry[str]) -> None:
    """What a killed process left behind. A file that is still being written is young."""
    with contextlib.suppress(OSError):
        if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_S:
            os.unlink(entry.path)
