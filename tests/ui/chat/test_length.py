"""Reading ahead, the gauge, and a conversation that gets too long."""

from __future__ import annotations

import pytest

from engine.errors import ErrorInfo, StorageError
from engine.events import ModelUnloaded, PromptMeasured, RequestFailed, RequestStarted, TokensEmitted
from engine.types import Overflow
from tests.ui.chat.test_page import open_row
from tests.ui.world import World
from ui.chat.overflow_offer import OverflowOffer

TOO_LONG = ErrorInfo(
    "ContextTooLong", "This conversation is 9,000 tokens long, but the context holds 4,096.", "Start anew."
)


def read_ahead(world: World) -> tuple[str | None, list[str]]:
    conversation, messages = world.engine.read_aheads[-1]
    return conversation, [message.content for message in messages]


def wait_for(world: World, conversation: str | None, *messages: str) -> None:
    world.qtbot.waitUntil(lambda: bool(world.engine.read_aheads) and read_ahead(world) == (conversation, [*messages]))


def measure(world: World, n_tokens: int, conversation: str | None = "1") -> None:
    world.engine.emit(PromptMeasured(conversation, n_tokens, 4096, 0))
    world.settle()


def offer(world: World) -> OverflowOffer:
    return world.chat.composer.offer


def long_conversation(world: World, overflow: Overflow = Overflow.STOP) -> None:
    """Open, with a question typed, and measured as too long."""
    world.say("Old")
    world.settings.update(overflow=overflow)
    world.start()
    open_row(world, "Old")
    world.write("And now?")
    measure(world, 9000)


def test_a_conversation_is_read_ahead_when_it_is_opened_and_while_a_message_is_typed(world: World) -> None:
    world.say("Old")
    world.start()

    open_row(world, "Old")
    wait_for(world, "1", "Old", "Fine.")
    world.write("And now?")
    wait_for(world, "1", "Old", "Fine.", "And now?")


def test_letters_typed_in_a_row_are_read_once(world: World) -> None:
    world.start()
    n_before = len(world.engine.read_aheads)

    world.write("Hello there")
    wait_for(world, None, "Hello there")

    assert len(world.engine.read_aheads) == n_before + 1


def test_a_draft_is_read_with_its_own_conversation(world: World) -> None:
    world.say("Old")
    world.start()
    world.write("for a new one")
    wait_for(world, None, "for a new one")

    open_row(world, "Old")
    wait_for(world, "1", "Old", "Fine.")
    world.click(world.button("New conversation"))
    wait_for(world, None, "for a new one")


def test_an_edit_is_read_in_its_place(world: World) -> None:
    world.say("Old")
    world.start()
    open_row(world, "Old")

    world.transcript.edit_requested.emit(world.transcript.views[0].id)
    wait_for(world, "1", "Old")
    world.write(" and new")
    wait_for(world, "1", "Old and new")


def test_nothing_is_read_ahead_without_a_model(world: World) -> None:
    world.say("Old")
    world.start(loaded=False)
    open_row(world, "Old")
    assert world.engine.read_aheads == []

    world.engine.finish_loading("/models/tiny.gguf")
    wait_for(world, "1", "Old", "Fine.")

    world.engine.emit(ModelUnloaded("/models/tiny.gguf"))
    world.settle()
    n_before = len(world.engine.read_aheads)
    open_row(world, "Old")
    assert len(world.engine.read_aheads) == n_before


def test_nothing_is_read_ahead_while_the_conversation_is_answered(world: World) -> None:
    world.start()
    world.send("Count")
    assert read_ahead(world) == (None, [])

    world.engine.emit(TokensEmitted(world.last_request(), "one", 1))
    world.engine.finish(world.last_request(), 1)
    wait_for(world, "1", "Count", "one")


def test_a_conversation_that_cannot_be_read_bothers_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[object] = []

    def refuse(*arguments: object, **_more: object) -> None:
        refused.append(arguments)
        raise StorageError("The disk is gone.")

    world.start()
    monkeypatch.setattr(world.chats, "read_ahead", refuse)
    world.write("Hello")
    world.qtbot.waitUntil(lambda: bool(refused))
    world.settle()

    assert world.told() == ""
    monkeypatch.undo()
    world.write(" there")
    wait_for(world, None, "Hello there")


def test_the_gauge_counts_what_is_typed(world: World) -> None:
    world.say("Old")
    world.start()
    open_row(world, "Old")
    assert world.chat.composer.gauge.text() == "21 / 4,096"

    measure(world, 1274)
    assert world.chat.composer.gauge.text() == "1,274 / 4,096"
    measure(world, 7, conversation="2")
    assert world.chat.composer.gauge.text() == "1,274 / 4,096"


