"""Conversations on the disk. Thread: any; every method waits for the disk and raises StorageError where it fails."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from app.chats.database import Database
from app.chats.rows import (
    CONVERSATION_COLUMNS,
    MESSAGE_COLUMNS,
    columns_of,
    conversation_of,
    message_of,
    reasoning_of,
    unreadable_message,
)
from app.chats.search import SearchIndex, contains, snippet, words_of
from app.chats.titles import NEW_TITLE, title_from
from app.chats.tree import MessageTree
from app.chats.types import AnswerUpdate, ConversationSummary, Message, MessageState, Thread
from engine.errors import BugError, ErrorInfo, InvalidRequest
from engine.types import AdapterUse, Role

_MAX_RENAMED_LENGTH = 200

_NEXT_ACTIVITY = "(SELECT coalesce(max(activity), 0) + 1 FROM conversations)"
_GONE = "This conversation is not there any more."


_logger = logging.getLogger(__name__)


class ChatStore:
    """The database of conversations and messages, and nothing of engines.

    What is written is on the disk when a method returns, except parts of answers that still stream. A conversation
    that is deleted keeps its messages until :meth:`purge_deleted`, and is not found by anything but :meth:`restore`.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        """Open the file, or what can stand in for it: :attr:`problem` tells. Never raises for a file's state."""
        self._database = Database(path)
        self._now = now
        with self._database.read() as connection:
            self._index = SearchIndex(connection, read_only=self._database.read_only)

    @property
    def problem(self) -> ErrorInfo | None:
        """What was wrong with the file when it was opened."""
        return self._database.problem

    @property
    def read_only(self) -> bool:
        return self._database.read_only

    def close(self) -> None:
        self._database.close()

    def conversations(self) -> list[ConversationSummary]:
        """Last used first."""
        sql = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE deleted_at_s IS NULL ORDER BY activity DESC"
        with self._database.read() as connection:
            return [conversation_of(row) for row in connection.execute(sql)]

    def search(self, text: str) -> list[ConversationSummary]:
        """Conversations with every word of ``text`` in the title or in one message, last used first.

        Without a word that is all of them. The snippet is of the newest message that matches.
        """
        words = words_of(text)
        if not words:
            return self.conversations()
        with self._database.read() as connection:
            snippets = self._matching_messages(connection, words)
        found: list[ConversationSummary] = []
        for summary in self.conversations():
            if summary.id in snippets or contains(summary.title, words):
                found.append(
                    ConversationSummary(summary.id, summary.title, summary.updated_at_s, snippets.get(summary.id))
                )
        return found

    def create_conversation(self) -> ConversationSummary:
        with self._database.write() as connection:
            return _summary(connection, self._insert_conversation(connection))

    def rename(self, conversation_id: int, title: str) -> None:
        """Raises InvalidRequest for an empty title."""
        title = " ".join(title.split())[:_MAX_RENAMED_LENGTH]
        if not title:
            raise InvalidRequest("A conversation needs a title.")
        with self._database.write() as connection:
            _summary(connection, conversation_id)
            connection.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, conversation_id))

    def adapters(self, conversation_id: int) -> tuple[AdapterUse, ...]:
        """Those that are switched on for it; none where what was kept makes no sense."""
        with self._database.read() as connection:
            query = "SELECT uses FROM adapters WHERE conversation_id = ?"
            row = connection.execute(query, (conversation_id,)).fetchone()
        try:
            return msgspec.json.decode(row[0], type=tuple[AdapterUse, ...]) if row is not None else ()
        except (ValueError, TypeError):
            return ()

    def set_adapters(self, conversation_id: int, uses: Sequence[AdapterUse]) -> None:
        """Raises InvalidRequest where there is no such conversation."""
        with self._database.write() as connection:
            _summary(connection, conversation_id)
            connection.execute("DELETE FROM adapters WHERE conversation_id = ?", (conversation_id,))
            if uses:
                row = (conversation_id, msgspec.json.encode(tuple(uses)).decode())
                connection.execute("INSERT INTO adapters VALUES (?, ?)", row)

    def delete(self, conversation_id: int) -> None:
        with self._database.write() as connection:
            _summary(connection, conversation_id)
            connection.execute("UPDATE conversations SET deleted_at_s = ? WHERE id = ?", (self._now(), conversation_id))

    def restore(self, conversation_id: int) -> None:
        with self._database.write() as connection:
            connection.execute("UPDATE conversations SET deleted_at_s = NULL WHERE id = ?", (conversation_id,))
            _summary(connection, conversation_id)

    def purge_deleted(self) -> list[int]:
        """Remove what was deleted for good; its bytes in the file are overwritten with zeros. Returns whose."""
        with self._database.write() as connection:
            rows = connection.execute("SELECT id FROM conversations WHERE deleted_at_s IS NOT NULL").fetchall()
            texts = connection.execute(
                "SELECT messages.id, content FROM messages JOIN conversations ON conversations.id = conversation_id"
                " WHERE deleted_at_s IS NOT NULL AND state <> 'streaming'"
            )
            for message_id, content in texts.fetchall():
                self._index.remove(connection, message_id, content)
            connection.execute("DELETE FROM conversations WHERE deleted_at_s IS NOT NULL")
        return [conversation_id for (conversation_id,) in rows]

    def thread(self, conversation_id: int) -> Thread:
        """The active path. Raises InvalidRequest where there is no such conversation, or it is deleted."""
        with self._database.read() as connection:
            summary = _summary(connection, conversation_id)
            tree = _tree(connection, conversation_id)
            leaf = _active_leaf(connection, conversation_id, tree)
            return Thread(summary, _messages(connection, conversation_id, tree, tree.path_to(leaf)))

    def message(self, message_id: int) -> Message:
        """Raises InvalidRequest where there is no such message."""
        return self.path_to(message_id)[-1]

    def path_to(self, message_id: int) -> tuple[Message, ...]:
        """From the root to that message, whichever path is active. Raises InvalidRequest where it is not there."""
        with self._database.read() as connection:
            conversation_id = _conversation_of(connection, message_id)
            tree = _tree(connection, conversation_id)
            return _messages(connection, conversation_id, tree, tree.path_to(message_id))

    def add_question(self, conversation_id: int | None, text: str) -> Message:
        """Append a user's message to the active path and an empty answer to it, which is returned.

        Without a conversation one is made. Both messages are durable, or neither is there.
        """
        with self._database.write() as connection:
            if conversation_id is None:
                conversation_id = self._insert_conversation(connection)
            summary = _summary(connection, conversation_id)
            tree = _tree(connection, conversation_id)
            if not tree.parents and summary.title == NEW_TITLE:
                connection.execute(
                    "UPDATE conversations SET title = ? WHERE id = ?", (title_from(text), conversation_id)
                )
            parent_id = _active_leaf(connection, conversation_id, tree)
            question_id = self._insert_message(connection, conversation_id, parent_id, Role.USER, text)
            answer_id = self._insert_message(connection, conversation_id, question_id, Role.ASSISTANT, "")
        return self.message(answer_id)

    def add_edit(self, message_id: int, text: str) -> Message:
        """Another version of a user's message, and an empty answer to it, which is returned."""
        with self._database.write() as connection:
            conversation_id, parent_id = _place(connection, message_id, Role.USER)
            question_id = self._insert_message(connection, conversation_id, parent_id, Role.USER, text)
            answer_id = self._insert_message(connection, conversation_id, question_id, Role.ASSISTANT, "")
        return self.message(answer_id)

    def add_answer_beside(self, answer_id: int) -> Message:
        """Another, empty answer to the same message, which is returned."""
        with self._database.write() as connection:
            conversation_id, parent_id = _place(connection, answer_id, Role.ASSISTANT)
            new_id = self._insert_message(connection, conversation_id, parent_id, Role.ASSISTANT, "")
        return self.message(new_id)

    def save_answers(self, updates: Iterable[AnswerUpdate]) -> None:
        """Write what answers hold by now, all or none. Durable where one of them has ended.

        Those whose conversation was purged meanwhile are passed over.
        """
        updates = list(updates)
        durable = any(update.state is not MessageState.STREAMING for update in updates)
        with self._database.write(durable=durable) as connection:
            for update in updates:
                self._save_answer(connection, update)

    def interrupt_streaming(self) -> int:
        """Close the answers that a dead run left open. Returns how many."""
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT id, content, reasoning FROM messages WHERE state = 'streaming'"
            ).fetchall()
            for message_id, content, thought in rows:
                reasoning = reasoning_of(thought)
                update = AnswerUpdate(message_id, content, MessageState.INTERRUPTED, reasoning=reasoning)
                self._save_answer(connection, update)
        return len(rows)

    def show_sibling(self, message_id: int, step: int) -> int:
        """Make the branch of the sibling ``step`` places further the active path, down to its newest message.

        Beyond the first and the last nothing changes. Returns the conversation's id.
        """
        with self._database.write() as connection:
            conversation_id = _conversation_of(connection, message_id)
            tree = _tree(connection, conversation_id)
            siblings = tree.siblings(message_id)
            place = siblings.index(message_id) + step
            if 0 <= place < len(siblings):
                leaf = tree.newest_leaf(siblings[place])
                connection.execute("UPDATE conversations SET active_leaf_id = ? WHERE id = ?", (leaf, conversation_id))
        return conversation_id

    def _insert_conversation(self, connection: sqlite3.Connection) -> int:
        now_s = self._now()
        cursor = connection.execute(
            "INSERT INTO conversations (title, created_at_s, updated_at_s, activity)"
            f" VALUES (?, ?, ?, {_NEXT_ACTIVITY})",
            (NEW_TITLE, now_s, now_s),
        )
        return _row_id(cursor)

    def _insert_message(
        self, connection: sqlite3.Connection, conversation_id: int, parent_id: int | None, role: Role, content: str
    ) -> int:
        """Add a leaf and make it the active one. Only answers are added unfinished."""
        state = MessageState.STREAMING if role is Role.ASSISTANT else MessageState.COMPLETE
        now_s = self._now()
        cursor = connection.execute(
            "INSERT INTO messages (conversation_id, parent_id, role, state, created_at_s, content)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (conversation_id, parent_id, role.value, state.value, now_s, content),
        )
        message_id = _row_id(cursor)
        if state is not MessageState.STREAMING:
            self._index.add(connection, message_id, content)
        connection.execute(
            f"UPDATE conversations SET active_leaf_id = ?, updated_at_s = ?, activity = {_NEXT_ACTIVITY} WHERE id = ?",
            (message_id, now_s, conversation_id),
        )
        return message_id

    def _save_answer(self, connection: sqlite3.Connection, update: AnswerUpdate) -> None:
        row = connection.execute("SELECT state, content FROM messages WHERE id = ?", (update.message_id,)).fetchone()
        if row is None:
            return
        state, content = row
        if state != MessageState.STREAMING:
            self._index.remove(connection, update.message_id, content)
        connection.execute(
            "UPDATE messages SET content = :content, state = :state, stats = :stats, error = :error,"
            " reasoning = :reasoning WHERE id = :id",
            {**columns_of(update), "id": update.message_id},
        )
        if update.state is not MessageState.STREAMING:
            self._index.add(connection, update.message_id, update.content)

    def _matching_messages(self, connection: sqlite3.Connection, words: list[str]) -> dict[int, str]:
        """A snippet of the newest matching message of each conversation that has one."""
        condition, parameters = self._index.candidates(words)
        places = connection.execute(
            "SELECT messages.id, conversation_id FROM messages"
            " JOIN conversations ON conversations.id = conversation_id"
            f" WHERE deleted_at_s IS NULL AND {condition} ORDER BY messages.id DESC",
            parameters,
        ).fetchall()
        found: dict[int, str] = {}
        for message_id, conversation_id in places:
            if conversation_id not in found:
                (content,) = connection.execute("SELECT content FROM messages WHERE id = ?", (message_id,)).fetchone()
                if isinstance(content, str) and contains(content, words):
                    found[conversation_id] = snippet(content, words)
        return found


