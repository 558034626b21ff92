from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QSlider, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from app.settings import Theme
from ui.theme import theme
from ui.widgets.buttons import CheckBox, IconButton, Segments, TextButton
from ui.widgets.chip import Chip, ChipState, ChipText
from ui.widgets.fields import EditableTitle, NumberField, SizeField, SliderField
from ui.widgets.icons import icon
from ui.widgets.labels import ElidedLabel
from ui.widgets.search_field import SearchField
from ui.widgets.toast import Toast


def shown(qtbot: QtBot, widget: QWidget) -> None:
    qtbot.addWidget(widget)
    widget.show()


def scroll(widget: QWidget) -> None:
    center = QPointF(widget.rect().center())
    event = QWheelEvent(
        center,
        QPointF(widget.mapToGlobal(center.toPoint())),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_an_icon_button_is_named_and_says_its_keys(qtbot: QtBot) -> None:
    button = IconButton("plus", "New conversation", keys="Ctrl+N")
    shown(qtbot, button)

    assert button.accessibleName() == "New conversation"
    assert button.toolTip() == "New conversation (Ctrl+N)"


@pytest.mark.parametrize(
    ("reason", "ringed"),
    [(Qt.FocusReason.TabFocusReason, True), (Qt.FocusReason.MouseFocusReason, False)],
)
def test_the_focus_ring_is_for_the_keyboard(qtbot: QtBot, reason: Qt.FocusReason, ringed: bool) -> None:
    button = TextButton("Send")
    shown(qtbot, button)

    QApplication.sendEvent(button, QFocusEvent(QFocusEvent.Type.FocusIn, reason))
    assert bool(button.property("focusRing")) is ringed

    QApplication.sendEvent(button, QFocusEvent(QFocusEvent.Type.FocusOut, reason))
    assert not button.property("focusRing")


def test_icons_take_the_colours_of_now(qtbot: QtBot) -> None:
    made = icon("plus", "text")
    light = made.pixmap(20, 20).toImage()

    theme.choose(Theme.DARK)

    assert made.pixmap(20, 20).toImage() != light


def test_icons_are_drawn_for_the_pixels_of_the_screen(qapp: object) -> None:
    from PySide6.QtCore import QSize

    sharp = icon("plus").pixmap(QSize(20, 20), 2.0)

    assert (sharp.width(), sharp.devicePixelRatio()) == (40, 2.0)


def test_segments_tell_what_the_user_chose_and_nothing_else(qtbot: QtBot) -> None:
    segments = Segments(("One", "Two"), "Number")
    shown(qtbot, segments)

    with qtbot.assertNotEmitted(segments.chosen):
        segments.choose(0)
    second = segments.findChildren(QToolButton)[1]
    with qtbot.waitSignal(segments.chosen) as told:
        qtbot.mouseClick(second, Qt.MouseButton.LeftButton)

    assert told.args == [1]
    assert second.isChecked()
    assert second.accessibleName() == "Number: Two"


def test_a_wheel_over_a_number_changes_nothing(qtbot: QtBot) -> None:
    number, slider = NumberField("Tokens", 256, 10_000, 1024), SliderField("Temperature", 2.0, 0.05)
    for widget in (number, slider):
        shown(qtbot, widget)
    number.setValue(4096)
    slider.set_value(0.7)

    scroll(number)
    scroll(slider.findChild(QSlider))

    assert number.value() == 4096
    assert slider.value() == pytest.approx(0.7)


def test_a_slider_shows_a_value_without_telling(qtbot: QtBot) -> None:
    slider = SliderField("Temperature", 2.0, 0.05)
    shown(qtbot, slider)

    with qtbot.assertNotEmitted(slider.changed):
        slider.set_value(1.15)
    with qtbot.waitSignal(slider.changed) as told:
        qtbot.keyClick(slider.findChild(QSlider), Qt.Key.Key_Right)

    assert told.args == [pytest.approx(1.2)]


def test_a_long_label_ends_in_an_ellipsis_and_shows_all_in_its_tooltip(qtbot: QtBot) -> None:
    text = "Geschwindigkeitsbegrenzungen auf Bundesautobahnen"
    label = ElidedLabel(text)
    shown(qtbot, label)

    label.resize(120, 24)
    assert label.toolTip() == text
    label.resize(900, 24)
    assert label.toolTip() == ""
    assert label.minimumSizeHint().width() == 0


def test_a_title_is_edited_with_a_double_click(qtbot: QtBot) -> None:
    title = EditableTitle("Title")
    shown(qtbot, title)
    title.set_title("Old", editable=True)

    qtbot.mouseDClick(title, Qt.MouseButton.LeftButton)
    field = title.findChild(QLineEdit)
    field.setText("New")
    with qtbot.waitSignal(title.renamed) as told:
        qtbot.keyClick(field, Qt.Key.Key_Return)

    assert told.args == ["New"]
    assert title.title() == "New"


@pytest.mark.parametrize("text", ["", "   ", "Old"])
def test_a_title_that_is_empty_or_the_same_is_not_told(qtbot: QtBot, text: str) -> None:
    title = EditableTitle("Title")
    shown(qtbot, title)
    title.set_title("Old", editable=True)
    title.start_editing()
    field = title.findChild(QLineEdit)
    field.setText(text)

    with qtbot.assertNotEmitted(title.renamed):
        qtbot.keyClick(field, Qt.Key.Key_Return)
    assert title.title() == "Old"


def test_escape_leaves_the_title_as_it_was(qtbot: QtBot) -> None:
    title = EditableTitle("Title")
    shown(qtbot, title)
    title.set_title("Old", editable=True)
    title.start_editing()
    field = title.findChild(QLineEdit)
    field.setText("New")

    with qtbot.assertNotEmitted(title.renamed):
        qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert title.title() == "Old"
    assert not field.isVisible()


def test_a_fixed_title_is_not_edited(qtbot: QtBot) -> None:
    title = EditableTitle("Title")
    shown(qtbot, title)
    title.set_title("New conversation", editable=False)

    title.start_editing()

    assert not title.findChild(QLineEdit).isVisible()


def test_a_chip_says_aloud_what_it_shows(qtbot: QtBot) -> None:
    chip = Chip(ChipText(ChipState.EMPTY, "No model"))
    shown(qtbot, chip)
    narrow = chip.sizeHint().width()

    chip.show_content(ChipText(ChipState.LOADING, "SmolLM2", "loading 42%", 0.42))

    assert chip.accessibleName() == "Model, SmolLM2, loading 42%"
    assert chip.sizeHint().width() > narrow
    chip.grab()


def test_escape_clears_a_search_and_down_leaves_it(qtbot: QtBot) -> None:
    field = SearchField("Search")
    shown(qtbot, field)
    qtbot.keyClicks(field, "zebra")

    with qtbot.waitSignal(field.left):
        qtbot.keyClick(field, Qt.Key.Key_Down)
    qtbot.keyClick(field, Qt.Key.Key_Escape)

    assert field.text() == ""


def test_a_toast_acts_once_and_goes(qtbot: QtBot) -> None:
    toast, done = Toast("Undo"), []
    shown(qtbot, toast)

    toast.show_message("Deleted", lambda: done.append("one"))
    toast.act()
    toast.act()

    assert done == ["one"]
    assert toast.isHidden()


def test_a_new_toast_takes_the_place_of_the_last(qtbot: QtBot) -> None:
    toast, done = Toast("Undo"), []
    shown(qtbot, toast)

    toast.show_message("Deleted one", lambda: done.append("one"))
    toast.show_message("Deleted two", lambda: done.append("two"))
    toast.act()

    assert done == ["two"]


def test_a_check_box_is_ticked_by_a_click_anywhere_on_it_and_by_the_space_bar(qtbot: QtBot) -> None:
    box = CheckBox("Always")
    shown(qtbot, box)

    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(box.width() - 2, box.height() // 2))
    assert box.isChecked()
    unticked = box.grab().toImage()
    qtbot.keyClick(box, Qt.Key.Key_Space)
    assert not box.isChecked()
    assert box.grab().toImage() != unticked


def test_a_size_is_never_cut_by_its_limit(qtbot: QtBot) -> None:
    field = SizeField("Space", 500_000_000)
    shown(qtbot, field)
    field.set_value(8 * 10**9)

    with qtbot.assertNotEmitted(field.changed):
        field.set_limit(10**9)
        assert field.value() == 8 * 10**9
        field.set_limit(20 * 10**9)
    slider = field.findChild(QSlider)
    assert (field.value(), slider.maximum()) == (8 * 10**9, 40)


def test_a_size_is_told_in_bytes_and_shown_in_gigabytes(qtbot: QtBot) -> None:
    field = SizeField("Space", 500_000_000)
    shown(qtbot, field)
    field.set_limit(10**12)
    field.set_value(8 * 10**9)
    slider = field.findChild(QSlider)

    with qtbot.waitSignal(field.changed) as told:
        qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert told.args == [8_500_000_000]
    assert slider.accessibleName() == "Space: 8.5 GB"