def test_a_conversation_that_does_not_fit_says_so_before_it_is_sent(world: World) -> None:
    long_conversation(world)

    assert offer(world).isVisible()
    assert offer(world).words == "With this, the conversation is 9,000 tokens long. 4,096 fit."
    assert not world.button("Send").isEnabled()

    measure(world, 4000)
    assert not offer(world).isVisible()
    assert world.button("Send").isEnabled()


@pytest.mark.parametrize("always", [False, True])
def test_leaving_turns_out_sends_it_and_is_remembered_only_if_wanted(world: World, always: bool) -> None:
    long_conversation(world)

    if always:
        world.click(world.button("Always leave them out, without asking"))
    world.click(world.button("Leave the oldest turns out"))
    world.settle()

    assert world.engine.submitted[-1].overflow is Overflow.ROLL
    assert world.engine.submitted[-1].messages[-1].content == "And now?"
    assert world.settings.current.overflow is (Overflow.ROLL if always else Overflow.STOP)
    assert not offer(world).isVisible()

    world.engine.answer(world.last_request(), "Now.")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    world.send("And then?")
    assert world.engine.submitted[-1].overflow is (Overflow.ROLL if always else Overflow.STOP)


def test_with_nothing_written_the_next_message_goes_with_turns_left_out(world: World) -> None:
    world.say("Old")
    world.settings.update(overflow=Overflow.STOP)
    world.start()
    open_row(world, "Old")
    measure(world, 9000)

    n_submitted = len(world.engine.submitted)
    world.click(world.button("Leave the oldest turns out"))
    world.settle()
    assert len(world.engine.submitted) == n_submitted
    assert not offer(world).isVisible()

    world.send("And now?")
    assert world.engine.submitted[-1].overflow is Overflow.ROLL


def test_an_answer_that_failed_because_it_was_too_long_makes_the_same_offer(world: World) -> None:
    world.settings.update(overflow=Overflow.STOP)
    world.start()
    world.send("Very long")
    world.engine.emit(RequestFailed(world.last_request(), TOO_LONG))
    world.qtbot.waitUntil(offer(world).isVisible)
    assert offer(world).words == TOO_LONG.text

    world.click(world.button("Leave the oldest turns out"))
    world.settle()

    assert world.engine.submitted[-1].overflow is Overflow.ROLL
    assert world.transcript.drawn() == "> Very long\n [streaming]"


def test_a_message_that_is_too_long_alone_can_only_be_shortened(world: World) -> None:
    long_conversation(world, Overflow.ROLL)

    assert offer(world).words.endswith("Make your message shorter.")
    assert not world.button("Send").isEnabled()
    with pytest.raises(AssertionError):
        world.button("Leave the oldest turns out")


def test_a_last_answer_that_fills_the_context_does_not_stand_in_the_way(world: World) -> None:
    world.say("Old")
    world.start()
    open_row(world, "Old")
    measure(world, 9000)

    assert not offer(world).isVisible()
    world.send("And now?")
    assert world.engine.submitted[-1].overflow is Overflow.ROLL


def test_the_offer_stays_with_its_conversation(world: World) -> None:
    long_conversation(world)

    world.click(world.button("New conversation"))
    world.settle()

    assert not offer(world).isVisible()


def seen(world: World) -> list[str]:
    """What is shown, with a line above the first message that the model sees."""
    return [f"{'--- ' if view.is_first_seen else ''}{view.text}" for view in world.transcript.views]


def test_what_the_model_no_longer_sees_is_marked_from_the_start_of_the_answer(world: World) -> None:
    world.start()
    for text in ("One", "Two"):
        world.send(text)
        world.engine.answer(world.last_request(), f"{text}.")
        world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    world.send("Three")
    assert seen(world) == ["One", "One.", "Two", "Two.", "Three", ""]

    world.engine.emit(RequestStarted(world.last_request(), 20, 4, n_dropped=2))
    world.settle()
    assert seen(world) == ["One", "One.", "--- Two", "Two.", "Three", ""]

    world.engine.emit(TokensEmitted(world.last_request(), "Three.", 1))
    world.engine.finish(world.last_request(), 1)
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    assert seen(world) == ["One", "One.", "--- Two", "Two.", "Three", "Three."]


def test_another_answer_that_sees_everything_takes_the_mark_away(world: World) -> None:
    world.start()
    world.send("One")
    world.engine.answer(world.last_request(), "One.")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    world.send("Two")
    world.engine.emit(RequestStarted(world.last_request(), 20, 4, n_dropped=2))
    world.settle()
    world.engine.finish(world.last_request(), 0)
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    assert seen(world) == ["One", "One.", "--- Two", ""]

    world.transcript.regenerate_requested.emit(world.transcript.views[-1].id)
    world.settle()
    world.engine.answer(world.last_request(), "Two.")
    world.qtbot.waitUntil(lambda: seen(world) == ["One", "One.", "Two", "Two."])