def _summary(connection: sqlite3.Connection, conversation_id: int) -> ConversationSummary:
    sql = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE id = ? AND deleted_at_s IS NULL"
    row = connection.execute(sql, (conversation_id,)).fetchone()
    if row is None:
        raise InvalidRequest(_GONE)
    return conversation_of(row)


def _tree(connection: sqlite3.Connection, conversation_id: int) -> MessageTree:
    sql = "SELECT id, parent_id FROM messages WHERE conversation_id = ?"
    return MessageTree.of(connection.execute(sql, (conversation_id,)))


def _active_leaf(connection: sqlite3.Connection, conversation_id: int, tree: MessageTree) -> int | None:
    """The newest message stands in for a leaf that is not there."""
    sql = "SELECT active_leaf_id FROM conversations WHERE id = ?"
    (leaf,) = connection.execute(sql, (conversation_id,)).fetchone()
    return int(leaf) if leaf in tree.parents else max(tree.parents, default=None)


def _messages(
    connection: sqlite3.Connection, conversation_id: int, tree: MessageTree, ids: Iterable[int]
) -> tuple[Message, ...]:
    """Row by row, so that a damaged page hides its own rows only; 10,000 rows take about 0.1 s."""
    return tuple(_message(connection, conversation_id, tree, message_id) for message_id in ids)


