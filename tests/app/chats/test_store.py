"""Trees are drawn as ``question > answer``; siblings stand below each other."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.chats.schema import MIGRATIONS, migrate
from app.chats.store import ChatStore
from app.chats.titles import title_from
from app.chats.types import AnswerStats, AnswerUpdate, Message, MessageState, Reasoning
from engine.errors import ErrorInfo, InvalidRequest
from engine.types import AdapterUse, FinishReason, Role

STATS = AnswerStats("Tiny", 20, 4, 2, 4096, 0.05, None, FinishReason.END_OF_TURN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hearth.db"


@pytest.fixture
def store(path: Path) -> Iterator[ChatStore]:
    store = ChatStore(path)
    yield store
    store.close()


def ask(store: ChatStore, question: str, answer: str = "Yes.", conversation_id: int | None = None) -> Message:
    """A question and its finished answer, which is returned."""
    message = store.add_question(conversation_id, question)
    finish(store, message.id, answer)
    return store.message(message.id)


def finish(store: ChatStore, answer_id: int, text: str) -> None:
    store.save_answers([AnswerUpdate(answer_id, text, MessageState.COMPLETE, STATS)])


def texts(store: ChatStore, conversation_id: int) -> list[str]:
    return [message.content for message in store.thread(conversation_id).messages]


def titles(store: ChatStore) -> list[str]:
    return [conversation.title for conversation in store.conversations()]


def test_a_new_file_is_empty_and_has_no_problem(store: ChatStore) -> None:
    assert store.conversations() == []
    assert store.problem is None
    assert not store.read_only


def test_a_conversation_reads_back_as_it_was_written_after_a_restart(store: ChatStore, path: Path) -> None:
    answer = ask(store, "Wie heißt du? 🙂\0", "Ich heiße Hearth.")
    failed = store.add_question(answer.conversation_id, "And then?")
    error = ErrorInfo("OutOfMemory", "Too big.", "Smaller.", "detail")
    store.save_answers([AnswerUpdate(failed.id, "Half an ans", MessageState.FAILED, None, error)])
    before = store.thread(answer.conversation_id)
    store.close()
    again = ChatStore(path)
    thread = again.thread(answer.conversation_id)
    again.close()
    assert thread == before
    assert [m.role for m in thread.messages] == [Role.USER, Role.ASSISTANT] * 2
    assert [m.content for m in thread.messages[:2]] == ["Wie heißt du? 🙂\0", "Ich heiße Hearth."]
    assert [m.content for m in thread.messages[2:]] == ["And then?", "Half an ans"]
    assert thread.messages[1].stats == STATS
    assert thread.messages[3].error == error
    assert [m.parent_id for m in thread.messages] == [None, *[m.id for m in thread.messages[:-1]]]


def test_an_unanswered_question_has_an_empty_answer_that_streams(store: ChatStore) -> None:
    answer = store.add_question(None, "Hello?")
    assert (answer.role, answer.content, answer.state) == (Role.ASSISTANT, "", MessageState.STREAMING)


def test_conversations_stand_in_the_order_of_their_last_use_whatever_the_clock_says(tmp_path: Path) -> None:
    clock = itertools.count(5_000_000_000, -1000)
    store = ChatStore(tmp_path / "clock.db", now=lambda: float(next(clock)))
    first, _, third = (ask(store, title) for title in ("first", "second", "third"))
    assert titles(store) == ["third", "second", "first"]
    ask(store, "again", conversation_id=first.conversation_id)
    assert titles(store) == ["first", "third", "second"]
    store.rename(third.conversation_id, "renaming is no use")
    assert titles(store) == ["first", "renaming is no use", "second"]
    store.close()


def test_the_first_question_gives_the_title_and_later_ones_do_not(store: ChatStore) -> None:
    conversation = store.create_conversation()
    assert conversation.title == "New conversation"
    ask(store, "\n  What   is a token?\nI wonder.", conversation_id=conversation.id)
    ask(store, "Another question", conversation_id=conversation.id)
    assert titles(store) == ["What is a token?"]


def test_a_title_that_was_chosen_stays(store: ChatStore) -> None:
    conversation = store.create_conversation()
    store.rename(conversation.id, "  My   title ")
    ask(store, "What is a token?", conversation_id=conversation.id)
    assert titles(store) == ["My title"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("word " * 20, "word word word word word word word word word word word…"),
        ("a" + " " * 80 + "b", "a b"),
        ("a " + "b" * 80, "a " + "b" * 57 + "…"),
    ],
)
def test_long_titles_are_cut_at_a_word_where_there_is_one(text: str, title: str) -> None:
    assert title_from(text) == title
    assert len(title) <= 60


def test_an_empty_title_is_refused(store: ChatStore) -> None:
    conversation = store.create_conversation()
    with pytest.raises(InvalidRequest):
        store.rename(conversation.id, " \n")


def test_another_answer_is_a_sibling_and_becomes_the_active_path(store: ChatStore) -> None:
    """::

    q > a1
        a2  (active)
    """
    first = ask(store, "q", "a1")
    second = store.add_answer_beside(first.id)
    finish(store, second.id, "a2")
    assert texts(store, first.conversation_id) == ["q", "a2"]
    shown = store.thread(first.conversation_id).messages[-1]
    assert (shown.sibling_number, shown.n_siblings) == (2, 2)
    assert (store.message(first.id).sibling_number, store.message(first.id).n_siblings) == (1, 2)


def test_an_edited_question_starts_a_branch_with_its_own_answers(store: ChatStore) -> None:
    """::

    q1 > a1 > q2  > a2
              q2' > a2'  (active) > q3 > a3
    """
    first = ask(store, "q1", "a1")
    second = ask(store, "q2", "a2", first.conversation_id)
    assert second.parent_id is not None
    edited = store.add_edit(second.parent_id, "q2'")
    finish(store, edited.id, "a2'")
    ask(store, "q3", "a3", first.conversation_id)
    assert texts(store, first.conversation_id) == ["q1", "a1", "q2'", "a2'", "q3", "a3"]
    store.show_sibling(second.parent_id, 1)
    assert texts(store, first.conversation_id) == ["q1", "a1", "q2'", "a2'", "q3", "a3"]
    store.show_sibling(edited.parent_id or 0, -1)
    assert texts(store, first.conversation_id) == ["q1", "a1", "q2", "a2"]
    assert [m.content for m in store.path_to(edited.id)] == ["q1", "a1", "q2'", "a2'"]


def test_the_first_question_can_be_edited_too(store: ChatStore) -> None:
    first = ask(store, "q1", "a1")
    store.add_edit(first.parent_id or 0, "q1'")
    thread = store.thread(first.conversation_id)
    assert [m.content for m in thread.messages] == ["q1'", ""]
    assert (thread.messages[0].sibling_number, thread.messages[0].n_siblings) == (2, 2)
    assert thread.messages[0].parent_id is None


@pytest.mark.parametrize("step", [-1, 1, 5])
def test_stepping_beyond_the_siblings_changes_nothing(store: ChatStore, step: int) -> None:
    answer = ask(store, "q", "a")
    store.show_sibling(answer.id, step)
    assert texts(store, answer.conversation_id) == ["q", "a"]


def test_only_questions_are_edited_and_only_answers_are_made_again(store: ChatStore) -> None:
    answer = ask(store, "q", "a")
    with pytest.raises(InvalidRequest, match="edited"):
        store.add_edit(answer.id, "x")
    with pytest.raises(InvalidRequest, match="made again"):
        store.add_answer_beside(answer.parent_id or 0)
    assert texts(store, answer.conversation_id) == ["q", "a"]


def test_what_is_not_there_is_an_invalid_request(store: ChatStore) -> None:
    for call in (store.thread, store.restore, store.delete, store.message, store.add_answer_beside):
        with pytest.raises(InvalidRequest, match="not there"):
            call(99)
    for refused in (store.add_question, store.rename, store.add_edit):
        with pytest.raises(InvalidRequest, match="not there"):
            refused(99, "text")
    assert store.conversations() == []


def test_a_deleted_conversation_is_hidden_and_can_be_restored(store: ChatStore) -> None:
    answer = ask(store, "q", "a")
    ask(store, "other")
    store.delete(answer.conversation_id)
    assert titles(store) == ["other"]
    assert store.search("q") == []
    with pytest.raises(InvalidRequest):
        store.thread(answer.conversation_id)
    store.restore(answer.conversation_id)
    assert titles(store) == ["other", "q"]
    assert texts(store, answer.conversation_id) == ["q", "a"]


def test_what_is_purged_is_gone_from_the_file_and_its_ids_are_not_used_again(store: ChatStore, path: Path) -> None:
    kept = ask(store, "kept")
    answer = ask(store, "a very secret question", "a very secret answer")
    store.delete(answer.conversation_id)
    store.purge_deleted()
    with pytest.raises(InvalidRequest):
        store.restore(answer.conversation_id)
    assert store.search("secret") == []
    assert texts(store, kept.conversation_id) == ["kept", "Yes."]
    assert store.add_question(None, "new").id > answer.id
    store.close()
    assert b"very secret" not in path.read_bytes()


def test_a_very_long_conversation_can_be_purged(path: Path) -> None:
    """Its depth is beyond SQLite's limit of 1,000 for cascading deletes."""
    store = ChatStore(path)
    answer = ask(store, "root")
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("BEGIN")
        for n in range(answer.id + 1, 3000):
            connection.execute(
                "INSERT INTO messages (id, conversation_id, parent_id, role, state, created_at_s, content)"
                " VALUES (?, ?, ?, 'user', 'complete', 0, 'deep')",
                (n, answer.conversation_id, n - 1),
            )
        connection.execute("UPDATE conversations SET active_leaf_id = 2999")
        connection.execute("COMMIT")
    connection.close()
    assert len(store.thread(answer.conversation_id).messages) == 2999
    store.delete(answer.conversation_id)
    store.purge_deleted()
    assert store.conversations() == []
    store.close()


