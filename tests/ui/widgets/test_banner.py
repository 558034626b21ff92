from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton
from pytestqt.qtbot import QtBot

from engine.errors import ErrorInfo
from ui.widgets.banner import BannerAction, BannerArea, BannerText, details_action


@pytest.fixture
def area(qtbot: QtBot) -> BannerArea:
    made = BannerArea()
    qtbot.addWidget(made)
    return made


def press(qtbot: QtBot, area: BannerArea, words: str) -> None:
    found = [b for b in area.findChildren(QAbstractButton) if words in (b.text(), b.accessibleName())]
    qtbot.mouseClick(found[-1], Qt.MouseButton.LeftButton)


def test_an_empty_area_takes_no_room(area: BannerArea) -> None:
    assert area.isHidden()

    area.show_banner("disk", BannerText("The disk is full.", "Free some space."))
    assert not area.isHidden()

    area.clear("disk")
    assert area.isHidden()


def test_a_topic_has_one_banner(area: BannerArea) -> None:
    area.show_banner("disk", BannerText("The disk is full."))
    area.show_banner("model", BannerText("The model is damaged."))
    area.show_banner("disk", BannerText("The disk is read-only."))

    assert area.text("disk") == "The disk is read-only."
    assert area.text("model") == "The model is damaged."


def test_a_banner_does_what_its_button_says_and_can_be_closed(qtbot: QtBot, area: BannerArea) -> None:
    done: list[str] = []
    area.show_banner("disk", BannerText("The disk is full."), BannerAction("Try again", lambda: done.append("again")))
    area.show()

    press(qtbot, area, "Try again")
    assert done == ["again"]

    press(qtbot, area, "Close this message")
    assert area.text("disk") == ""


def test_details_are_offered_only_where_there_are_some(area: BannerArea) -> None:
    assert details_action(area, ErrorInfo("StorageError", "The disk is full.")) == ()
    assert [a.label for a in details_action(area, ErrorInfo("BugError", "Oh.", "", "trace"))] == ["Details"]
