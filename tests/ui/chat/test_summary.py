"""A long conversation goes on in a new one that begins with its summary."""

from __future__ import annotations

import pytest

from engine.errors import ErrorInfo
from engine.events import RequestFailed
from engine.types import FinishReason, Overflow
from tests.ui.chat.test_length import measure, offer
from tests.ui.chat.test_page import open_row
from tests.ui.world import World

INTRODUCTION = "This is a summary of our conversation so far:"


@pytest.fixture
def long_one(world: World) -> World:
    """A conversation that is read in three parts is open, and measured as too long for what is typed."""
    world.settings.update(overflow=Overflow.STOP)
    world.say("a" * 500, "b" * 500)
    world.start()
    open_row(world, "a" * 59 + "…")
    world.write("And now?")
    measure(world, 6000)
    return world


def choose(world: World) -> None:
    world.click(world.button("Summarise"))
    world.qtbot.waitUntil(lambda: world.last_request().startswith("summary-"))


def answer_part(world: World, text: str) -> None:
    request_id = world.last_request()
    world.engine.answer(request_id, text)
    world.qtbot.waitUntil(lambda: world.bridge.has_ended(request_id))
    world.settle()


def test_it_is_made_part_by_part_and_can_be_changed_before_it_is_sent(long_one: World) -> None:
    world = long_one
    choose(world)
    assert offer(world).words == "Summarising the conversation, part 1 of 3."
    answer_part(world, "Letters a.")
    assert offer(world).words == "Summarising the conversation, part 2 of 3."
    assert "Letters a." in world.engine.submitted[-1].messages[0].content
    for text in ("Letters a and b.", "Many letters."):
        answer_part(world, text)

    assert world.chat.title.title() == "New conversation"
    assert world.chat.composer.text == f"{INTRODUCTION}\n\nMany letters.\n\nAnd now?"
    assert not offer(world).isVisible()
    n_conversations = len(world.chats.conversations())
    world.send(" Please.")
    assert len(world.chats.conversations()) == n_conversations + 1
    assert world.engine.submitted[-1].messages[0].content.endswith("And now? Please.")


def test_it_can_be_cancelled(long_one: World) -> None:
    world = long_one
    choose(world)
    request_id = world.last_request()
    world.click(world.button("Cancel"))

    assert world.engine.cancelled == [request_id]
    world.engine.finish(request_id, 0, FinishReason.CANCELLED)
    measure(world, 6000)
    assert world.button("Summarise").isVisible()
    assert world.chat.composer.text == "And now?"


def test_going_elsewhere_ends_it(long_one: World) -> None:
    world = long_one
    choose(world)
    request_id = world.last_request()
    world.click(world.button("New conversation"))
    world.settle()

    assert world.engine.cancelled == [request_id]
    world.engine.answer(request_id, "Late.")
    world.settle()
    assert world.chat.composer.text == ""


def test_a_failure_is_told_and_nothing_is_lost(long_one: World) -> None:
    world = long_one
    choose(world)
    world.engine.emit(RequestFailed(world.last_request(), ErrorInfo("EngineStopped", "The engine stopped.", "Again.")))
    world.settle()

    assert world.told() == "The engine stopped. Again."
    assert world.chat.composer.text == "And now?"
    measure(world, 6000)
    assert world.button("Summarise").isVisible()


def test_typing_does_not_disturb_it(long_one: World) -> None:
    world = long_one
    choose(world)
    world.write(" More.")
    measure(world, 6001)

    assert offer(world).words.startswith("Summarising")


def test_a_new_conversation_cannot_be_summarised(world: World) -> None:
    world.settings.update(overflow=Overflow.STOP)
    world.start()
    world.write("Very long")
    measure(world, 6000, conversation=None)

    assert offer(world).isVisible()
    with pytest.raises(AssertionError):
        world.button("Summarise")