def test_saving_an_answer_of_a_purged_conversation_is_passed_over(store: ChatStore) -> None:
    answer = store.add_question(None, "q")
    other = store.add_question(None, "other")
    store.delete(answer.conversation_id)
    store.purge_deleted()
    store.save_answers(
        [
            AnswerUpdate(answer.id, "late", MessageState.STOPPED),
            AnswerUpdate(other.id, "kept", MessageState.COMPLETE),
        ]
    )
    assert texts(store, other.conversation_id) == ["other", "kept"]


def test_answers_left_open_by_a_dead_run_keep_their_text_as_interrupted(store: ChatStore) -> None:
    answer = store.add_question(None, "q")
    done = ask(store, "done")
    store.save_answers([AnswerUpdate(answer.id, "Half an", MessageState.STREAMING)])
    assert store.interrupt_streaming() == 1
    assert store.interrupt_streaming() == 0
    assert (store.message(answer.id).content, store.message(answer.id).state) == ("Half an", MessageState.INTERRUPTED)
    assert store.message(done.id).state is MessageState.COMPLETE


def test_what_an_open_answer_thought_is_kept_when_a_dead_run_left_it(store: ChatStore) -> None:
    answer = store.add_question(None, "q")
    reasoning = Reasoning("Hmm.", 2.5)
    store.save_answers([AnswerUpdate(answer.id, "Half an", MessageState.STREAMING, reasoning=reasoning)])
    store.interrupt_streaming()
    assert store.message(answer.id).reasoning == reasoning


