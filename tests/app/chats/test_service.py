from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.chats import ChatService, ChatStore
from app.chats.types import AnswerUpdate, MessageState, Reasoning, Thread, message_id_of, request_id_of
from app.jobs import IoPool
from app.settings import SettingsStore
from engine.errors import EngineBusy, ErrorInfo, InvalidRequest, StorageError
from engine.events import EngineFailed, RequestFailed, TokensEmitted
from engine.types import AdapterUse, ChatMessage, FinishReason, GenerationRequest, RequestId, Role
from tests.doubles.engine import FakeEngineClient
from tests.doubles.small_disk import SmallDisk

DIED = ErrorInfo("EngineStopped", "The engine stopped.", "Load the model again.")
OUT_OF_MEMORY = ErrorInfo("OutOfMemory", "Too big.", "Close something.")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A service on a file, a scripted engine, and what the file holds."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hearth.db"
        self.settings = SettingsStore(folder / "settings.json")
        self.engine = FakeEngineClient()
        self.clock = Clock()
        self.start()

    def start(self) -> None:
        self.io = IoPool()
        self.store = ChatStore(self.path)
        self.chats = ChatService(self.store, self.engine, self.settings, self.io, self.clock)

    def restart(self) -> None:
        self.close()
        self.engine = FakeEngineClient()
        self.start()

    def close(self) -> None:
        self.chats.close()
        self.io.close()

    def die(self) -> None:
        """What a dead process leaves: no goodbye to the store."""
        self.settle()
        self.store.close()
        self.io.close()

    def settle(self) -> None:
        """Until everything that was queued for saving is done."""
        self.io.serial("chats").submit(int).result()

    def saved(self) -> dict[int, tuple[str, str]]:
        """State and content by id, as another program reads them."""
        self.settle()
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT id, state, content FROM messages").fetchall()
        return {message_id: (state, content) for message_id, state, content in rows}

    def emit(self, answer_id: int, text: str) -> None:
        self.engine.emit(TokensEmitted(request_id_of(answer_id), text, 1))

    def fail(self, answer_id: int, error: ErrorInfo) -> None:
        self.engine.emit(RequestFailed(request_id_of(answer_id), error))

    def ask(self, text: str, answer: str, conversation_id: int | None = None) -> Thread:
        thread = self.chats.send(conversation_id, text, "Tiny")
        self.engine.answer(self.engine.submitted[-1].id, answer)
        return self.chats.thread(thread.conversation.id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def contents(thread: Thread) -> list[str]:
    return [message.content for message in thread.messages]


def asked(request: GenerationRequest) -> list[tuple[str, str]]:
    return [(message.role.value, message.content) for message in request.messages]


def test_message_ids_and_request_ids_belong_together() -> None:
    assert message_id_of(request_id_of(42)) == 42
    for other in ("message-", "message-x", "message-1.5", "message-²", "api-42", "42", ""):
        assert message_id_of(RequestId(other)) is None


def test_a_question_makes_a_conversation_and_is_answered(bench: Bench) -> None:
    thread = bench.chats.send(None, "What is a token?", "Tiny")
    assert thread.conversation.title == "What is a token?"
    assert [(m.role, m.content, m.state) for m in thread.messages] == [
        (Role.USER, "What is a token?", MessageState.COMPLETE),
        (Role.ASSISTANT, "", MessageState.STREAMING),
    ]
    bench.engine.answer(request_id_of(thread.messages[-1].id), "A piece of text.")
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.content, answer.state) == ("A piece of text.", MessageState.COMPLETE)
    assert answer.stats is not None
    assert (answer.stats.model_name, answer.stats.n_prompt, answer.stats.n_cached) == ("Tiny", 20, 4)
    assert (answer.stats.n_output, answer.stats.tokens_per_s) == (4, 6.0)
    assert answer.stats.finish_reason is FinishReason.END_OF_TURN


def test_the_question_is_in_the_file_before_the_engine_sees_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file_at_submit: list[list[str]] = []

    def submit(request: GenerationRequest) -> None:
        with closing(sqlite3.connect(bench.path)) as connection:
            rows = connection.execute("SELECT content FROM messages ORDER BY id").fetchall()
        in_file_at_submit.append([content for (content,) in rows])

    monkeypatch.setattr(bench.engine, "submit", submit)
    bench.chats.send(None, "hello", None)
    assert in_file_at_submit == [["hello", ""]]


def test_a_question_that_cannot_be_saved_is_not_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(conversation_id: int | None, text: str) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(bench.store, "add_question", full)
    with pytest.raises(StorageError):
        bench.chats.send(None, "hello", None)
    assert bench.engine.submitted == []


