"""Getting conversations back out of a damaged file.

The file is not opened with SQLite, which needs an intact header and an intact path to every page. Its pages are read
one by one instead, and each leaf page of a table gives its rows whatever happened to the others. The format is that of
https://www.sqlite.org/fileformat2.html. The database is kept with ``secure_delete``, so what was deleted is not found.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.chats.schema import PAGE_SIZE_BYTES
from app.chats.titles import title_from

Value = int | float | str | bytes | None
Row = tuple[Value, ...]

_LEAF_TABLE_PAGE = 0x0D
_FILE_HEADER_BYTES = 100
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_WAL_MAGIC = (0x377F0682, 0x377F0683)
_MAX_LOCAL_BYTES = PAGE_SIZE_BYTES - 35
_MIN_LOCAL_BYTES = (PAGE_SIZE_BYTES - 12) * 32 // 255 - 23
_N_CONVERSATION_COLUMNS, _N_MESSAGE_COLUMNS = 7, 10
_N_FIRST_MESSAGE_COLUMNS = 9
"""Rows that were written before the table grew are as they were."""

_CONTENT = 8
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(slots=True)
class Salvaged:
    """Rows by id, in the order of the columns."""

    conversations: dict[int, Row] = field(default_factory=dict)
    messages: dict[int, Row] = field(default_factory=dict)

    @property
    def n_conversations(self) -> int:
        """Those included of which only messages are left."""
        return len(self.conversations.keys() | {row[1] for row in self.messages.values()})


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def salvage(path: Path) -> Salvaged:
    """Every conversation and message that can be read. Takes any bytes for a file; raises OSError alone."""
    found = Salvaged()
    pages = _read_pages(path)
    for number in sorted(pages):
        for row_id, values in _rows_of_page(pages, number):
            if _is_message(values):
                missing = _N_MESSAGE_COLUMNS - len(values)
                found.messages[row_id] = (row_id, *values[1:], *[None] * missing)
            elif _is_conversation(values):
                found.conversations[row_id] = (row_id, *values[1:])
    return found


def restore(connection: sqlite3.Connection, found: Salvaged) -> None:
    """Insert into an empty database of the current version, and reconnect what lost its neighbours."""
    conversations = dict(found.conversations)
    ids_by_conversation: dict[int, list[int]] = {}
    for message_id in sorted(found.messages):
        conversation_id = found.messages[message_id][1]
        if isinstance(conversation_id, int):
            ids_by_conversation.setdefault(conversation_id, []).append(message_id)
    for conversation_id, ids in ids_by_conversation.items():
        row = conversations.get(conversation_id) or _stand_in(conversation_id, found.messages[ids[0]])
        leaf = row[5] if row[5] in ids else ids[-1]
        conversations[conversation_id] = (*row[:5], leaf, row[6])
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        f"INSERT INTO conversations VALUES ({_marks(_N_CONVERSATION_COLUMNS)})", _sorted_rows(conversations)
    )
    for ids in ids_by_conversation.values():
        connection.executemany(
            f"INSERT INTO messages VALUES ({_marks(_N_MESSAGE_COLUMNS)})", _with_parents(found.messages, ids)
        )
    connection.execute("COMMIT")


def _stand_in(conversation_id: int, first_message: Row) -> Row:
    """A conversation whose own row is lost. It cannot be known whether it was deleted; better shown than lost."""
    created_at_s = first_message[5]
    title = title_from(str(first_message[_CONTENT]))
    return (conversation_id, title, created_at_s, created_at_s, conversation_id, None, None)


def _with_parents(messages: dict[int, Row], ids: list[int]) -> Iterator[Row]:
    """Where a parent is lost, the message before stands in for it, which is right wherever there is no branch."""
    known: set[Value] = set()
    previous: int | None = None
    for message_id in ids:
        row = messages[message_id]
        parent = row[2] if row[2] is None or row[2] in known else previous
        yield (*row[:2], parent, *row[3:])
        known.add(message_id)
        previous = message_id


def _sorted_rows(rows: dict[int, Row]) -> list[Row]:
    return [rows[row_id] for row_id in sorted(rows)]


def _marks(n: int) -> str:
    return ", ".join("?" * n)


def _is_conversation(values: Row) -> bool:
    if len(values) != _N_CONVERSATION_COLUMNS:
        return False
    key, title, created_at_s, updated_at_s, activity, leaf, deleted_at_s = values
    return (
        key is None
        and isinstance(title, str)
        and _is_time(created_at_s)
        and _is_time(updated_at_s)
        and isinstance(activity, int)
        and isinstance(leaf, int | None)
        and (deleted_at_s is None or _is_time(deleted_at_s))
    )


def _is_message(values: Row) -> bool:
    if not _N_FIRST_MESSAGE_COLUMNS <= len(values) <= _N_MESSAGE_COLUMNS:
        return False
    key, conversation_id, parent_id, role, state, created_at_s, stats, error, content, *later = values
    return (
        key is None
        and isinstance(conversation_id, int)
        and isinstance(parent_id, int | None)
        and isinstance(role, str)
        and isinstance(state, str)
        and _is_time(created_at_s)
        and isinstance(stats, str | None)
        and isinstance(error, str | None)
        and isinstance(content, str)
        and all(isinstance(value, str | None) for value in later)
    )


def _is_time(value: Value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)  # SQLite would take NaN for NULL


def _read_pages(path: Path) -> dict[int, bytes]:
    """Pages by number (the first is 1): the file's, replaced by newer ones of the write-ahead log."""
    data = path.read_bytes()
    starts = range(0, len(data) - PAGE_SIZE_BYTES + 1, PAGE_SIZE_BYTES)
    pages = {number: data[start : start + PAGE_SIZE_BYTES] for number, start in enumerate(starts, 1)}
    wal = wal_of(path)
    if wal.exists():
        pages.update(_committed_pages(wal.read_bytes()))
    return pages


