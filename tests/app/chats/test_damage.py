"""Files that are not as they were left: whatever happened, the program starts and what can be read is there."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.chats.salvage import salvage
from app.chats.schema import MIGRATIONS, PAGE_SIZE_BYTES, migrate, user_version
from app.chats.store import ChatStore
from app.chats.types import AnswerUpdate, ConversationSummary, MessageState, Reasoning
from engine.errors import StorageError

N_CONVERSATIONS, N_TURNS = 4, 6
LONG = "long answer " * 2000  # needs overflow pages
PADDING = " words" * 100  # half a dozen answers fill a page


def answer_text(conversation: int, turn: int) -> str:
    return f"answer {conversation}.{turn}{PADDING}"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four conversations of six questions and answers; one answer in each is longer than a page."""
    path = tmp_path_factory.mktemp("original") / "hearth.db"
    store = ChatStore(path)
    for c in range(N_CONVERSATIONS):
        conversation_id = store.create_conversation().id
        for n in range(N_TURNS):
            answer = store.add_question(conversation_id, f"question {c}.{n}")
            text = f"{LONG}{c}" if n == 2 else answer_text(c, n)
            store.save_answers([AnswerUpdate(answer.id, text, MessageState.COMPLETE)])
    store.close()
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "hearth.db"))


def content_of(path: Path) -> dict[str, list[str]]:
    """Texts by the conversation's title, whatever state the file is in."""
    store = ChatStore(path)
    try:
        return {c.title: _texts(store, c) for c in store.conversations()}
    finally:
        store.close()


def _texts(store: ChatStore, conversation: ConversationSummary) -> list[str]:
    return [message.content for message in store.thread(conversation.id).messages]


def n_messages(content: dict[str, list[str]]) -> int:
    return sum(len(texts) for texts in content.values())


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def test_an_intact_file_is_not_touched(path: Path) -> None:
    before = content_of(path)
    assert n_messages(before) == N_CONVERSATIONS * N_TURNS * 2
    assert [entry.name for entry in path.parent.iterdir()] == ["hearth.db"]


def _zero_header(path: Path) -> None:
    overwrite(path, 0, bytes(100))


def _zero_first_page(path: Path) -> None:
    overwrite(path, 0, bytes(PAGE_SIZE_BYTES))


def _flip_version(path: Path) -> None:
    overwrite(path, 60, bytes(4))


def _text_header(path: Path) -> None:
    overwrite(path, 0, b"<!DOCTYPE html>")


@pytest.mark.parametrize("damage", [_zero_header, _zero_first_page, _flip_version, _text_header])
def test_a_damaged_header_costs_no_message(path: Path, damage: Callable[[Path], None]) -> None:
    before = content_of(path)
    damage(path)
    damaged = path.read_bytes()
    store = ChatStore(path)
    assert store.problem is not None
    assert "48 messages in 4 conversations could be read" in store.problem.text
    assert "hearth.db.corrupt-1" in store.problem.hint
    assert not store.read_only
    store.close()
    assert path.with_name("hearth.db.corrupt-1").read_bytes() == damaged
    assert content_of(path) == before


def test_what_was_thought_is_found_in_a_damaged_file_too(path: Path) -> None:
    thought = Reasoning("Hmm. " * 2000, 2.0)  # longer than a page
    store = ChatStore(path)
    answer = store.add_question(1, "and?")
    store.save_answers([AnswerUpdate(answer.id, "Well.", MessageState.COMPLETE, reasoning=thought)])
    store.close()
    _zero_header(path)
    store = ChatStore(path)
    assert store.message(answer.id).content == "Well."
    assert store.message(answer.id).reasoning == thought
    assert len(store.thread(1).messages) == N_TURNS * 2 + 2
    store.close()