def test_the_engine_gets_the_system_prompt_the_whole_path_and_the_temperature(bench: Bench) -> None:
    bench.settings.update(system_prompt="Be brief.", temperature=0.2)
    thread = bench.ask("one", "two")
    bench.chats.send(thread.conversation.id, "three", None)
    request = bench.engine.submitted[-1]
    assert asked(request) == [("system", "Be brief."), ("user", "one"), ("assistant", "two"), ("user", "three")]
    assert request.sampling.temperature == 0.2


def test_a_blank_system_prompt_is_none(bench: Bench) -> None:
    bench.settings.update(system_prompt=" \n")
    bench.chats.send(None, "hello", None)
    assert bench.engine.submitted[-1].messages == (ChatMessage(Role.USER, "hello"),)


def test_questions_without_an_answer_are_asked_as_one_because_templates_want_turns(bench: Bench) -> None:
    thread = bench.chats.send(None, "one", None)
    bench.fail(thread.messages[-1].id, OUT_OF_MEMORY)
    bench.chats.send(thread.conversation.id, "two", None)
    assert asked(bench.engine.submitted[-1]) == [("user", "one\n\ntwo")]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_question_is_refused_and_makes_nothing(bench: Bench, text: str) -> None:
    with pytest.raises(InvalidRequest):
        bench.chats.send(None, text, None)
    assert bench.chats.conversations() == []


def test_text_that_is_not_unicode_is_repaired(bench: Bench) -> None:
    thread = bench.chats.send(None, "half \ud83d, whole \ud83d\ude42, \U0001f642", None)
    assert thread.messages[0].content == "half \ufffd, whole 🙂, 🙂"
    assert bench.chats.search("\ud800") != []
    bench.chats.rename(thread.conversation.id, "\ud800")