def _committed_pages(wal: bytes) -> dict[int, bytes]:
    if len(wal) < _WAL_HEADER_BYTES or struct.unpack_from(">I", wal)[0] not in _WAL_MAGIC:
        return {}
    salt = wal[16:24]
    committed: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    frame_bytes = _FRAME_HEADER_BYTES + PAGE_SIZE_BYTES
    for start in range(_WAL_HEADER_BYTES, len(wal) - frame_bytes + 1, frame_bytes):
        number, n_pages_after_commit = struct.unpack_from(">II", wal, start)
        if wal[start + 8 : start + 16] != salt:  # left over from before the log began anew
            break
        pending[number] = wal[start + _FRAME_HEADER_BYTES : start + frame_bytes]
        if n_pages_after_commit:
            committed.update(pending)
            pending.clear()
    return committed


def _rows_of_page(pages: dict[int, bytes], number: int) -> Iterator[tuple[int, Row]]:
    page = pages[number]
    header = _FILE_HEADER_BYTES if number == 1 else 0
    if page[header] != _LEAF_TABLE_PAGE:
        return
    (n_cells,) = struct.unpack_from(">H", page, header + 3)
    for pointer in range(header + 8, min(header + 8 + 2 * n_cells, PAGE_SIZE_BYTES - 1), 2):
        (start,) = struct.unpack_from(">H", page, pointer)
        try:
            yield _cell(pages, page, start)
        except (IndexError, ValueError, struct.error):  # this cell is damaged; the next one may not be
            continue


def _cell(pages: dict[int, bytes], page: bytes, start: int) -> tuple[int, Row]:
    n_bytes, position = _varint(page, start)
    row_id, position = _varint(page, position)
    if not 0 < n_bytes <= len(pages) * PAGE_SIZE_BYTES or row_id <= 0:
        raise ValueError("not a cell of ours")
    return row_id, _record(_payload(pages, page, position, n_bytes))


def _payload(pages: dict[int, bytes], page: bytes, start: int, n_bytes: int) -> bytes:
    """A record's bytes, from the page and its chain of overflow pages; fewer where the chain is broken."""
    if n_bytes <= _MAX_LOCAL_BYTES:
        return page[start : start + n_bytes]
    n_local = _MIN_LOCAL_BYTES + (n_bytes - _MIN_LOCAL_BYTES) % (PAGE_SIZE_BYTES - 4)
    if n_local > _MAX_LOCAL_BYTES:
        n_local = _MIN_LOCAL_BYTES
    payload = bytearray(page[start : start + n_local])
    (following,) = struct.unpack_from(">I", page, start + n_local)
    while len(payload) < n_bytes and following in pages:
        overflow = pages[following]
        payload += overflow[4 : 4 + n_bytes - len(payload)]
        (following,) = struct.unpack_from(">I", overflow)
    return bytes(payload)


def _record(payload: bytes) -> Row:
    n_header, position = _varint(payload, 0)
    types: list[int] = []
    while position < n_header:
        kind, position = _varint(payload, position)
        types.append(kind)
    values: list[Value] = []
    for kind in types:
        value, position = _value(kind, payload, position)
        values.append(value)
    return tuple(values)


def _value(kind: int, payload: bytes, start: int) -> tuple[Value, int]:
    if kind == 0:
        return None, start
    if kind in _INTEGER_BYTES:
        end = start + _INTEGER_BYTES[kind]
        if end > len(payload):
            raise ValueError("the record is cut")
        return int.from_bytes(payload[start:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack_from(">d", payload, start)[0], start + 8
    if kind in (8, 9):
        return kind - 8, start
    if kind < 12:
        raise ValueError("reserved type")
    end = start + (kind - 12) // 2
    data = payload[start:end]
    return (data.decode("utf-8", "replace") if kind % 2 else data), end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A big-endian integer of 1 to 9 bytes and the position after it."""
    value = 0
    for n in range(9):
        byte = data[position + n]
        if n == 8:
            value = (value << 8) | byte
            break
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    return value - (1 << 64 if value >= 1 << 63 else 0), position + n + 1
