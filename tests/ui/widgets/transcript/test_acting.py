"""What a person can do with a message: buttons, links, selecting, the keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.widgets.transcript.screen import HEIGHT, Screen, answer, clipboard, question, streaming, talk
from ui.widgets.transcript import MessageStatus

FACTS = "61 tok/s  ·  first token 0.05 s  ·  1,204 of 1,230 tokens remembered"


@pytest.fixture
def screen(qtbot: QtBot) -> Screen:
    return Screen(qtbot)


def test_an_answer_is_copied_as_it_was_written(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2, "So **much** `for` that.\n\n- a")])

    screen.click("Copy the answer")

    assert clipboard() == "So **much** `for` that.\n\n- a"
    assert len(screen.named("Copied")) == 1


def test_a_question_is_copied(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Why *so*?")])
    screen.hover(screen.view("Why"))

    screen.click("Copy your message")

    assert clipboard() == "Why *so*?"


def test_a_listing_is_copied_whole_however_long_it_is(screen: Screen) -> None:
    code = "\n".join(f"line {n}" for n in range(1_000))
    screen.transcript.set_messages([answer(1, f"```\nother\n```\n\n```py\n{code}\n```")])
    screen.scroll = 0

    screen.click("Copy this code")

    assert clipboard() == code


def test_again_and_edit_and_retry_are_asked_for(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2), question(3), answer(4, "", status=MessageStatus.FAILED)])

    with screen.qtbot.waitSignal(screen.transcript.regenerate_requested) as again:
        screen.click("Answer again")
    screen.hover(screen.view("A question"))
    with screen.qtbot.waitSignal(screen.transcript.edit_requested) as edit:
        screen.click("Edit your message")
    retry = next(button for button in screen.transcript.findChildren(QWidget) if button.property("text") == "Try again")
    with screen.qtbot.waitSignal(screen.transcript.retry_requested) as failed:
        screen.qtbot.mouseClick(retry, Qt.MouseButton.LeftButton)

    assert (again.args, edit.args, failed.args) == ([2], [1], [4])


def test_other_versions_are_one_step_away(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), answer(2, sibling_number=2, n_siblings=3)])

    for name, step in (("Previous version", -1), ("Next version", 1)):
        with screen.qtbot.waitSignal(screen.transcript.sibling_requested) as asked:
            screen.click(name)
        assert asked.args == [2, step]


def test_there_is_no_version_before_the_first_and_after_the_last(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, sibling_number=1, n_siblings=2), answer(2)])

    assert not screen.button("Previous version").isEnabled()
    assert screen.button("Next version").isEnabled()
    assert len(screen.named("Version 1 of 2")) == 1
    assert len(screen.named("Next version")) == 1


def test_what_can_be_done_with_a_question_is_seen_while_the_mouse_is_there(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "One"), answer(2), question(3, "Two"), answer(4)])
    for text in ("One", "Two"):
        screen.hover(screen.view(text))
        [edit] = screen.named("Edit your message")
        assert 0 < screen.top_of(edit) - screen.top_of(screen.view(text)) < 60


def test_the_figures_of_an_answer_are_there_when_it_is_complete(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2)])
    screen.transcript.append_text(2, "Done")
    assert screen.named(FACTS) == []
    assert screen.named("Answer again") == []

    screen.transcript.finish_message(answer(2, "Done", facts=FACTS, facts_tooltip="All about it."))

    [facts] = screen.named(FACTS)
    assert facts.toolTip() == "All about it."
    assert len(screen.named("Answer again")) == 1


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        (MessageStatus.FAILED, "It broke. Try it again.", "It broke. Try it again."),
        (MessageStatus.FAILED, None, "The answer failed."),
        (MessageStatus.INTERRUPTED, None, "Hearth was closed before this answer was complete."),
    ],
)
def test_a_failure_says_why_and_keeps_what_had_come(
    screen: Screen, status: MessageStatus, error: str | None, shown: str
) -> None:
    screen.transcript.set_messages([answer(1, "Half", status=status, error=error)])

    assert screen.texts() == ["Half"]
    assert len(screen.named(shown)) == 1


def test_a_stopped_answer_says_so(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "Half", status=MessageStatus.STOPPED)])

    labels = [w for w in screen.transcript.findChildren(QWidget) if w.isVisible() and w.property("text") == "Stopped"]
    assert len(labels) == 1


def test_a_link_is_told_and_not_followed(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "Look [here](https://example.org/a?b=c).")])

    with screen.qtbot.waitSignal(screen.transcript.link_activated) as told:
        screen.click_on(screen.view("Look"), len("Look he"))

    assert told.args == [QUrl("https://example.org/a?b=c")]
    assert screen.texts() == ["Look here."]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "relative/page"])
def test_an_unsafe_link_does_nothing(screen: Screen, address: str) -> None:
    screen.transcript.set_messages([answer(1, f"Look [here]({address}).")])

    with screen.qtbot.assertNotEmitted(screen.transcript.link_activated):
        screen.click_on(screen.view("Look"), len("Look he"))


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
def test_the_menu_of_a_link_copies_its_address(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "Look [here](https://example.org/a).")])
    view = screen.view("Look")
    screen.ask_for_menu(view, len("Look he"))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)

    actions = {action.text(): action for action in menu.actions()}
    actions["Copy link address"].trigger()
    menu.close()

    assert clipboard() == "https://example.org/a"
    assert list(actions) == ["Copy", "Copy link address", "Select all"]
    assert not actions["Copy"].isEnabled()


def test_a_stopped_answer_without_text_says_so(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "", status=MessageStatus.STOPPED), answer(2, "")])

    assert len(screen.named("Stopped before the first word.")) == 1
    assert len(screen.named("The model answered without a word.")) == 1


@pytest.mark.parametrize("key", [None, Qt.Key.Key_Return, Qt.Key.Key_Space])
def test_a_click_or_enter_on_the_figures_asks_what_they_mean(screen: Screen, key: Qt.Key | None) -> None:
    screen.transcript.set_messages([answer(1, facts=FACTS, facts_tooltip="All about it.")])

    with screen.qtbot.waitSignal(screen.transcript.explanation_requested) as asked:
        if key is None:
            screen.click(FACTS)
        else:
            screen.press_on(screen.button(FACTS), key)

    message_id, place = asked.args
    figures = screen.button(FACTS)
    assert message_id == 1
    assert place.right() == figures.mapToGlobal(figures.rect().topRight()).x() - 1
    assert place.top() == figures.mapToGlobal(QPoint()).y()


def test_text_is_selected_across_blocks_and_messages(screen: Screen) -> None:
    text = "An *answer*.\n\n- one\n- two\n\n```\ncode\nmore\n```\n\nThe end."
    screen.transcript.set_messages([question(1, "A question"), answer(2, text)])

    screen.drag(screen.view("A question"), 2, screen.view("code"), 4)
    screen.press_on(screen.view("A question"), Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    assert clipboard() == "question\n\nAn answer.\n\n• one\n• two\n\ncode"


def test_text_is_selected_backwards_as_well(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "first\n\nsecond\n\nthird")])

    screen.drag(screen.view("third"), 2, screen.view("first"), 3)

    assert [view.textCursor().selectedText() for view in screen.views()] == ["st", "second", "th"]


def test_selecting_elsewhere_ends_a_selection(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "first\n\nsecond\n\nthird")])
    screen.drag(screen.view("first"), 0, screen.view("second"), 3)

    screen.drag(screen.view("third"), 0, screen.view("third"), 2)

    assert [view.textCursor().selectedText() for view in screen.views()] == ["", "", "th"]


def test_a_press_on_selected_text_begins_anew(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "first\n\nsecond")])
    screen.drag(screen.view("first"), 0, screen.view("second"), 6)

    screen.drag(screen.view("first"), 1, screen.view("first"), 3)

    assert [view.textCursor().selectedText() for view in screen.views()] == ["ir", ""]


def test_a_click_beside_the_text_ends_a_selection(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "first\n\nsecond")])
    screen.drag(screen.view("first"), 0, screen.view("second"), 3)

    screen.qtbot.mousePress(screen.transcript.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(5, HEIGHT - 20))

    assert not any(view.textCursor().hasSelection() for view in screen.views())


def test_a_selection_within_a_long_question_has_its_line_ends(screen: Screen) -> None:
    lines = [f"line {n:04}" for n in range(600)]
    screen.transcript.set_messages([question(1, "\n".join(lines))])
    while len(screen.views()) < 2:
        screen.scroll -= 300
    before, after = screen.views()

    screen.drag(before, before.n_chars - 15, after, 9)
    screen.press_on(before, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    assert clipboard() in "\n".join(lines)
    assert clipboard().count("\n") == 2


def test_a_selection_stays_where_it_is_while_text_comes(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Why?"), streaming(2, "An answer that\n\ngrows")])
    screen.drag(screen.view("Why?"), 0, screen.view("grows"), 3)

    screen.transcript.append_text(2, " and grows\n\nmore")

    assert [view.textCursor().selectedText() for view in screen.views()] == ["Why?", "An answer that", "gro", ""]


def test_a_selection_survives_being_scrolled_away(screen: Screen) -> None:
    screen.transcript.set_messages(talk(30))
    screen.drag(screen.view("last 29"), 0, screen.view("last 29"), 4)

    screen.scroll = 0
    screen.scroll = screen.end

    assert screen.view("last 29").textCursor().selectedText() == "last"


def test_dragging_over_the_edge_scrolls_on(screen: Screen) -> None:
    screen.transcript.set_messages(talk(30))
    view = screen.view("last 29")
    start = screen.scroll
    screen.hold(view, len("last"))
    screen.move_held(view, QPoint(0, -HEIGHT))

    screen.qtbot.waitUntil(lambda: screen.scroll < start - 1_000)
    screen.release_held(view)
    stopped = screen.scroll
    screen.press_on(screen.transcript, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    assert clipboard().endswith("code 29\n\nlast")
    assert clipboard().count("\n") > 10
    assert screen.scroll == stopped


def test_select_all_takes_the_message_and_then_everything(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Why?"), answer(2, "Be**cause**.\n\n1. one")])
    screen.activate()
    screen.view("Because").setFocus()

    screen.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    screen.press(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert clipboard() == "Because.\n\n1. one"

    screen.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    screen.press(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert clipboard() == "Why?\n\nBecause.\n\n1. one"


def test_everything_includes_what_is_not_on_the_screen(screen: Screen) -> None:
    screen.transcript.set_messages(talk(100))
    screen.activate()

    screen.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    screen.press(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)

    copied = clipboard()
    assert copied.startswith("question 0\n\nfirst 0")
    assert copied.endswith("code 99\n\nlast 99")
    assert all(f"\n\ncode {n}\n\nlast {n}" in copied for n in range(100))


def test_escape_lets_go_of_a_selection_and_is_passed_on_otherwise(qtbot: QtBot) -> None:
    heard = []

    class Page(QWidget):
        def keyPressEvent(self, event: object) -> None:
            heard.append(event)

    page = Page()
    QVBoxLayout(page)
    screen = Screen(qtbot, page=page)
    screen.transcript.set_messages([answer(1, "text")])
    screen.drag(screen.view("text"), 0, screen.view("text"), 2)

    screen.press_on(screen.view("text"), Qt.Key.Key_Escape)
    assert (screen.view("text").textCursor().hasSelection(), len(heard)) == (False, 0)

    screen.press_on(screen.view("text"), Qt.Key.Key_Escape)
    assert len(heard) == 1


@pytest.mark.parametrize("inside", [False, True])
def test_keys_scroll_wherever_the_focus_is(screen: Screen, inside: bool) -> None:
    screen.transcript.set_messages(talk(30))
    screen.activate()
    if inside:
        screen.view("last 29").setFocus()
    places = [screen.scroll]
    for key in (
        Qt.Key.Key_Up,
        Qt.Key.Key_PageUp,
        Qt.Key.Key_Home,
        Qt.Key.Key_PageDown,
        Qt.Key.Key_Down,
        Qt.Key.Key_End,
    ):
        screen.press(key)
        places.append(screen.scroll)

    end, up, page_up, home, page_down, down, last = places
    assert home == 0 < page_down < down < page_up < up < end
    assert last == screen.end


def test_tab_goes_through_the_conversation_in_the_order_of_reading(screen: Screen) -> None:
    text = "Look [here](https://example.org).\n\n```py\nx = 1\n```"
    screen.transcript.set_messages(
        [question(1, "Why?"), answer(2, text, facts=FACTS, sibling_number=2, n_siblings=3), question(3)]
    )
    screen.activate()
    visited = []
    for _ in range(16):
        screen.press(Qt.Key.Key_Tab)
        visited.append(screen.focus())

    expected = ["You, message", "Edit your message", "Copy your message"]
    expected += ["Answer, paragraph", "Answer, paragraph"]  # the second time the link in it
    expected += ["Copy this code", "Answer, code, py"]
    expected += ["Copy the answer", "Answer again", "Previous version", "Next version", FACTS]
    expected += ["You, message", "Edit your message", "Copy your message"]
    assert visited[: len(expected)] == expected


def test_tab_goes_further_than_the_screen_and_back(screen: Screen) -> None:
    screen.transcript.set_messages(talk(5))
    screen.activate()
    screen.scroll = 0
    forward = []
    for _ in range(50):
        screen.press(Qt.Key.Key_Tab)
        forward.append((screen.focus(), screen.scroll))
    assert forward[-1][1] > screen.end - 60
    assert forward[-1][0] == "61 tok/s"
    assert [name for name, _ in forward].count("Answer, code, no language") == 5

    for _ in range(60):
        screen.press(Qt.Key.Key_Tab, Qt.KeyboardModifier.ShiftModifier)
    assert screen.scroll < 60


def test_tab_leaves_the_conversation_at_its_end(qtbot: QtBot) -> None:
    page = QWidget()
    before, after = QLineEdit(), QLineEdit()
    layout = QVBoxLayout(page)
    layout.addWidget(before)
    screen = Screen(qtbot, page=page)
    layout.addWidget(after)
    after.show()
    screen.activate()
    screen.transcript.set_messages([answer(1, "text")])
    before.setFocus()

    order = []
    for _ in range(5):
        screen.press(Qt.Key.Key_Tab)
        order.append(QApplication.focusWidget())
    assert order[0] is screen.transcript
    assert [w.accessibleName() for w in order[1:4] if w] == ["Answer, paragraph", "Copy the answer", "Answer again"]
    assert order[4] is after

    screen.press(Qt.Key.Key_Tab, Qt.KeyboardModifier.ShiftModifier)
    assert QApplication.focusWidget() is screen.transcript
    screen.press(Qt.Key.Key_Tab, Qt.KeyboardModifier.ShiftModifier)
    assert QApplication.focusWidget() is before


def test_a_link_is_followed_with_the_keyboard(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "Look [here](https://example.org).")])
    screen.activate()
    screen.press(Qt.Key.Key_Tab)
    screen.press(Qt.Key.Key_Tab)

    with screen.qtbot.waitSignal(screen.transcript.link_activated) as told:
        screen.press(Qt.Key.Key_Return)

    assert told.args == [QUrl("https://example.org")]


def test_the_focus_stays_in_the_conversation_when_its_widget_goes(screen: Screen) -> None:
    screen.transcript.set_messages(talk(30))
    screen.activate()
    screen.view("last 29").setFocus()

    screen.scroll = 0

    assert QApplication.focusWidget() is screen.transcript


def test_everything_that_takes_the_focus_has_a_name(screen: Screen) -> None:
    text = "# T\n\ntext\n\n- item\n\n| a |\n|---|\n| b |\n\n$$x$$\n\n```\ncode\n```"
    screen.transcript.set_messages(
        [question(1, n_siblings=2), answer(2, text, facts=FACTS, n_siblings=2), answer(3, status=MessageStatus.FAILED)]
    )
    screen.scroll = 0
    screen.hover(screen.view("A question"))

    stops = [w for w in screen.transcript.findChildren(QWidget) if w.isVisible() and w.focusPolicy()]
    stops = [w for w in stops if not w.objectName().startswith("qt_") and not w.inherits("QScrollBar")]
    assert len(stops) > 15
    names = [QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name) for widget in stops]
    assert all(names)