def test_what_has_streamed_is_shown_at_once_and_saved_at_most_once_a_second(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves: list[str] = []
    save_answers = bench.store.save_answers

    def recording(updates: tuple[AnswerUpdate, ...]) -> None:
        saves.extend(update.content for update in updates)
        save_answers(updates)

    monkeypatch.setattr(bench.store, "save_answers", recording)
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    for n in range(30):
        bench.clock.now_s += 0.1
        bench.emit(answer_id, f"{n} ")
        assert contents(bench.chats.thread(thread.conversation.id))[-1].endswith(f"{n} ")
        bench.settle()
    assert 2 <= len(saves) <= 3
    assert bench.saved()[answer_id] == ("streaming", saves[-1])


def test_what_a_model_thinks_is_kept_beside_its_answer_and_told_to_its_template(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    for reasoning, text in (("Let me ", ""), ("see.", ""), ("", "Yes"), ("", " indeed")):
        bench.engine.emit(TokensEmitted(request_id_of(answer_id), text, 1, reasoning=reasoning))
        bench.clock.now_s += 1.5
    live = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (live.content, live.reasoning) == ("Yes indeed", Reasoning("Let me see.", 3.0))

    bench.engine.finish(request_id_of(answer_id), 4)
    bench.restart()

    kept = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (kept.content, kept.reasoning) == ("Yes indeed", Reasoning("Let me see.", 3.0))
    bench.chats.send(thread.conversation.id, "and?", None)
    assert [(m.content, m.reasoning) for m in bench.engine.submitted[-1].messages] == [
        ("q", ""),
        ("Yes indeed", "Let me see."),
        ("and?", ""),
    ]


def test_the_end_of_an_answer_is_saved_at_once(bench: Bench) -> None:
    answer_id = bench.ask("q", "the whole answer").messages[-1].id
    assert bench.saved()[answer_id] == ("complete", "the whole answer")


def test_stopping_keeps_the_text_and_cancels_the_request(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    bench.emit(answer_id, "Half an ans")
    bench.chats.stop(answer_id)
    assert bench.engine.cancelled == [request_id_of(answer_id)]
    assert bench.chats.thread(thread.conversation.id).messages[-1].state is MessageState.STREAMING
    bench.engine.finish(request_id_of(answer_id), 3, FinishReason.CANCELLED)
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.content, answer.state) == ("Half an ans", MessageState.STOPPED)
    bench.chats.stop(answer_id)
    assert len(bench.engine.cancelled) == 1


def test_a_failed_answer_keeps_its_text_and_its_reason(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    bench.emit(thread.messages[-1].id, "Half")
    bench.fail(thread.messages[-1].id, OUT_OF_MEMORY)
    bench.restart()
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.content, answer.state, answer.error) == ("Half", MessageState.FAILED, OUT_OF_MEMORY)


def test_the_death_of_the_engine_interrupts_and_saves(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    bench.emit(answer_id, "Half")
    bench.engine.emit(EngineFailed("/models/tiny.gguf", DIED, restarting=True))
    assert bench.saved()[answer_id] == ("streaming", "Half")
    bench.fail(answer_id, DIED)
    assert bench.saved()[answer_id] == ("interrupted", "Half")
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.state, answer.error) == (MessageState.INTERRUPTED, DIED)


def test_an_engine_that_refuses_at_once_fails_the_answer_and_keeps_the_question(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(request: GenerationRequest) -> None:
        raise EngineBusy("The queue is full.", "Wait a moment.")

    monkeypatch.setattr(bench.engine, "submit", busy)
    thread = bench.chats.send(None, "q", None)
    assert contents(thread) == ["q", ""]
    assert thread.messages[-1].state is MessageState.FAILED
    assert thread.messages[-1].error == ErrorInfo("EngineBusy", "The queue is full.", "Wait a moment.")


def test_events_of_other_requests_and_of_ended_answers_are_ignored(bench: Bench) -> None:
    thread = bench.ask("q", "a")
    answer_id = thread.messages[-1].id
    before = bench.saved()
    for request_id in (RequestId("api-1"), request_id_of(999), request_id_of(answer_id)):
        bench.engine.emit(TokensEmitted(request_id, "late", 1))
        bench.engine.finish(request_id, 1)
        bench.engine.emit(RequestFailed(request_id, DIED))
    assert bench.saved() == before


def test_closing_keeps_what_still_streams_as_interrupted(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    bench.emit(thread.messages[-1].id, "Half an ans")
    bench.restart()
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.content, answer.state, answer.error) == ("Half an ans", MessageState.INTERRUPTED, None)


def test_what_a_dead_run_left_open_is_interrupted_at_the_next_start(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    bench.emit(thread.messages[-1].id, "Half")
    bench.clock.now_s += 2
    bench.emit(thread.messages[-1].id, " an ans")
    bench.die()
    bench.start()
    answer = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (answer.content, answer.state) == ("Half an ans", MessageState.INTERRUPTED)
    assert bench.saved()[answer.id] == ("interrupted", "Half an ans")


def test_another_answer_replaces_the_shown_one_and_both_stay(bench: Bench) -> None:
    thread = bench.ask("q", "first")
    again = bench.chats.regenerate(thread.messages[-1].id, "Other")
    assert asked(bench.engine.submitted[-1]) == [("user", "q")]
    assert contents(again) == ["q", ""]
    bench.engine.answer(bench.engine.submitted[-1].id, "second")
    shown = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (shown.content, shown.sibling_number, shown.n_siblings) == ("second", 2, 2)
    assert shown.stats is not None
    assert shown.stats.model_name == "Other"
    assert contents(bench.chats.show_sibling(shown.id, -1)) == ["q", "first"]


def test_an_edit_asks_again_from_that_point(bench: Bench) -> None:
    thread = bench.ask("one", "two")
    thread = bench.ask("three", "four", thread.conversation.id)
    edited = bench.chats.edit(thread.messages[2].id, "three, better", None)
    assert asked(bench.engine.submitted[-1]) == [("user", "one"), ("assistant", "two"), ("user", "three, better")]
    assert contents(edited) == ["one", "two", "three, better", ""]
    assert contents(bench.chats.show_sibling(edited.messages[2].id, -1)) == ["one", "two", "three", "four"]


def test_one_question_at_a_time_in_a_conversation_but_not_across_them(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    with pytest.raises(InvalidRequest, match="still being answered"):
        bench.chats.send(thread.conversation.id, "impatient", None)
    bench.chats.send(None, "elsewhere", None)
    bench.emit(thread.messages[-1].id, "Half")
    bench.chats.stop(thread.messages[-1].id)
    bench.chats.send(thread.conversation.id, "after stopping", None)
    assert asked(bench.engine.submitted[-1]) == [("user", "q"), ("assistant", "Half"), ("user", "after stopping")]


@pytest.mark.parametrize("replace", [lambda c, m: c.regenerate(m[1].id, None), lambda c, m: c.edit(m[0].id, "x", None)])
def test_asking_again_stops_the_answer_that_is_being_written(
    bench: Bench, replace: Callable[[ChatService, tuple[object, ...]], Thread]
) -> None:
    thread = bench.chats.send(None, "q", None)
    replace(bench.chats, thread.messages)
    assert bench.engine.cancelled == [request_id_of(thread.messages[-1].id)]
    assert len(bench.engine.submitted) == 2


def test_deleting_a_conversation_stops_its_answer_and_can_be_undone(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    bench.emit(answer_id, "Half")
    bench.chats.delete(thread.conversation.id)
    assert bench.chats.conversations() == []
    assert bench.engine.cancelled == [request_id_of(answer_id)]
    bench.engine.finish(request_id_of(answer_id), 1, FinishReason.CANCELLED)
    bench.chats.restore(thread.conversation.id)
    assert bench.chats.thread(thread.conversation.id).messages[-1].content == "Half"


def test_purging_a_conversation_that_is_being_answered_harms_nothing(bench: Bench) -> None:
    thread = bench.chats.send(None, "q", None)
    bench.chats.delete(thread.conversation.id)
    bench.chats.purge_deleted()
    bench.engine.answer(request_id_of(thread.messages[-1].id), "too late")
    assert bench.saved() == {}
    assert bench.chats.problem is None


def test_an_answer_that_cannot_be_saved_stays_in_memory_until_it_can(tmp_path: Path, small_disk: SmallDisk) -> None:
    bench = Bench(small_disk.root)
    thread = bench.chats.send(None, "q", None)
    small_disk.fill()
    text = "long " * 50_000
    bench.engine.answer(bench.engine.submitted[-1].id, text.rstrip())
    bench.settle()
    assert bench.chats.problem is not None
    assert "disk is full" in bench.chats.problem.text
    shown = bench.chats.thread(thread.conversation.id).messages[-1]
    assert (shown.content, shown.state) == (text.rstrip(), MessageState.COMPLETE)
    small_disk.free()
    bench.chats.thread(thread.conversation.id)
    bench.settle()
    assert bench.chats.problem is None
    bench.restart()
    assert bench.chats.thread(thread.conversation.id).messages[-1].content == text.rstrip()
    bench.close()


def test_the_service_starts_on_a_full_disk_and_shows_open_answers_as_interrupted(small_disk: SmallDisk) -> None:
    bench = Bench(small_disk.root)
    thread = bench.chats.send(None, "q", None)
    bench.die()
    small_disk.fill()
    bench.start()
    assert bench.chats.thread(thread.conversation.id).messages[-1].state is MessageState.INTERRUPTED
    bench.close()


def test_a_problem_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "hearth.db").write_bytes(b"no database")
    bench = Bench(tmp_path)
    assert bench.chats.problem is not None
    assert "damaged" in bench.chats.problem.text
    bench.close()


def test_reading_while_answers_stream_and_end_never_shows_less_than_before(bench: Bench) -> None:
    """Readers look while the engine's thread streams and the saver saves."""
    thread = bench.chats.send(None, "q", None)
    answer_id = thread.messages[-1].id
    seen: list[tuple[int, MessageState]] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            message = bench.chats.thread(thread.conversation.id).messages[-1]
            seen.append((len(message.content), message.state))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(300):
        bench.clock.now_s += 0.5
        bench.emit(answer_id, "word ")
    bench.engine.finish(request_id_of(answer_id), 300)
    bench.settle()
    ended.set()
    reader.join()
    assert [length for length, _ in seen] == sorted(length for length, _ in seen)
    assert {state for _, state in seen} <= {MessageState.STREAMING, MessageState.COMPLETE}


def test_a_service_without_a_pool_of_its_own_makes_one_and_ends_it(tmp_path: Path) -> None:
    engine = FakeEngineClient()
    chats = ChatService(ChatStore(tmp_path / "hearth.db"), engine, SettingsStore(tmp_path / "settings.json"))
    thread = chats.send(None, "q", None)
    engine.answer(engine.submitted[-1].id, "a")
    chats.close()
    store = ChatStore(tmp_path / "hearth.db")
    assert [m.content for m in store.thread(thread.conversation.id).messages] == ["q", "a"]
    store.close()


def test_a_conversation_is_answered_with_its_adapters_where_they_belong_to_the_model(bench: Bench) -> None:
    mine, other = AdapterUse("/models/mine.gguf", 0.5), AdapterUse("/models/other.gguf")
    first = bench.chats.send(None, "hello", "tiny")
    bench.engine.answer(bench.engine.submitted[-1].id, "yes")
    bench.chats.set_adapters(first.conversation.id, (mine, other))
    bench.chats.send(first.conversation.id, "again", "tiny")
    assert [request.adapters for request in bench.engine.submitted] == [(), (mine, other)]
    assert bench.chats.adapters(first.conversation.id) == (mine, other)
    bench.close()
    bench.start()
    fitting = ChatService(ChatStore(bench.path), bench.engine, bench.settings, fits=lambda use: use == mine)
    fitting.send(first.conversation.id, "once more", "tiny")
    assert bench.engine.submitted[-1].adapters == (mine,)
    fitting.close()
