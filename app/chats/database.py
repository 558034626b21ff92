"""The SQLite file: opening it whatever state it is in, and using it from any thread.

A file that cannot be used as it is never stops the program:

=======================  ==========================================================================================
damaged                  copied to ``<name>.corrupt-<n>``; what can be read goes into a new file
of a newer version       opened for reading only, and left as it is
on a full disk           opened without the shared-memory file that SQLite needs room for; writing works again as
                         soon as there is room
cannot be opened         what can be read is shown from memory, and nothing can be written
=======================  ==========================================================================================
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.chats import schema
from app.chats.salvage import Salvaged, restore, salvage, wal_of
from app.files import aside_name, copy_durably, storage_error, sync_folder
from engine.errors import ErrorInfo, StorageError

_logger = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 5.0
_ALMOST_NOTHING_BYTES = 65_536
"""With less than this free, an I/O error is taken for a full disk: SQLite's shared memory alone needs 32 KiB."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FORBIDDEN = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN})


class _DamagedFile(Exception):
    """SQLite opens the file, but its check finds errors."""


class _NewerFile(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: sqlite3.Connection
    problem: ErrorInfo | None = None
    read_only: bool = False


class Database:
    """One connection under one lock.

    Thread: any, one at a time; a call waits for the one before it and for the disk. ``problem`` tells what was wrong
    when the file was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` or whatever can stand in for it. Never raises for the state of the file or the disk."""
        self.path = path
        opened = _open(path)
        self.problem = opened.problem
        self.read_only = opened.read_only
        self._connection = opened.connection
        self._lock = threading.RLock()
        if self.problem is not None:
            _logger.error("%s %s (%s)", self.problem.text, self.problem.hint, self.problem.detail)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Use the connection for reading, alone. Raises StorageError for what SQLite raises."""
        with self._lock, _described(self.path):
            yield self._connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, rolled back by any exception. Raises StorageError.

        ``durable`` waits until the disk has it, so that a power failure cannot take it back; without, the last
        seconds may be lost then, but the file stays whole.
        """
        if self.read_only and self.problem is not None:
            raise StorageError("Conversations cannot be changed now.", self.problem.sentence)
        with self._lock, _described(self.path):
            connection = self._connection
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # some errors (a full disk) have rolled back already
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._lock:
            self._connection.close()


@contextmanager
def _described(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _storage_error(error, path) from error
    except UnicodeDecodeError as error:  # an error message of SQLite that quotes damaged text
        raise _damaged(path) from error


def _open(path: Path) -> _Opened:
    try:
        return _Opened(_open_for_writing(path))
    except _NewerFile:
        return _open_newer(path)
    except _DamagedFile as error:
        return _repair(path, str(error))
    except UnicodeDecodeError as error:  # Python cannot read SQLite's message, which quotes the damaged text
        return _repair(path, str(error))
    except sqlite3.Error as error:
        if _code(error) in _DAMAGED | {sqlite3.SQLITE_ERROR}:  # the latter: tables that are not what they must be
            return _repair(path, str(error))
        return _open_copy(path, _storage_error(error, path), str(error))


def _open_for_writing(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path, exclusive=False)
    except sqlite3.OperationalError as error:
        if _code(error) not in _NO_ROOM:
            raise
        # Alone with the file, SQLite keeps the write-ahead log's index in memory and needs no room on the disk.
        return _prepared(path, exclusive=True)


def _prepared(path: Path, *, exclusive: bool) -> sqlite3.Connection:
    connection = _connect(str(path))
    try:
        if exclusive:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if schema.user_version(connection) > len(schema.MIGRATIONS):
            raise _NewerFile
        connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        _check(connection)
        schema.migrate(connection)
        for query in schema.ALL_COLUMNS:
            connection.execute(query)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """About half a second per gigabyte. quick_check does not see an index that hides rows, and is hardly faster."""
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise _DamagedFile(result)


def _connect(target: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.text_factory = _text
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _text(data: bytes) -> str:
    """Text that is not UTF-8 costs its own characters and not the query."""
    return data.decode("utf-8", "replace")


def _open_newer(path: Path) -> _Opened:
    problem = ErrorInfo(
        "StorageError",
        f"{path} was written by a newer version of Hearth.",
        "Your conversations can be read here, but not changed. Start the newer version, or update this one.",
    )
    try:
        connection = _connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        schema.user_version(connection)
    except sqlite3.Error as error:
        return _open_copy(path, StorageError(problem.text, problem.hint), str(error))
    return _Opened(connection, problem, read_only=True)


def _repair(path: Path, detail: str) -> _Opened:
    """Keep the damaged file and put a new one with everything readable in its place."""
    try:
        found = salvage(path)
        kept = _replace(path, found)
        connection = _open_for_writing(path)
    except (OSError, sqlite3.Error) as error:
        _logger.warning("cannot repair %s: %s", path, error)
        reason = _storage_error(error, path) if isinstance(error, sqlite3.Error) else storage_error(error, path)
        return _open_copy(path, StorageError(f"{path} is damaged and could not be repaired.", str(reason)), detail)
    text = f"{path} was damaged. {_counted(found)} could be read and kept."
    return _Opened(connection, ErrorInfo("StorageError", text, f"The damaged file is kept as {kept.name}.", detail))


def _counted(found: Salvaged) -> str:
    n_messages, n_conversations = len(found.messages), found.n_conversations
    messages = "1 message" if n_messages == 1 else f"{n_messages:,} messages"
    return f"{messages} in {'1 conversation' if n_conversations == 1 else f'{n_conversations:,} conversations'}"


def _replace(path: Path, found: Salvaged) -> Path:
    """Returns where the damaged file is kept. Raises OSError or sqlite3.Error; the old file is in place then."""
    rebuilt = path.with_name(f"{path.name}.rebuilt")
    rebuilt.unlink(missing_ok=True)
    try:
        with closing(_connect(str(rebuilt))) as connection:
            schema.migrate(connection)
            restore(connection, found)
        kept = aside_name(path)
        copy_durably(path, kept)
        if wal_of(path).exists():
            copy_durably(wal_of(path), wal_of(kept))
        # The old log must be gone before the new file is there: SQLite would replay it into the new one.
        wal_of(path).unlink(missing_ok=True)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        rebuilt.replace(path)
        sync_folder(path.parent)
    except BaseException:
        rebuilt.unlink(missing_ok=True)
        raise
    return kept


def _open_copy(path: Path, error: StorageError, detail: str) -> _Opened:
    """A database in memory with what can be read, for looking only: nothing may be accepted that will be lost."""
    connection = _connect(":memory:")
    schema.migrate(connection)
    try:
        restore(connection, salvage(path))
    except OSError as unreadable:
        _logger.warning("nothing can be read of %s: %s", path, unreadable)
    hint = f"{error.hint} What can be read is shown; nothing new can be saved until Hearth is started again."
    return _Opened(connection, ErrorInfo("StorageError", error.text, hint.strip(), detail), read_only=True)


def _storage_error(error: sqlite3.Error, path: Path) -> StorageError:
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code in _NO_ROOM and _is_full(path)):
        return StorageError(
            f"The disk is full, so nothing can be saved in {path}.", "Free some space and try again. Nothing is lost."
        )
    if code in _LOCKED:
        return StorageError(f"Another program is using {path}.", "Close it and try again.")
    if code in _DAMAGED:
        return _damaged(path)
    if code in _FORBIDDEN:
        return StorageError(f"{path} cannot be opened or changed.", "Check the permissions of the file and its folder.")
    return StorageError(f"{path} cannot be used: {error}.", "Check the disk and start Hearth again.")


def _damaged(path: Path) -> StorageError:
    return StorageError(f"{path} is damaged.", "Start Hearth again: it keeps a copy and repairs the file.")


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _ALMOST_NOTHING_BYTES
    except OSError:
        return False


def _code(error: sqlite3.Error) -> int | None:
    """The primary result code, or None for an error of Python's module itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
