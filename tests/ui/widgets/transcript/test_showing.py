"""What is on the screen, where it stands, and that it stays there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage, QTextCursor
from pytestqt.qtbot import QtBot

from app.settings import Theme
from tests.ui.widgets.transcript.screen import HEIGHT, WIDTH, Screen, answer, question, streaming, talk
from ui.theme import theme
from ui.widgets.transcript import MessageStatus, Transcript
from ui.widgets.transcript.text_view import TextView

# ziamath finds its fonts in a way that Python 3.11 and 3.12 call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:path is deprecated:DeprecationWarning")


@pytest.fixture
def screen(qtbot: QtBot) -> Screen:
    return Screen(qtbot)


def fully_visible(screen: Screen) -> TextView:
    """The first text of which nothing is cut off above."""
    return next(view for view in screen.views() if screen.top_of(view) >= 0)


def test_a_conversation_is_shown_from_its_end(screen: Screen) -> None:
    screen.transcript.set_messages(talk(50))

    assert screen.texts()[-1] == "last 49"
    assert screen.scroll == screen.end > 0


def test_a_short_conversation_begins_at_the_top(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Hello"), answer(2, "Good *day*.")])

    assert screen.texts() == ["Hello", "Good day."]
    assert screen.end == 0
    assert 0 < screen.top_of(screen.view("Hello")) < 60


def test_of_thousands_of_messages_only_some_are_widgets(screen: Screen) -> None:
    screen.transcript.set_messages(talk(5_000))
    for value in range(0, screen.end, screen.end // 20):
        screen.scroll = value

    assert len(screen.transcript.viewport().findChildren(TextView)) < 60


def test_what_a_user_writes_is_not_markdown(screen: Screen) -> None:
    text = "# not a heading\n\n* [no](http://link) **here**"

    screen.transcript.set_messages([question(1, text)])

    assert screen.texts() == [text]


def test_the_words_of_the_user_stand_on_the_right_and_take_no_more_room_than_they_need(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Short"), question(2, "long " * 200), answer(3, "Left")])
    screen.scroll = 0
    short, long, left = (screen.view(text) for text in ("Short", "long", "Left"))
    column = theme.size("page-width")

    right = screen.left_of(left) + column
    padding = theme.space(4)
    assert screen.left_of(short) + short.width() == pytest.approx(right - padding, abs=1)
    assert short.width() < 60
    assert long.width() <= column * 0.8 - 2 * padding
    assert screen.left_of(long) + long.width() <= right - padding


@pytest.mark.parametrize(("width", "column"), [(1_400, 760), (WIDTH, 760), (500, 452)])
def test_the_column_is_centred_and_not_too_wide(qtbot: QtBot, width: int, column: int) -> None:
    screen = Screen(qtbot, width)
    screen.transcript.set_messages(talk(3))
    view = screen.view("first")

    assert view.width() == column
    assert screen.left_of(view) == (width - column) // 2


def test_every_kind_of_block_is_shown(screen: Screen) -> None:
    text = "# Title\n\ntext\n\n- item\n\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n```py\nx = 1\n```"

    screen.transcript.set_messages([answer(1, text)])

    assert [text.split() for text in screen.texts()] == [
        ["Title"],
        ["text"],
        ["item"],
        ["quote"],
        ["a", "b", "1", "2"],
        ["x", "=", "1"],
    ]
    assert [view.accessibleName() for view in screen.views()] == [
        "Answer, heading 1",
        "Answer, paragraph",
        "Answer, list item, paragraph",
        "Answer, paragraph",
        "Answer, table",
        "Answer, code, py",
    ]


def test_blocks_do_not_overlap(screen: Screen) -> None:
    screen.transcript.set_messages(talk(20))
    views = screen.views()

    bottoms = [screen.top_of(view) + view.height() for view in views]
    assert all(bottom <= screen.top_of(below) + 1 for bottom, below in zip(bottoms, views[1:], strict=False))


def test_text_appears_as_it_comes(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2)])

    screen.transcript.append_text(2, "One **tw")
    assert screen.texts()[1:] == ["One tw"]

    screen.transcript.append_text(2, "o**\n\nthree\n\n```py\nx =")
    assert screen.texts()[1:] == ["One two", "three", "x ="]

    screen.transcript.append_text(2, " 1\ny = 2\n```\nfour")
    assert screen.texts()[1:] == ["One two", "three", "x = 1\ny = 2", "four"]


def test_text_goes_on_behind_what_was_there(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2, "It be")])
    screen.transcript.append_text(2, "gan.")

    assert screen.texts()[1:] == ["It began."]


def test_text_for_a_message_that_is_not_there_is_no_matter(screen: Screen) -> None:
    screen.transcript.set_messages([question(1)])

    screen.transcript.append_text(7, "x")
    screen.transcript.set_progress(7, "x")
    screen.transcript.finish_message(answer(7))

    assert screen.texts() == ["A question"]


def test_a_paragraph_that_is_being_written_keeps_its_widget(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2, "One")])
    before = screen.view("One")

    screen.transcript.append_text(2, " and two")

    assert screen.view("One and two") is before


def test_a_finished_message_may_have_become_another_one(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2)])
    screen.transcript.append_text(2, "half")

    screen.transcript.finish_message(answer(2, "The whole.\n\nAnd more."))

    assert screen.texts()[1:] == ["The whole.", "And more."]


def test_a_reference_is_a_link_when_the_message_is_complete(screen: Screen) -> None:
    text = "See [this][1].\n\n[1]: https://example.org\n"
    screen.transcript.set_messages([question(1), streaming(2)])
    for character in text:
        screen.transcript.append_text(2, character)
    screen.transcript.finish_message(answer(2, text))

    assert "https://example.org" in screen.view("See this.").toHtml()


def test_the_end_stays_in_sight_while_text_comes(screen: Screen) -> None:
    screen.transcript.set_messages([*talk(10), streaming(99)])
    for n in range(30):
        screen.transcript.append_text(99, f"line {n}\n\n")

    assert screen.scroll == screen.end
    assert screen.texts()[-1] == "line 29"


def test_a_reader_further_up_is_not_disturbed_by_new_text(screen: Screen) -> None:
    screen.transcript.set_messages([*talk(10), streaming(99)])
    screen.scroll -= 500
    read = fully_visible(screen)
    text, top = read.toPlainText(), screen.top_of(read)

    for n in range(30):
        screen.transcript.append_text(99, f"line {n}\n\n")

    assert screen.top_of(screen.view(text)) == top


def test_a_button_leads_back_to_the_newest_text(screen: Screen) -> None:
    screen.transcript.set_messages([*talk(10), streaming(99, "now")])
    assert screen.named("Jump to the latest") == []

    screen.scroll -= 300
    assert len(screen.named("Jump to the latest")) == 1

    screen.click("Jump to the latest")
    assert screen.scroll == screen.end
    assert screen.named("Jump to the latest") == []


def test_what_the_user_says_is_shown_at_once(screen: Screen) -> None:
    screen.transcript.set_messages(talk(10))
    screen.scroll = 0

    screen.transcript.append_message(question(98, "And now?"))
    screen.transcript.append_message(streaming(99))

    assert screen.texts()[-1] == "And now?"
    assert screen.scroll == screen.end


@pytest.mark.parametrize("step", [-37, -300, 90])
def test_scrolling_moves_by_what_was_asked_for_although_heights_were_guessed(screen: Screen, step: int) -> None:
    screen.transcript.set_messages(talk(200))
    screen.scroll = screen.end // 2
    for _ in range(15):
        stays = next(view for view in screen.views() if 0 <= screen.top_of(view) - step < HEIGHT)
        text, top = stays.toPlainText(), screen.top_of(stays)

        screen.scroll += step

        assert screen.top_of(screen.view(text)) == top - step


def test_what_is_read_stays_when_the_window_changes_its_width(screen: Screen) -> None:
    screen.transcript.set_messages(talk(200))
    screen.scroll = screen.end // 2
    for width in (700, 520, 640, 1_100, WIDTH):
        read = fully_visible(screen)
        text, top = read.toPlainText(), screen.top_of(read)
        screen.transcript.resize(width, HEIGHT)
        assert abs(screen.top_of(screen.view(text)) - top) <= 1


def test_at_the_end_it_is_the_end_that_stays(screen: Screen) -> None:
    screen.transcript.set_messages(talk(20))
    for width, height in ((500, 300), (1_000, 700)):
        screen.transcript.resize(width, height)
        assert screen.scroll == screen.end
        assert screen.texts()[-1] == "last 19"


def test_another_version_of_an_answer_keeps_the_place(screen: Screen) -> None:
    views = talk(20)
    screen.transcript.set_messages(views)
    screen.scroll -= 300
    read = fully_visible(screen)
    text, top = read.toPlainText(), screen.top_of(read)

    screen.transcript.set_messages([*views[:-1], answer(999, "Another " * 300)])

    assert screen.top_of(screen.view(text)) == top


def test_an_edited_question_is_followed(screen: Screen) -> None:
    views = talk(20)
    screen.transcript.set_messages(views)
    screen.scroll = 0

    screen.transcript.set_messages([*views[:-2], question(998, "Asked again"), streaming(999)])

    assert screen.texts()[-1] == "Asked again"


def test_another_conversation_is_shown_from_its_end(screen: Screen) -> None:
    screen.transcript.set_messages(talk(20))
    screen.scroll = 0

    screen.transcript.set_messages([answer(1_000 + n, f"other {n}") for n in range(50)])

    assert screen.texts()[-1] == "other 49"


def test_cleared_it_is_empty(screen: Screen) -> None:
    screen.transcript.set_messages(talk(20))
    screen.transcript.clear()

    assert screen.texts() == []
    assert screen.end == 0


def test_while_hidden_nothing_is_laid_out(qtbot: QtBot) -> None:
    transcript = Transcript()
    qtbot.addWidget(transcript)
    transcript.set_messages(talk(20))
    transcript.append_text(39, "x")
    assert transcript.viewport().findChildren(TextView) == []

    with qtbot.waitExposed(transcript):
        transcript.show()
    assert transcript.viewport().findChildren(TextView) != []


def test_another_theme_colours_what_is_there(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "text\n\n```py\nx = 1\n```")])
    theme.choose(Theme.DARK)

    for view, token in ((screen.view("text"), "text"), (screen.view("x = 1"), "text")):
        cursor = QTextCursor(view.document())
        cursor.setPosition(1)
        assert cursor.charFormat().foreground().color() == theme.color(token)


def test_a_formula_takes_the_place_of_its_source(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, r"so $\frac{a}{b}$ is"), question(2, "below")])
    assert screen.texts()[0] == r"so $\frac{a}{b}$ is"

    screen.qtbot.waitUntil(lambda: screen.texts()[0] == "so \ufffc is", timeout=20_000)


def test_a_long_listing_gets_its_colours_a_moment_later(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "```py\n" + "def f(): pass\n" * 100 + "```")])
    cursor = QTextCursor(screen.view("def f").document())
    cursor.setPosition(1)

    screen.qtbot.waitUntil(lambda: cursor.charFormat().foreground().color() == theme.color("code-keyword"))


def test_a_listing_that_is_being_written_is_coloured_line_by_line(screen: Screen) -> None:
    screen.transcript.set_messages([streaming(1)])
    text = "```py\nclass A:\n    def f(self):\n        return 1\n\ndef g(): pass\nx"
    for character in text:
        screen.transcript.append_text(1, character)
    view = screen.view("class A")

    def color_at(word: str) -> object:
        cursor = QTextCursor(view.document())
        cursor.setPosition(view.toPlainText().index(word) + 1)
        return cursor.charFormat().foreground().color()

    assert view.toPlainText() == text.removeprefix("```py\n")
    assert [color_at(word) for word in ("class", "def f", "return", "def g")] == [theme.color("code-keyword")] * 4
    assert color_at("A:") == theme.color("code-type")


def test_the_wheel_scrolls_the_page_and_sideways_what_is_too_wide(screen: Screen) -> None:
    screen.transcript.set_messages([*talk(5), answer(99, "```\n" + "wide " * 100 + "\n```")])
    view = screen.view("wide")

    screen.wheel(view, -120, 0)
    assert view.horizontalScrollBar().value() > 0
    assert screen.scroll == screen.end

    screen.wheel(view, 0, 120)
    assert screen.scroll < screen.end


def test_a_wide_listing_has_room_for_its_scroll_bar(screen: Screen) -> None:
    screen.transcript.set_messages([answer(1, "```\nnarrow\n```\n\n```\n" + "wide " * 100 + "\n```")])

    narrow, wide = screen.view("narrow"), screen.view("wide")

    assert narrow.height() == theme.line_height("code")
    assert wide.height() == theme.line_height("code") + wide.horizontalScrollBar().height()
    assert wide.verticalScrollBar().maximum() == 0


def test_an_endless_line_is_read_bit_by_bit(screen: Screen) -> None:
    screen.transcript.set_messages([streaming(1)])
    screen.transcript.append_text(1, "a" * 300_000)

    screen.qtbot.waitUntil(lambda: sum(map(len, screen.texts())) > 0)
    screen.qtbot.waitUntil(lambda: screen.end > 300_000 // 110 * 20, timeout=20_000)


@pytest.mark.parametrize("text", ["[" * 10_000, "*" * 10_000, ">" * 10_000, "- " * 5_000, "#" * 10_000, "`" * 9_999])
def test_hostile_text_is_survived_wherever_it_is_cut(screen: Screen, text: str) -> None:
    screen.transcript.set_messages([question(1, text), streaming(2)])
    for start in range(0, len(text), 3_000):
        screen.transcript.append_text(2, text[start : start + 3_000])
    screen.transcript.finish_message(answer(2, text))

    assert screen.scroll == screen.end


def test_a_long_message_of_the_user_is_shown_in_pieces(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "x" * 100_000)])

    assert all(len(text) <= 4_000 for text in screen.texts())


def test_messages_that_left_the_screen_come_back_as_they_were(screen: Screen) -> None:
    screen.transcript.set_messages(talk(400))
    screen.scroll = screen.end // 2
    before = screen.texts(), [screen.top_of(view) for view in screen.views()]
    place, end = screen.scroll, screen.end
    text = fully_visible(screen).toPlainText()

    for value in range(0, end, 300):
        screen.scroll = value
    screen.scroll += 0
    found = next(v for v in range(0, screen.end, 200) if _goes_to(screen, v, text))
    screen.scroll = found + screen.top_of(screen.view(text)) - before[1][before[0].index(text)]

    assert (screen.texts(), [screen.top_of(view) for view in screen.views()]) == before
    assert place > 0


def _goes_to(screen: Screen, value: int, text: str) -> bool:
    screen.scroll = value
    return text in screen.texts()


def test_painting_shows_ink_on_the_ground_of_the_theme(screen: Screen) -> None:
    screen.transcript.set_messages([question(1, "Hello"), answer(2, "> quote\n\n- [x] done\n\n---\n\n1. one")])
    image = QImage(screen.transcript.size(), QImage.Format.Format_RGB32)
    screen.transcript.render(image)

    colors = {image.pixelColor(x, y).name() for x in range(0, WIDTH, 2) for y in range(0, 300, 2)}
    assert {theme.color(name).name() for name in ("bg", "raise", "accent", "line")} <= colors


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    root = Path(__file__).resolve().parents[4]
    code = (
        "import sys; import ui.widgets.transcript;"
        "print([m for m in ('markdown_it', 'pygments', 'ziamath', 'numpy') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_status_of_a_message_changes_its_parts(screen: Screen) -> None:
    screen.transcript.set_messages([question(1), streaming(2)])
    assert len(screen.named("The answer is on its way")) == 1

    screen.transcript.set_progress(2, "Reading 512 of 1,024 tokens")
    assert len(screen.named("Reading 512 of 1,024 tokens")) == 1

    screen.transcript.append_text(2, "Now")
    assert screen.named("Reading 512 of 1,024 tokens") == []

    screen.transcript.finish_message(answer(2, "Now", status=MessageStatus.FAILED, error="The engine stopped."))
    assert len(screen.named("The engine stopped.")) == 1
    assert screen.texts() == ["A question", "Now"]