def _message(connection: sqlite3.Connection, conversation_id: int, tree: MessageTree, message_id: int) -> Message:
    place = (conversation_id, tree.parents[message_id], tree.siblings(message_id))
    try:
        row = connection.execute(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?", (message_id,)).fetchone()
    except sqlite3.DatabaseError as error:
        _logger.error("message %d cannot be read: %s", message_id, error)
        row = None
    return unreadable_message(message_id, *place) if row is None else message_of(row, *place)


def _conversation_of(connection: sqlite3.Connection, message_id: int) -> int:
    row = connection.execute("SELECT conversation_id FROM messages WHERE id = ?", (message_id,)).fetchone()
    if row is None:
        raise InvalidRequest("This message is not there any more.")
    return int(row[0])


def _place(connection: sqlite3.Connection, message_id: int, role: Role) -> tuple[int, int | None]:
    """The conversation and the parent of a message that must have that role."""
    sql = "SELECT conversation_id, parent_id, role FROM messages WHERE id = ?"
    row = connection.execute(sql, (message_id,)).fetchone()
    if row is None:
        raise InvalidRequest("This message is not there any more.")
    conversation_id, parent_id, found = row
    if found != role:
        wanted = "Only your own messages can be edited." if role is Role.USER else "Only an answer can be made again."
        raise InvalidRequest(wanted)
    return conversation_id, parent_id


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise BugError("an INSERT gave no row id")
    return cursor.lastrowid
