from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.chats import ChatService, ChatStore
from app.chats.summary import Summariser
from app.jobs import IoPool
from app.settings import SettingsStore
from engine.types import Role
from tests.doubles.engine import FakeEngineClient


class Bench:
    def __init__(self, folder: Path) -> None:
        self.io = IoPool()
        self.engine = FakeEngineClient()
        settings = SettingsStore(folder / "settings.json")
        self.chats = ChatService(ChatStore(folder / "hearth.db"), self.engine, settings, self.io)
        self.summariser = Summariser(self.chats, self.engine, settings)

    def close(self) -> None:
        self.chats.close()
        self.io.close()

    def talk(self, *words: str) -> int:
        """Questions and answers in turn. Returns the conversation."""
        conversation_id = None
        for question, answer in zip(words[::2], words[1::2], strict=True):
            conversation_id = self.chats.send(conversation_id, question, "Tiny").conversation.id
            self.engine.answer(self.engine.submitted[-1].id, answer)
        assert conversation_id is not None
        return conversation_id


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_what_fits_is_read_in_one_part(bench: Bench) -> None:
    conversation_id = bench.talk("Why?", "Because.", "Really?", "Yes.")

    [part] = bench.summariser.parts(conversation_id, n_tokens=100, n_ctx=4096)
    assert part == "User: Why?\n\nAssistant: Because.\n\nUser: Really?\n\nAssistant: Yes."


def test_what_does_not_fit_is_cut_between_messages(bench: Bench) -> None:
    conversation_id = bench.talk("a" * 400, "b" * 400, "c" * 400, "d" * 400)

    parts = bench.summariser.parts(conversation_id, n_tokens=1600, n_ctx=1000)
    assert [part[:6] for part in parts] == ["User: ", "Assist", "User: ", "Assist"]
    assert all(len(part) <= 500 for part in parts)


def test_a_short_message_does_not_make_a_part_of_its_own(bench: Bench) -> None:
    conversation_id = bench.talk("Tell me a story.", "b" * 900)

    parts = bench.summariser.parts(conversation_id, n_tokens=916, n_ctx=1000)
    assert [len(part) for part in parts] == [500, 435]
    assert parts[0].startswith("User: Tell me a story.\n\nAssistant: bbb")


def test_a_message_that_is_longer_than_a_part_is_cut_within(bench: Bench) -> None:
    conversation_id = bench.talk("word " * 1000, "ok")

    parts = bench.summariser.parts(conversation_id, n_tokens=1000, n_ctx=400)
    assert "".join(parts).count("word") == 1000
    assert len(parts) > 4


def test_each_part_is_asked_with_what_is_known_so_far(bench: Bench) -> None:
    first = bench.summariser.ask("User: Why?", "", 1000)
    second = bench.summariser.ask("User: Really?", "The user asks why.", 1000)

    requests = bench.engine.submitted
    assert [request.id for request in requests] == [first, second]
    assert first != second
    assert [request.max_tokens for request in requests] == [200, 200]
    assert all(request.messages[0].role is Role.USER and request.conversation is None for request in requests)
    assert "in short" not in requests[0].messages[0].content
    assert requests[1].messages[0].content.endswith("The user asks why.\n\nThe conversation:\n\nUser: Really?")

    bench.summariser.cancel(second)
    assert bench.engine.cancelled == [second]


def test_a_summary_is_nobodys_answer(bench: Bench) -> None:
    conversation_id = bench.talk("Why?", "Because.")
    bench.engine.answer(bench.summariser.ask("User: Why?", "", 1000), "The user asks why.")

    assert [message.content for message in bench.chats.thread(conversation_id).messages] == ["Why?", "Because."]
