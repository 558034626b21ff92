"""The open conversation: what is shown, sent, stopped, asked again and edited."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices

from engine.errors import ErrorInfo, StorageError
from engine.events import EngineFailed, PrefillProgressed, RequestFailed, RequestStarted, TokensEmitted
from engine.types import FinishReason
from tests.ui.world import World


def test_the_first_start_invites_and_fills_the_composer_with_an_example(world: World) -> None:
    world.start()

    world.click(world.button("Explain in three sentences why the sky is blue"))

    assert world.chat.composer.text == "Explain in three sentences why the sky is blue"
    assert world.chat.title.title() == "New conversation"


def test_a_question_makes_a_conversation_and_its_answer_streams_in(world: World) -> None:
    world.start()

    world.send("Why is the sky blue?")
    assert world.transcript.drawn() == "> Why is the sky blue?\n [streaming]"
    assert world.chat.composer.text == ""

    world.engine.emit(TokensEmitted(world.last_request(), "Because", 1))
    world.qtbot.waitUntil(lambda: "Because" in world.transcript.drawn())
    world.engine.finish(world.last_request(), 1)
    world.qtbot.waitUntil(lambda: "[streaming]" not in world.transcript.drawn())

    assert world.transcript.drawn() == "> Why is the sky blue?\nBecause"
    assert world.rows() == ["TODAY", "> Why is the sky blue?"]
    assert world.chat.title.title() == "Why is the sky blue?"
    assert world.chat.composer.gauge.text() == "21 / 4,096"


def test_the_answer_is_signed_with_the_model_and_says_what_it_cost(world: World) -> None:
    world.start()
    world.send("Hello")

    world.engine.answer(world.last_request(), "Hello to you too")
    world.qtbot.waitUntil(lambda: bool(world.transcript.views[-1].facts))

    answer = world.transcript.views[-1]
    assert answer.facts == "6.0 tok/s  ·  first token 0.05 s  ·  4 of 20 tokens remembered"
    assert answer.facts_tooltip == "Why did this take that long?"


def test_a_message_can_be_sent_while_the_model_loads(world: World) -> None:
    world.start(loaded=False)

    world.send("Early")

    answer = world.transcript.views[-1]
    assert world.transcript.progress[answer.id] == "Waiting for the model"


def test_reading_the_prompt_is_shown(world: World) -> None:
    world.start()
    world.send("A long question")
    answer = world.transcript.views[-1]

    world.engine.emit(RequestStarted(world.last_request(), n_prompt=3000, n_cached=0))
    world.engine.emit(PrefillProgressed(world.last_request(), n_done=1204, n_prompt=3000))
    world.settle()

    assert world.transcript.progress[answer.id] == "Reading 1,204 of 3,000 tokens"


def test_what_the_model_thinks_is_shown_apart_from_its_answer(world: World) -> None:
    world.start()
    world.send("Why?")
    for reasoning, text in (("Let me ", ""), ("see.", ""), ("", "Because.")):
        world.engine.emit(TokensEmitted(world.last_request(), text, 1, reasoning=reasoning))
    world.qtbot.waitUntil(lambda: world.transcript.views[-1].text == "Because.")
    assert world.transcript.views[-1].thought == "Let me see."

    world.engine.finish(world.last_request(), 3)
    world.qtbot.waitUntil(lambda: bool(world.transcript.views[-1].facts))

    answer = world.transcript.views[-1]
    assert (answer.text, answer.thought) == ("Because.", "Let me see.")
    assert answer.thought_s is not None


def test_stop_keeps_what_was_written(world: World) -> None:
    world.start()
    world.send("Count")
    world.engine.emit(TokensEmitted(world.last_request(), "one two", 2))
    world.settle()

    world.click(world.button("Stop"))
    assert world.engine.cancelled == [world.last_request()]
    world.engine.finish(world.last_request(), 2, FinishReason.CANCELLED)
    world.qtbot.waitUntil(lambda: "stopped" in world.transcript.drawn())

    assert world.transcript.drawn() == "> Count\none two [stopped]"
    assert world.button("Send")


def test_escape_stops_wherever_the_focus_is(world: World) -> None:
    world.start()
    world.send("Count")

    world.press(world.chat.sidebar.list, Qt.Key.Key_Escape)

    assert world.engine.cancelled == [world.last_request()]


def test_a_conversation_opened_in_the_middle_of_its_answer_shows_all_of_it(world: World) -> None:
    world.start()
    world.send("First")
    streaming = world.last_request()
    world.engine.emit(TokensEmitted(streaming, "begun, ", 1))
    world.settle()

    world.click(world.button("New conversation"))
    world.engine.emit(TokensEmitted(streaming, "gone on, ", 2))
    world.settle()
    assert world.transcript.drawn() == ""

    open_row(world, "First")
    world.engine.emit(TokensEmitted(streaming, "ended.", 3))
    world.engine.finish(streaming, 3)
    world.qtbot.waitUntil(lambda: world.transcript.drawn().endswith("ended."))

    assert world.transcript.drawn() == "> First\nbegun, gone on, ended."


def test_an_answer_that_ends_while_its_conversation_opens_is_not_left_streaming(world: World) -> None:
    world.start()
    world.send("First")
    streaming = world.last_request()
    world.click(world.button("New conversation"))
    world.settle()

    select_row(world, "First")
    world.engine.answer(streaming, "quick")
    world.settle()

    world.qtbot.waitUntil(lambda: world.transcript.drawn() == "> First\nquick")
    assert world.button("Send")


def test_what_follows_is_appended_to_what_stands(world: World) -> None:
    world.start()
    world.send("One")
    world.engine.answer(world.last_request(), "First")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    n_resets = world.transcript.n_resets

    world.send("Two")

    assert world.transcript.drawn() == "> One\nFirst\n> Two\n [streaming]"
    assert world.transcript.n_resets == n_resets


def test_another_answer_stands_beside_the_first_and_both_can_be_shown(world: World) -> None:
    world.start()
    world.send("Tell")
    world.engine.answer(world.last_request(), "First")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    first = world.transcript.views[-1]

    world.transcript.regenerate_requested.emit(first.id)
    world.settle()
    world.engine.answer(world.last_request(), "Second")
    world.qtbot.waitUntil(lambda: world.transcript.drawn() == "> Tell\nSecond")
    assert (world.transcript.views[-1].sibling_number, world.transcript.views[-1].n_siblings) == (2, 2)

    world.transcript.sibling_requested.emit(world.transcript.views[-1].id, -1)
    world.qtbot.waitUntil(lambda: world.transcript.drawn() == "> Tell\nFirst")


def test_editing_a_question_asks_it_in_a_branch_of_its_own(world: World) -> None:
    world.start()
    world.send("Tell")
    world.engine.answer(world.last_request(), "First")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    world.write("a draft")

    world.transcript.edit_requested.emit(world.transcript.views[0].id)
    assert world.chat.composer.text == "Tell"
    assert world.chat.composer.is_editing
    world.send(" more")

    assert world.transcript.drawn() == "> Tell more\n [streaming]"
    assert not world.chat.composer.is_editing
    assert world.transcript.views[0].n_siblings == 2


def test_a_cancelled_edit_brings_the_draft_back(world: World) -> None:
    world.start()
    world.send("Tell")
    world.engine.answer(world.last_request(), "First")
    world.qtbot.waitUntil(lambda: "streaming" not in world.transcript.drawn())
    world.write("a draft")

    world.transcript.edit_requested.emit(world.transcript.views[0].id)
    world.click(world.button("Cancel"))

    assert world.chat.composer.text == "a draft"
    assert not world.chat.composer.is_editing


def test_each_conversation_keeps_its_draft(world: World) -> None:
    world.say("Old")
    world.start()

    world.write("for a new one")
    open_row(world, "Old")
    assert world.chat.composer.text == ""
    world.write("for the old one")
    world.click(world.button("New conversation"))

    assert world.chat.composer.text == "for a new one"
    open_row(world, "Old")
    assert world.chat.composer.text == "for the old one"


def test_what_was_typed_before_anything_was_open_is_not_lost(world: World) -> None:
    world.settings.update(selected_conversation=world.say("Old").conversation.id)
    world.window.show()
    world.write("typed early")

    world.start()

    assert world.transcript.drawn() == "> Old\nFine."
    assert world.chat.composer.text == "typed early"


def test_a_damaged_database_is_told_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ErrorInfo("StorageError", "The conversations are read-only.", "Check the disk.")
    monkeypatch.setattr(type(world.chats), "problem", property(lambda _self: problem))
    world.say("Old")
    world.start()
    assert world.told() == "The conversations are read-only. Check the disk."

    world.click(world.button("Close this message"))
    open_row(world, "Old")

    assert world.told() == ""


def test_a_message_that_cannot_be_saved_stays_in_the_composer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise StorageError("The disk is full.", "Free some space and try again.")

    world.start()
    monkeypatch.setattr(world.chats, "send", refuse)
    world.write("Precious")
    world.click(world.button("Send"))
    world.settle()

    assert world.chat.composer.text == "Precious"
    assert world.told() == "The disk is full. Free some space and try again."
    assert world.engine.submitted == []
    assert world.button("Send").isEnabled()


def test_a_dead_engine_leaves_the_partial_answer_and_one_clear_message(world: World) -> None:
    world.start()
    world.send("Count")
    world.engine.emit(TokensEmitted(world.last_request(), "one two", 2))
    died = ErrorInfo("EngineStopped", "The engine stopped unexpectedly.", "Load the model again.", "SIGSEGV")

    world.engine.emit(EngineFailed("/models/tiny.gguf", died, restarting=False))
    world.engine.emit(RequestFailed(world.last_request(), died))
    world.qtbot.waitUntil(lambda: "interrupted" in world.transcript.drawn())

    assert world.transcript.drawn() == "> Count\none two [interrupted]"
    assert world.told() == "The engine stopped unexpectedly. Load the model again."
    assert world.transcript.views[-1].error == "The engine stopped here."


def test_an_answer_that_fails_says_why_and_can_be_tried_again(world: World) -> None:
    world.start()
    world.send("Too long")

    world.engine.emit(
        RequestFailed(world.last_request(), ErrorInfo("ContextTooLong", "It is too long.", "Shorten it."))
    )
    world.qtbot.waitUntil(lambda: "failed" in world.transcript.drawn())
    assert world.transcript.views[-1].error == "It is too long. Shorten it."

    world.transcript.retry_requested.emit(world.transcript.views[-1].id)
    world.settle()
    assert len(world.engine.submitted) == 2


def test_a_link_opens_only_after_its_address_was_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    world.start()
    url = QUrl("https://example.org/page?q=1")

    world.transcript.link_activated.emit(url)
    assert opened == []
    world.click(world.button("Cancel"))
    assert opened == []

    world.transcript.link_activated.emit(url)
    world.click(world.button("Open"))
    assert opened == [url]


def test_the_title_in_the_header_renames_the_conversation(world: World) -> None:
    world.say("Old")
    world.start()
    open_row(world, "Old")

    world.chat.title.start_editing()
    field = world.window.focusWidget()
    assert field is not None
    world.qtbot.keyClicks(field, "Blue skies")
    world.press(field, Qt.Key.Key_Return)
    world.settle()

    assert world.rows() == ["TODAY", "> Blue skies"]
    assert world.chat.title.title() == "Blue skies"


def select_row(world: World, title: str) -> None:
    view, model = world.chat.sidebar.list, world.chat.sidebar.conversations
    row = next(row for row in range(model.rowCount()) if model.index(row).data() == title)
    view.setCurrentIndex(model.index(row))


def open_row(world: World, title: str) -> None:
    select_row(world, title)
    world.settle()
