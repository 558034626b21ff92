from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from ui.chat.composer import Composer, ComposerText
from ui.theme import theme


@pytest.fixture
def composer(qtbot: QtBot) -> Composer:
    made = Composer()
    qtbot.addWidget(made)
    made.resize(600, 200)
    made.show()
    return made


@pytest.fixture
def text(composer: Composer) -> ComposerText:
    return composer.findChild(ComposerText)


def test_enter_sends_the_text_as_it_stands(qtbot: QtBot, composer: Composer, text: ComposerText) -> None:
    qtbot.keyClicks(text, " Hello")

    with qtbot.waitSignal(composer.submitted) as sent:
        qtbot.keyClick(text, Qt.Key.Key_Return)

    assert sent.args == [" Hello"]
    assert composer.text == " Hello"


def test_shift_and_enter_breaks_the_line(qtbot: QtBot, composer: Composer, text: ComposerText) -> None:
    with qtbot.assertNotEmitted(composer.submitted):
        qtbot.keyClicks(text, "one")
        qtbot.keyClick(text, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        qtbot.keyClicks(text, "two")

    assert composer.text == "one\ntwo"


@pytest.mark.parametrize("blank", ["", "   ", "\n\n"])
def test_nothing_is_not_sent(qtbot: QtBot, composer: Composer, text: ComposerText, blank: str) -> None:
    composer.set_text(blank)

    with qtbot.assertNotEmitted(composer.submitted):
        qtbot.keyClick(text, Qt.Key.Key_Return)
    assert not composer.button.isEnabled()


def test_stop_stands_in_the_place_of_send_while_an_answer_streams(
    qtbot: QtBot, composer: Composer, text: ComposerText
) -> None:
    composer.set_streaming(True)
    qtbot.keyClicks(text, "next")

    assert composer.button.accessibleName() == "Stop"
    with qtbot.assertNotEmitted(composer.submitted):
        qtbot.keyClick(text, Qt.Key.Key_Return)
    with qtbot.waitSignal(composer.stop_requested):
        qtbot.mouseClick(composer.button, Qt.MouseButton.LeftButton)


def test_a_reason_not_to_send_is_said_in_place(qtbot: QtBot, composer: Composer, text: ComposerText) -> None:
    composer.block("No model is loaded.")
    qtbot.keyClicks(text, "Hello")

    assert not composer.button.isEnabled()
    assert composer.blocked_by == "No model is loaded."
    with qtbot.assertNotEmitted(composer.submitted):
        qtbot.keyClick(text, Qt.Key.Key_Return)

    composer.block(None)
    assert composer.button.isEnabled()


def test_it_grows_with_its_text_and_scrolls_after_some_lines(composer: Composer, text: ComposerText) -> None:
    heights = []
    for n_lines in (1, 2, 8, 30):
        composer.set_text("\n".join("line" for _ in range(n_lines)))
        heights.append(text.height())

    line = theme.line_height("reading")
    assert heights == [line, 2 * line, 8 * line, 8 * line]


def test_a_long_paste_stays_plain(qtbot: QtBot, composer: Composer, text: ComposerText) -> None:
    from PySide6.QtCore import QMimeData

    rich = QMimeData()
    rich.setHtml("<h1>Big</h1>")
    rich.setText("Big")
    text.insertFromMimeData(rich)

    assert composer.text == "Big"
    assert text.textCursor().charFormat().fontPointSize() == 0


def test_the_gauge_says_how_full_the_context_is(composer: Composer) -> None:
    assert composer.gauge.text() == ""

    composer.gauge.show_usage(1274, 16384)

    assert composer.gauge.text() == "1,274 / 16,384"
    assert "1,274 of the 16,384 tokens" in composer.gauge.accessibleName()

    composer.gauge.show_usage(900, 16384, n_dropped=4)
    assert composer.gauge.accessibleName().endswith("so its oldest 4 messages are left out.")


def test_a_gauge_of_a_conversation_that_was_shortened_is_full_and_never_fuller(qtbot: QtBot) -> None:
    composer = Composer()
    qtbot.addWidget(composer)
    composer.gauge.show_usage(4200, 4096, n_dropped=1)
    assert composer.gauge._numbers.text() == "4,096 / 4,096"
    assert composer.gauge.accessibleName().endswith("so its oldest message is left out.")