def test_a_repaired_file_works_like_a_new_one(path: Path) -> None:
    _zero_header(path)
    store = ChatStore(path)
    newest = store.conversations()[0]
    answer = store.add_question(newest.id, "and now?")
    assert answer.id > N_CONVERSATIONS * N_TURNS * 2
    assert store.search("and now")[0].id == newest.id
    assert len(store.search("question 2.3")) == 1
    store.close()
    store = ChatStore(path)
    assert store.problem is None
    store.close()


def test_every_single_page_can_be_lost_and_the_rest_is_kept(original: Path, tmp_path: Path) -> None:
    before = content_of(original)
    all_texts = {text for texts in before.values() for text in texts}
    n_pages = original.stat().st_size // PAGE_SIZE_BYTES
    fewest = n_messages(before)
    for n in range(n_pages):
        path = Path(shutil.copy(original, tmp_path / f"page-{n}.db"))
        overwrite(path, n * PAGE_SIZE_BYTES, b"\xa5" * PAGE_SIZE_BYTES)
        content = content_of(path)
        fewest = min(fewest, n_messages(content))
        for text in itertools.chain(*content.values()):
            readable = text.partition("\ufffd")[0]
            assert any(whole.startswith(readable) for whole in all_texts)
    assert fewest >= n_messages(before) - 14


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9, 0.97])
def test_a_truncated_file_keeps_what_was_before_the_cut(path: Path, part: float) -> None:
    before = content_of(path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))
    content = content_of(path)
    assert n_messages(content) <= n_messages(before)
    assert n_messages(content) > 0 or part < 0.5
    assert path.with_name("hearth.db.corrupt-1").exists()


@pytest.mark.parametrize("garbage", [b"not a database, but somebody's notes\n" * 400, bytes(64_560), b"\x0d" * 20_000])
def test_a_file_that_is_no_database_is_kept_aside_and_a_new_one_is_begun(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "hearth.db"
    path.write_bytes(garbage)
    store = ChatStore(path)
    assert store.problem is not None
    assert store.conversations() == []
    store.add_question(None, "hello")
    store.close()
    assert path.with_name("hearth.db.corrupt-1").read_bytes() == garbage
    assert list(content_of(path)) == ["hello"]


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "hearth.db"
    path.touch()
    store = ChatStore(path)
    assert store.problem is None
    store.close()


def test_damage_after_damage_keeps_every_copy(path: Path) -> None:
    for n in (1, 2, 3):
        _zero_header(path)
        assert n_messages(content_of(path)) == N_CONVERSATIONS * N_TURNS * 2
        assert path.with_name(f"hearth.db.corrupt-{n}").exists()


def test_what_was_only_in_the_log_is_found_too(path: Path, tmp_path: Path) -> None:
    """As after a crash: the newest messages are in ``-wal``, and the main file lost its header."""
    store = ChatStore(path)
    store.add_question(None, "only in the log")
    crashed = tmp_path / "crashed" / "hearth.db"
    crashed.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    store.close()
    _zero_header(crashed)
    assert "only in the log" in content_of(crashed)
    assert n_messages(content_of(crashed)) == N_CONVERSATIONS * N_TURNS * 2 + 2


def test_a_lost_log_costs_its_messages_and_not_the_file(path: Path, tmp_path: Path) -> None:
    store = ChatStore(path)
    store.add_question(None, "only in the log")
    crashed = Path(shutil.copy(path, tmp_path / "crashed.db"))
    store.close()
    assert n_messages(content_of(crashed)) == N_CONVERSATIONS * N_TURNS * 2


def test_messages_whose_conversation_is_lost_get_a_new_one_with_a_title_of_their_own(path: Path) -> None:
    before = content_of(path)
    store = ChatStore(path)
    store.rename(2, "a title that is lost")
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM conversations WHERE id = 2")
    connection.close()
    _zero_header(path)
    assert content_of(path) == before


def test_a_lost_message_does_not_cut_the_conversation_in_two(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM messages WHERE content LIKE 'answer 3.3%'")
    connection.close()
    _zero_header(path)
    texts = content_of(path)["question 3.0"]
    assert texts[-5:] == ["question 3.3", "question 3.4", answer_text(3, 4), "question 3.5", answer_text(3, 5)]
    assert len(texts) == N_TURNS * 2 - 1


def test_what_was_purged_does_not_come_back(path: Path) -> None:
    store = ChatStore(path)
    store.delete(1)
    store.purge_deleted()
    store.close()
    _zero_header(path)
    assert sorted(content_of(path)) == ["question 1.0", "question 2.0", "question 3.0"]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)), max_size=30))