def test_a_file_from_before_reasoning_was_kept_opens_and_takes_some(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute("INSERT INTO conversations VALUES (1, 'Old', 1.0, 1.0, 1, 2, NULL)")
        connection.execute("INSERT INTO messages VALUES (1, 1, NULL, 'user', 'complete', 1.0, NULL, NULL, 'q')")
        connection.execute("INSERT INTO messages VALUES (2, 1, 1, 'assistant', 'complete', 1.0, NULL, NULL, 'a')")
    store = ChatStore(path)
    assert store.problem is None
    assert [(message.content, message.reasoning) for message in store.thread(1).messages] == [("q", None), ("a", None)]
    answer = store.add_question(1, "more")
    store.save_answers([AnswerUpdate(answer.id, "b", MessageState.COMPLETE, reasoning=Reasoning("Well.", 1.0))])
    store.close()
    store = ChatStore(path)
    assert store.message(answer.id).reasoning == Reasoning("Well.", 1.0)
    store.close()


def test_adapters_are_kept_with_their_conversation(store: ChatStore, path: Path) -> None:
    first, second = ask(store, "one", "two"), ask(store, "three", "four")
    uses = (AdapterUse("/models/pirate.gguf", 0.5), AdapterUse("/models/poet.gguf"))
    store.set_adapters(first.conversation_id, uses)
    assert store.adapters(first.conversation_id) == uses
    assert store.adapters(second.conversation_id) == ()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO adapters VALUES (?, '[3]')", (second.conversation_id,))
    assert store.adapters(second.conversation_id) == ()
    store.set_adapters(second.conversation_id, ())
    with pytest.raises(InvalidRequest):
        store.set_adapters(999, uses)
    store.delete(first.conversation_id)
    store.purge_deleted()
    assert store.adapters(first.conversation_id) == ()


def test_rows_that_make_no_sense_hide_nothing_else(store: ChatStore, path: Path) -> None:
    first = ask(store, "one", "two")
    second = ask(store, "three", "four", first.conversation_id)
    ask(store, "other")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE messages SET role = 'wizard' WHERE id = ?", (first.id,))
        connection.execute("UPDATE messages SET content = CAST(x'ff41ff' AS TEXT) WHERE id = ?", (first.parent_id,))
        connection.execute("UPDATE messages SET stats = '{', error = '[]' WHERE id = ?", (second.id,))
        connection.execute("UPDATE messages SET created_at_s = 'noon', state = 'odd' WHERE id = ?", (second.parent_id,))
        connection.execute(
            "UPDATE conversations SET title = x'00', active_leaf_id = 999 WHERE id = ?", (first.conversation_id,)
        )
    connection.close()
    assert titles(store) == ["other", "Untitled"]
    messages = store.thread(first.conversation_id).messages
    assert [m.content for m in messages] == ["\ufffdA\ufffd", "two", "three", "four"]
    assert messages[1].role is Role.ASSISTANT
    assert messages[2].state is MessageState.INTERRUPTED
    assert messages[3].stats is None


def test_links_that_lead_nowhere_or_in_a_circle_do_not_hang(store: ChatStore, path: Path) -> None:
    first = ask(store, "one", "two")
    second = ask(store, "three", "four", first.conversation_id)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE messages SET parent_id = ? WHERE id = ?", (second.id, first.parent_id))
        connection.execute("UPDATE messages SET parent_id = 777 WHERE id = ?", (second.parent_id,))
    connection.close()
    assert texts(store, first.conversation_id) == ["three", "four"]
    store.show_sibling(second.parent_id or 0, -1)
    assert texts(store, first.conversation_id) == ["one", "two"]


def test_two_programs_can_use_the_file_at_the_same_time(store: ChatStore, path: Path) -> None:
    other = ChatStore(path)
    answer = ask(store, "from one")
    ask(other, "from another", conversation_id=answer.conversation_id)
    assert texts(store, answer.conversation_id) == ["from one", "Yes.", "from another", "Yes."]
    other.close()
