"""With not one byte free the program starts, shows everything, says why nothing can be written, and recovers."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.chats.store import ChatStore
from app.chats.types import AnswerUpdate, MessageState
from engine.errors import StorageError
from tests.doubles.small_disk import SmallDisk


def fill_with_conversations(path: Path) -> None:
    store = ChatStore(path)
    for n in range(5):
        answer = store.add_question(None, f"question {n}")
        store.save_answers([AnswerUpdate(answer.id, f"answer {n}", MessageState.COMPLETE)])
    store.close()


def titles(store: ChatStore) -> list[str]:
    return [conversation.title for conversation in store.conversations()]


@pytest.fixture
def path(small_disk: SmallDisk) -> Path:
    path = small_disk.root / "hearth.db"
    fill_with_conversations(path)
    return path


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_a_disk_that_fills_up_while_running_costs_nothing_that_was_saved(path: Path, small_disk: SmallDisk) -> None:
    store = ChatStore(path)
    small_disk.fill()
    with pytest.raises(StorageError, match="disk is full") as full:
        store.add_question(None, "x" * 100_000)
    assert str(path) in full.value.text
    assert "Free some space" in full.value.hint
    assert len(titles(store)) == 5
    small_disk.free()
    store.add_question(None, "room again")
    assert titles(store)[0] == "room again"
    store.close()
    assert integrity(path) == "ok"


def test_the_store_opens_on_a_full_disk_and_writes_again_when_there_is_room(path: Path, small_disk: SmallDisk) -> None:
    small_disk.fill()
    store = ChatStore(path)
    assert len(titles(store)) == 5
    assert [m.content for m in store.thread(1).messages] == ["question 0", "answer 0"]
    assert len(store.search("question 3")) == 1
    with pytest.raises(StorageError, match="disk is full"):
        store.add_question(1, "hello")
    with pytest.raises(StorageError, match="disk is full"):
        store.delete(1)
    small_disk.free()
    store.add_question(1, "room again")
    store.close()
    assert integrity(path) == "ok"


def test_what_a_crash_left_in_the_log_is_read_on_a_full_disk(path: Path, small_disk: SmallDisk, tmp_path: Path) -> None:
    store = ChatStore(path)
    store.add_question(None, "only in the log")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", tmp_path / f"crashed{suffix}")
    store.close()
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"crashed{suffix}", f"{path}{suffix}")
    small_disk.fill()
    store = ChatStore(path)
    assert titles(store)[0] == "only in the log"
    store.close()


def test_a_first_start_on_a_full_disk_shows_an_empty_list_and_accepts_nothing(small_disk: SmallDisk) -> None:
    small_disk.fill()
    store = ChatStore(small_disk.root / "hearth.db")
    assert store.problem is not None
    assert "disk is full" in store.problem.text
    assert store.read_only
    assert store.conversations() == []
    with pytest.raises(StorageError, match="disk is full"):
        store.add_question(None, "this must not be lost")
    store.close()


def test_a_damaged_file_on_a_full_disk_is_shown_from_memory_and_left_alone(path: Path, small_disk: SmallDisk) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))
    damaged = path.read_bytes()
    small_disk.fill()
    store = ChatStore(path)
    assert store.read_only
    assert store.problem is not None
    assert "damaged" in store.problem.text
    assert "full" in store.problem.hint
    assert len(titles(store)) == 5
    store.close()
    assert path.read_bytes() == damaged
    assert sorted(file.name for file in small_disk.root.iterdir()) == ["ballast", "hearth.db"]
    small_disk.free()
    store = ChatStore(path)
    assert not store.read_only
    assert len(titles(store)) == 5
    store.close()


def test_a_read_only_disk_is_no_reason_not_to_show_conversations(path: Path, small_disk: SmallDisk) -> None:
    with small_disk.read_only():
        store = ChatStore(path)
        assert len(titles(store)) == 5
        with pytest.raises(StorageError):
            store.add_question(None, "hello")
        store.close()