def test_no_damage_stops_the_reading(original: Path, tmp_path: Path, damage: list[tuple[float, bytes]]) -> None:
    data = bytearray(original.read_bytes())
    for place, value in damage:
        start = int(place * len(data))
        data[start : start + len(value)] = value
    path = tmp_path / "fuzzed.db"
    path.write_bytes(data)
    found = salvage(path)
    assert len(found.messages) <= N_CONVERSATIONS * N_TURNS * 2 + len(damage)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_a_store_opens_whatever_bytes_were_flipped(original: Path, tmp_path: Path, seed: int, n_flips: int) -> None:
    data = bytearray(original.read_bytes())
    for n in range(n_flips):
        data[(seed * 7919 + n * 104_729) % len(data)] ^= 1 << (seed + n) % 8
    path = tmp_path / "flipped.db"
    for old in tmp_path.glob("flipped.db*"):
        old.unlink()
    path.write_bytes(data)
    store = ChatStore(path)
    for conversation in store.conversations():
        store.thread(conversation.id)
    store.close()


def test_a_page_that_is_damaged_while_the_store_is_open_hides_its_own_messages_only(path: Path) -> None:
    store = ChatStore(path)
    intact = store.thread(1).messages
    data = path.read_bytes()
    overwrite(path, data.index(b"answer 0.5") // PAGE_SIZE_BYTES * PAGE_SIZE_BYTES, b"\xa5" * PAGE_SIZE_BYTES)
    with sqlite3.connect(path) as other:  # a change by somebody else makes the store read the pages again
        other.execute("UPDATE conversations SET title = 'changed' WHERE id = 4")
    other.close()
    messages = store.thread(1).messages
    assert [message.id for message in messages] == [message.id for message in intact]
    unreadable = [message for message in messages if message.error is not None]
    assert 0 < len(unreadable) < len(intact)
    assert store.conversations()[0].title == "changed"
    store.close()


def test_a_file_of_a_newer_version_is_read_and_never_changed(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        connection.execute("ALTER TABLE messages ADD COLUMN mood TEXT")
    connection.close()
    before = path.read_bytes()
    store = ChatStore(path)
    assert store.read_only
    assert store.problem is not None
    assert "newer version" in store.problem.text
    assert len(store.thread(1).messages) == N_TURNS * 2
    assert len(store.search("question 2.3")) == 1
    for change in (store.create_conversation, store.purge_deleted, store.interrupt_streaming):
        with pytest.raises(StorageError, match="newer version"):
            change()
    with pytest.raises(StorageError, match="newer version"):
        store.add_question(1, "hello")
    store.close()
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_opened_is_no_reason_not_to_start(tmp_path: Path) -> None:
    path = tmp_path / "hearth.db"
    path.mkdir()
    store = ChatStore(path)
    assert store.read_only
    assert store.problem is not None
    assert "hearth.db" in store.problem.text
    assert store.conversations() == []
    with pytest.raises(StorageError):
        store.add_question(None, "hello")
    store.close()


def test_an_older_file_is_brought_to_the_current_version_in_one_step(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    migrate(connection, [("CREATE TABLE a (x)",)])
    migrate(connection, [("CREATE TABLE a (x)",), ("ALTER TABLE a ADD COLUMN y", "INSERT INTO a VALUES (1, 2)")])
    assert user_version(connection) == 2
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 2)]
    connection.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    with pytest.raises(sqlite3.Error):
        migrate(connection, [("CREATE TABLE a (x)",), ("CREATE TABLE b (x)", "nonsense")])
    assert user_version(connection) == 0
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
