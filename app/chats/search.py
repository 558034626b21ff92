"""Finding text in messages: an index of three-letter groups that proposes, and a comparison that decides.

So a search means "contains" with the index and without it, in languages with and without spaces. The index costs half
of the text's size, because it knows which messages hold a group and not where (``detail='none'``).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

_logger = logging.getLogger(__name__)

_GROUP_LENGTH = 3
_MAX_GROUPS = 50
"""Enough to single out a message, and far from the limits of an FTS5 expression."""
_INSERT = "INSERT INTO message_index (rowid, content) VALUES (?, ?)"
_SNIPPET_BEFORE, _SNIPPET_LENGTH = 30, 120


class SearchIndex:
    """An FTS5 table over ``messages.content``. Without it every message is proposed, which is slower and no more.

    Thread: that of the transaction it is called in. Answers that still stream are not in it.
    """

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        """Create the table where it is missing, and add what it has not seen. Never raises."""
        self.available = False
        try:
            if not read_only:
                _create(connection)
                _catch_up(connection)
            connection.execute("SELECT rowid FROM message_index LIMIT 0")
        # This SQLite has no FTS5 or no trigrams, the disk is full, or the index is damaged; the last may give a message
        # of SQLite that quotes damaged text and cannot be decoded.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            _logger.warning("searching without an index: %s", error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        else:
            self.available = True

    def add(self, connection: sqlite3.Connection, message_id: int, content: str) -> None:
        if self.available:
            connection.execute(_INSERT, (message_id, _indexed(content)))

    def remove(self, connection: sqlite3.Connection, message_id: int, content: str) -> None:
        """``content`` must be what was added: the index does not keep it. Nothing happens where it was not added."""
        if self.available and _has(connection, message_id):  # FTS5 takes removing what is not there for damage
            connection.execute(
                "INSERT INTO message_index (message_index, rowid, content) VALUES ('delete', ?, ?)",
                (message_id, _indexed(content)),
            )

    def candidates(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """A condition on ``messages.id`` with its parameters, true at least where all ``words`` occur."""
        groups = [group for word in words for group in _groups(word)][:_MAX_GROUPS]
        if not self.available or not groups:
            return "TRUE", []
        match = " AND ".join('"' + group.replace('"', '""') + '"' for group in groups)
        return "messages.id IN (SELECT rowid FROM message_index WHERE message_index MATCH ?)", [match]


def words_of(text: str) -> list[str]:
    """What a message must contain, all of it, each anywhere."""
    return text.replace("\0", " ").lower().split()


def contains(text: str, words: Sequence[str]) -> bool:
    folded = text.lower()
    return all(word in folded for word in words)


def snippet(text: str, words: Sequence[str]) -> str:
    """About a line of text around the first of ``words``."""
    line = " ".join(text.split())
    found = [place for word in words if (place := line.lower().find(word)) >= 0]
    start = max(0, min(found, default=0) - _SNIPPET_BEFORE)
    end = start + _SNIPPET_LENGTH
    return ("…" if start else "") + line[start:end] + ("…" if end < len(line) else "")


def _groups(word: str) -> list[str]:
    return [word[n : n + _GROUP_LENGTH] for n in range(len(word) - _GROUP_LENGTH + 1)]


def _indexed(content: str) -> str:
    return str(content).replace("\0", " ")  # FTS5 reads up to the first zero, and a damaged row may hold anything


def _has(connection: sqlite3.Connection, message_id: int) -> bool:
    sql = "SELECT 1 FROM message_index_docsize WHERE id = ?"
    return connection.execute(sql, (message_id,)).fetchone() is not None


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS message_index"
        " USING fts5(content, content='', tokenize='trigram', detail='none')"
    )


def _catch_up(connection: sqlite3.Connection) -> None:
    """For messages that were added while there was no index: by another SQLite, or by a repair."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM message_index_docsize").fetchone()
    missing = connection.execute("SELECT id, content FROM messages WHERE id > ? AND state <> 'streaming'", (last,))
    rows = [(message_id, _indexed(content)) for message_id, content in missing]
    if rows:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
