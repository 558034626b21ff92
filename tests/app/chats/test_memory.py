"""What the engine remembers of conversations: told, kept, dropped, and read ahead."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.chats import ChatService, ChatStore
from app.jobs import IoPool
from app.settings import SettingsStore
from engine.events import RequestFinished, RequestStarted, TokensEmitted
from engine.reuse import Reason, ReuseReport
from engine.types import FinishReason, Overflow, RequestId, Role, Timings, Usage
from tests.doubles.engine import FakeEngineClient

REUSE = ReuseReport(n_prompt=100, n_cells=50, n_ram=20, n_disk=10, n_new=20, restore_s=0.2, reasons=((Reason.NEW, 20),))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "hearth.db"
        self.settings = SettingsStore(folder / "settings.json")
        self.io = IoPool()
        self.start()

    def start(self) -> None:
        self.engine = FakeEngineClient()
        self.chats = ChatService(ChatStore(self.path), self.engine, self.settings, self.io)

    def restart(self) -> None:
        self.chats.close()
        self.start()

    def close(self) -> None:
        self.chats.close()
        self.io.close()

    def ask(self, conversation_id: int | None = None, n_dropped: int = 0, reuse: ReuseReport | None = None) -> int:
        """``why?`` and ``Because.`` Returns the conversation."""
        thread = self.chats.send(conversation_id, "why?", "Tiny")
        request_id = self.engine.submitted[-1].id
        self.engine.emit(RequestStarted(request_id, 100, 80, n_dropped))
        self.engine.emit(TokensEmitted(request_id, "Because.", 4))
        self.finish(request_id, reuse)
        return thread.conversation.id

    def finish(self, request_id: RequestId, reuse: ReuseReport | None) -> None:
        usage = Usage(n_prompt=100, n_cached=80, n_output=4, n_ctx=4096)
        timings = Timings(queued_s=1.5, first_token_s=2.0, decode_s=0.5)
        self.engine.emit(RequestFinished(request_id, FinishReason.END_OF_TURN, usage, timings, reuse))

    def read_ahead(self) -> tuple[str | None, list[str]]:
        conversation, messages = self.engine.read_aheads[-1]
        return conversation, [message.content for message in messages]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_where_the_tokens_came_from_is_kept_with_the_answer(bench: Bench) -> None:
    conversation_id = bench.ask(reuse=REUSE)
    bench.restart()

    stats = bench.chats.thread(conversation_id).messages[-1].stats
    assert stats is not None
    assert (stats.reuse, stats.queued_s, stats.n_dropped) == (REUSE, 1.5, 0)


def test_answers_of_older_versions_keep_their_figures(bench: Bench) -> None:
    conversation_id = bench.ask()
    old = (
        '{"model_name":"Tiny","n_prompt":20,"n_cached":4,"n_output":9,"n_ctx":4096,"first_token_s":0.05,'
        '"tokens_per_s":61.0,"finish_reason":"end_of_turn"}'
    )
    bench.chats.close()
    with closing(sqlite3.connect(bench.path)) as connection:
        connection.execute("UPDATE messages SET stats = ? WHERE stats IS NOT NULL", (old,))
        connection.commit()
    bench.start()

    stats = bench.chats.thread(conversation_id).messages[-1].stats
    assert stats is not None
    assert (stats.n_cached, stats.tokens_per_s) == (4, 61.0)
    assert (stats.reuse, stats.queued_s, stats.n_dropped) == (None, None, 0)


def test_what_the_model_did_not_see_is_told_while_it_answers_and_afterwards(bench: Bench) -> None:
    conversation_id = bench.ask(bench.ask(bench.ask()), n_dropped=2)
    assert bench.chats.thread(conversation_id).n_unseen == 2

    bench.chats.send(conversation_id, "and now?", "Tiny")
    assert bench.chats.thread(conversation_id).n_unseen == 2  # until the engine says otherwise
    request_id = bench.engine.submitted[-1].id
    bench.engine.emit(RequestStarted(request_id, 100, 80, n_dropped=4))
    assert bench.chats.thread(conversation_id).n_unseen == 4

    bench.finish(request_id, None)
    bench.restart()
    assert bench.chats.thread(conversation_id).n_unseen == 4


def test_an_answer_that_saw_everything_again_ends_it(bench: Bench) -> None:
    conversation_id = bench.ask(bench.ask(bench.ask(), n_dropped=2))

    assert bench.chats.thread(conversation_id).n_unseen == 0


def test_pins_are_remembered_and_told_at_the_start(bench: Bench) -> None:
    one, two = bench.ask(), bench.ask()
    bench.chats.pin(one, True)
    bench.chats.pin(two, True)
    bench.chats.pin(one, False)
    assert bench.engine.pins == [(str(one), True), (str(two), True), (str(one), False)]

    bench.restart()
    assert bench.settings.current.pinned_conversations == (two,)
    assert bench.engine.pins == [(str(two), True)]


def test_pinning_twice_is_pinning_once(bench: Bench) -> None:
    one = bench.ask()
    bench.chats.pin(one, True)
    bench.chats.pin(one, True)

    assert bench.settings.current.pinned_conversations == (one,)


def test_forgetting_leaves_the_text_and_the_pin(bench: Bench) -> None:
    one = bench.ask()
    bench.chats.pin(one, True)
    bench.chats.forget(one)

    assert bench.engine.drops == [str(one)]
    assert bench.engine.pins[-1] == (str(one), True)
    assert len(bench.chats.thread(one).messages) == 2


def test_what_is_deleted_for_good_is_dropped_as_soon_as_a_model_can(bench: Bench) -> None:
    gone, stays = bench.ask(), bench.ask()
    bench.chats.pin(gone, True)
    bench.chats.delete(gone)
    assert bench.engine.drops == []  # it can still be brought back

    bench.restart()
    bench.chats.purge_deleted()
    bench.engine.drops.clear()
    bench.engine.finish_loading()

    assert bench.engine.drops == [str(gone)]
    assert bench.settings.current.pinned_conversations == ()
    assert [known.id for known in bench.chats.conversations()] == [stays]


def test_the_path_and_the_draft_are_read_ahead(bench: Bench) -> None:
    conversation_id = bench.ask()
    bench.chats.read_ahead(conversation_id, "and the")

    assert bench.read_ahead() == (str(conversation_id), ["why?", "Because.", "and the"])


def test_a_conversation_is_read_ahead_before_anything_is_typed(bench: Bench) -> None:
    conversation_id = bench.ask()
    bench.chats.read_ahead(conversation_id, "")

    assert bench.read_ahead() == (str(conversation_id), ["why?", "Because."])


def test_a_new_conversation_is_read_ahead_while_it_is_typed(bench: Bench) -> None:
    bench.settings.update(system_prompt="Be brief.")
    bench.chats.read_ahead(None, "Hello")

    assert bench.read_ahead() == (None, ["Be brief.", "Hello"])


def test_an_edit_is_read_in_the_place_of_what_is_edited(bench: Bench) -> None:
    thread = bench.chats.thread(bench.ask(bench.ask()))
    bench.chats.read_ahead(thread.conversation.id, "is it?", editing=thread.messages[2].id)

    assert bench.read_ahead() == (str(thread.conversation.id), ["why?", "Because.", "is it?"])


def test_nothing_is_read_ahead_where_there_is_nothing_or_an_answer_is_written(bench: Bench) -> None:
    bench.settings.update(system_prompt="Be brief.")
    bench.chats.read_ahead(None, "  ")
    assert bench.read_ahead() == (None, [])

    thread = bench.chats.send(None, "why?", "Tiny")
    bench.chats.read_ahead(thread.conversation.id, "next")
    assert bench.read_ahead() == (None, [])


def test_one_answer_can_leave_turns_out_where_the_settings_say_stop(bench: Bench) -> None:
    bench.settings.update(overflow=Overflow.STOP)
    conversation_id = bench.ask()
    assert bench.engine.submitted[-1].overflow is Overflow.STOP

    thread = bench.chats.send(conversation_id, "and now?", "Tiny", Overflow.ROLL)
    assert bench.engine.submitted[-1].overflow is Overflow.ROLL
    assert bench.engine.submitted[-1].messages[-1].role is Role.USER

    bench.chats.regenerate(thread.messages[-1].id, "Tiny")
    assert bench.engine.submitted[-1].overflow is Overflow.STOP
    bench.chats.edit(thread.messages[0].id, "how?", "Tiny", Overflow.ROLL)
    assert bench.engine.submitted[-1].overflow is Overflow.ROLL
