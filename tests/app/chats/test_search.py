from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.chats import search
from app.chats.store import ChatStore
from app.chats.types import AnswerUpdate, MessageState


def no_index(connection: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("no such module: fts5")


@pytest.fixture(params=["with an index", "without"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatStore]:
    """Every behaviour holds where SQLite has FTS5 and where it has not."""
    if request.param == "without":
        monkeypatch.setattr(search, "_create", no_index)
    store = ChatStore(tmp_path / "hearth.db")
    yield store
    store.close()


def add(store: ChatStore, question: str, answer: str = "", state: MessageState = MessageState.COMPLETE) -> int:
    message = store.add_question(None, question)
    store.save_answers([AnswerUpdate(message.id, answer, state)])
    return message.conversation_id


def found(store: ChatStore, text: str) -> list[int]:
    return [conversation.id for conversation in store.search(text)]


def test_questions_answers_and_titles_are_found_last_used_first(store: ChatStore) -> None:
    question = add(store, "How does quantization work?")
    answer = add(store, "Tell me more", "It quantizes weights.")
    title = add(store, "Something else")
    store.rename(title, "Quantity")
    add(store, "unrelated")
    assert found(store, "quanti") == [title, answer, question]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("straße und Brücke", "BRÜCKE"),
        ("КВАНТОВАНИЕ весов", "квантование"),
        ("量子化とは何ですか", "何です"),
        ("模型量化", "模型"),
        ("an x in it", "x"),
        ("inside aWordHere", "word"),
        ("100 % sure_thing", "% sure_"),
        ('he said "stop" AND left', '"stop" AND'),
        ("a * b NEAR(c)", "NEAR(c) *"),
        ("first here, then second", "second first"),
        ("ends with\0a zero", "a zero"),
        ("cafés", "afé"),
    ],
)
def test_a_search_means_contains_all_words_in_any_script_and_any_case(
    store: ChatStore, content: str, text: str
) -> None:
    conversation = add(store, "question", content)
    add(store, "other", "Lorem ipsum dolor")
    assert found(store, text) == [conversation]


def test_a_whole_page_can_be_searched_for(store: ChatStore) -> None:
    text = " ".join(f"word{n}" for n in range(2000))
    conversation = add(store, text)
    add(store, text[:-1])
    assert found(store, text) == [conversation]


def test_all_words_must_be_in_one_message(store: ChatStore) -> None:
    add(store, "apples and pears", "oranges")
    assert found(store, "apples oranges") == []


@pytest.mark.parametrize("text", ["", "  ", "\0"])
def test_no_word_finds_everything(store: ChatStore, text: str) -> None:
    ids = [add(store, "a"), add(store, "b")]
    assert found(store, text) == ids[::-1]


def test_the_snippet_shows_the_newest_match_in_its_surroundings(store: ChatStore) -> None:
    conversation = add(store, "needle here", "x " * 200 + "another\n\nNeedle there " + "y " * 200)
    (summary,) = store.search("needle")
    assert summary.snippet is not None
    assert "another Needle there y" in summary.snippet
    assert summary.snippet.startswith("…")
    assert summary.snippet.endswith("…")
    assert len(summary.snippet) < 130
    store.rename(conversation, "only the title")
    assert store.search("title")[0].snippet is None


def test_an_answer_is_found_when_it_has_ended_however_it_ended(store: ChatStore) -> None:
    states = (MessageState.STOPPED, MessageState.INTERRUPTED, MessageState.FAILED)
    ids = [add(store, "q", "findable", state) for state in states]
    assert found(store, "findable") == ids[::-1]


def test_text_that_was_replaced_is_not_found_any_more(store: ChatStore) -> None:
    answer = store.add_question(None, "q")
    for text in ("before", "after"):
        store.save_answers([AnswerUpdate(answer.id, text, MessageState.COMPLETE)])
    assert found(store, "before") == []
    assert found(store, "after") == [answer.conversation_id]


def test_messages_written_without_an_index_are_added_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hearth.db"
    with monkeypatch.context() as without:
        without.setattr(search, "_create", no_index)
        store = ChatStore(path)
        conversation = add(store, "written without", "an index")
        gone = add(store, "to be deleted")
        store.close()
    store = ChatStore(path)
    assert found(store, "without") == [conversation]
    store.delete(gone)
    store.purge_deleted()
    store.close()


def test_messages_that_were_never_indexed_can_be_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hearth.db"
    store = ChatStore(path)
    with monkeypatch.context() as without:
        without.setattr(search, "_create", no_index)
        other = ChatStore(path)
        conversation = add(other, "q", "never indexed")
        other.close()
    add(store, "indexed")
    store.delete(conversation)
    store.purge_deleted()
    assert len(store.conversations()) == 1
    store.close()
