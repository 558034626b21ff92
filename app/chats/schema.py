"""The tables, and how an older file becomes a current one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

PAGE_SIZE_BYTES = 4096
"""Fixed, because :mod:`app.chats.salvage` reads pages of files whose header is gone."""

Migration = tuple[str, ...]

# ``activity`` orders conversations by last use without trusting a clock. ``active_leaf_id`` has no foreign key: it and
# messages.conversation_id would point at each other. A parent is always older than its children (AUTOINCREMENT), so
# the tree has no cycles. No ON DELETE CASCADE along parent_id: SQLite allows a depth of 1,000. What is long stands at
# the end, so that a message that lost its overflow pages still has the rest.
MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE conversations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            created_at_s REAL NOT NULL,
            updated_at_s REAL NOT NULL,
            activity INTEGER NOT NULL,
            active_leaf_id INTEGER,
            deleted_at_s REAL
        )""",
        "CREATE INDEX conversations_by_activity ON conversations (activity)",
        """CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation_id INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            parent_id INTEGER REFERENCES messages (id),
            role TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at_s REAL NOT NULL,
            stats TEXT,
            error TEXT,
            content TEXT NOT NULL
        )""",
        "CREATE INDEX messages_by_conversation ON messages (conversation_id, parent_id)",
        "CREATE INDEX messages_by_parent ON messages (parent_id)",
        "CREATE INDEX messages_streaming ON messages (state) WHERE state = 'streaming'",
    ),
    # What a model thought, as JSON. It stands behind the content, where a table can grow without being written anew.
    ("ALTER TABLE messages ADD COLUMN reasoning TEXT",),
    # Which LoRA adapters a conversation is answered with, as JSON.
    (
        """CREATE TABLE adapters (
            conversation_id INTEGER PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
            uses TEXT NOT NULL
        )""",
    ),
)
"""Migration n leads from user_version n to n + 1. Released ones never change."""


ALL_COLUMNS = (
    "SELECT id, title, created_at_s, updated_at_s, activity, active_leaf_id, deleted_at_s FROM conversations LIMIT 0",
    "SELECT id, conversation_id, parent_id, role, state, created_at_s, stats, error, content, reasoning"
    " FROM messages LIMIT 0",
    "SELECT conversation_id, uses FROM adapters LIMIT 0",
)
"""What a current file can answer."""


def user_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring an autocommit connection's database to the last version, all or nothing. Raises sqlite3.Error.

    A file that is current is not written to. Another process may do the same at the same time.
    """
    if user_version(connection) >= len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[user_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
