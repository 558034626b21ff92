from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QPushButton, QScrollArea, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from ui.widgets.overlay import Popup, Sheet


@pytest.fixture
def host(qtbot: QtBot) -> QWidget:
    made = QWidget()
    made.resize(800, 600)
    QVBoxLayout(made).addWidget(QPushButton("Opens it"))
    qtbot.addWidget(made)
    made.show()
    with qtbot.waitActive(made):
        made.activateWindow()
    return made


def opener(host: QWidget) -> QPushButton:
    return host.findChild(QPushButton)


def popup(host: QWidget) -> tuple[Popup, QPushButton]:
    card = QWidget()
    inside = QPushButton("Inside")
    QVBoxLayout(card).addWidget(inside)
    return Popup(host, opener(host), card), inside


def test_a_popup_takes_the_focus_and_gives_it_back(qtbot: QtBot, host: QWidget) -> None:
    opener(host).setFocus()
    opened, inside = popup(host)

    opened.open()
    assert inside.hasFocus()
    qtbot.keyClick(inside, Qt.Key.Key_Escape)

    assert not opened.isVisible()
    assert opener(host).hasFocus()


def test_a_click_beside_the_card_closes_it_and_hits_nothing_else(qtbot: QtBot, host: QWidget) -> None:
    opened, inside = popup(host)
    opened.open()

    with qtbot.assertNotEmitted(opener(host).clicked), qtbot.waitSignal(opened.closed):
        qtbot.mouseClick(opened, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))

    assert not inside.isVisible()


def test_an_overlay_covers_the_window_whatever_its_size(qtbot: QtBot, host: QWidget) -> None:
    opened, inside = popup(host)
    opened.open()

    host.resize(400, 300)

    assert opened.size() == host.size()
    assert opened.rect().contains(inside.parentWidget().geometry())


def test_a_sheet_closes_before_it_acts(qtbot: QtBot, host: QWidget) -> None:
    done: list[bool] = []
    sheet = Sheet(host, "Sure?", "This cannot be undone.")
    sheet.add_button("Cancel")
    sheet.add_button("Go on", lambda: done.append(sheet.isVisible()), "primary")
    sheet.open()

    focused = host.focusWidget()
    assert isinstance(focused, QPushButton)
    assert focused.text() == "Go on"
    qtbot.mouseClick(focused, Qt.MouseButton.LeftButton)

    assert done == [False]


def test_a_sheet_fits_into_a_small_window(qtbot: QtBot, host: QWidget) -> None:
    sheet = Sheet(host, "Long", "word " * 200)
    sheet.add_detail("line\n" * 500)
    sheet.add_button("Close")
    sheet.open()

    host.resize(320, 240)

    card = sheet.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)[0]
    assert sheet.rect().contains(card.geometry())


def test_what_it_covered_outlives_it(qtbot: QtBot, host: QWidget) -> None:
    area = QScrollArea()
    host.layout().addWidget(area)
    viewport = area.viewport()
    sheet = Sheet(host, "Sure?")
    sheet.add_button("Close")
    sheet.open()

    with qtbot.waitSignal(sheet.destroyed):
        sheet.dismiss()

    assert isValid(viewport)
