"""The page of the local API, as a person uses it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QLineEdit, QPlainTextEdit

from app.api.service import ApiPhase, ApiState
from app.api.traffic import LivePhase, TrafficSnapshot
from engine.errors import ErrorInfo, StorageError
from tests.doubles.api_service import BODIES, LAN_URL, URL, live, logged
from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.world import World
from ui.api.view import ACTIVITY, ApiView
from ui.widgets.overlay import Sheet
from ui.widgets.rail import SignButton

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def view(world: World) -> ApiView:
    world.start()
    world.press(world.window, Qt.Key.Key_4, CTRL)
    world.settle()
    return world.window.findChild(ApiView)


def said(view: ApiView) -> str:
    """All words that can be seen."""
    return "\n".join(label.text() for label in view.findChildren(QLabel) if label.isVisible() and label.text())


def snippet(view: ApiView) -> str:
    return next(
        edit.toPlainText() for edit in view.connect_view.snippets.findChildren(QPlainTextEdit) if edit.isVisible()
    )


def show(world: World, traffic: TrafficSnapshot, view: ApiView) -> None:
    view.open_place(ACTIVITY)
    world.api.snapshot = traffic
    before = world.api.n_asked
    world.qtbot.waitUntil(lambda: world.api.n_asked > before)


def test_it_is_turned_on_and_off_and_seen_from_everywhere(world: World, view: ApiView) -> None:
    assert "Turn it on" in said(view)

    world.click(world.button("Turn on"))
    world.settle()
    assert f"{URL}/v1" in said(view)
    assert view.switch.isChecked()
    sign = next(sign for sign in world.window.findChildren(SignButton) if sign.accessibleName() == "Local API")
    assert sign.toolTip().endswith(f"The API is on at {URL}")

    world.click(view.switch)
    world.settle()
    assert URL not in said(view)
    assert world.api.state.phase is ApiPhase.OFF
    assert sign.toolTip() == "Local API (Ctrl+4)"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ApiState(ApiPhase.STARTING), "Starting"),
        (ApiState(ApiPhase.STOPPING, URL), "Requests that are under way end with an error."),
        (ApiState(ApiPhase.FAILED, error=ErrorInfo("E", "Port 8080 is taken.", "Choose another.")), "Choose another."),
    ],
)
def test_every_state_has_its_words(world: World, view: ApiView, state: ApiState, words: str) -> None:
    world.api.become(state)
    world.settle()

    assert words in said(view)
    assert view.switch.isEnabled() is (state.phase is not ApiPhase.STOPPING)


def test_what_failed_can_be_tried_again(world: World, view: ApiView) -> None:
    world.api.become(ApiState(ApiPhase.FAILED, error=ErrorInfo("E", "Port 8080 is taken.")))
    world.settle()

    world.click(world.button("Try again"))
    world.settle()

    assert world.api.state.phase is ApiPhase.ON


def test_the_key_is_hidden_until_it_is_asked_for(world: World, view: ApiView) -> None:
    key = world.api.keys[0]
    field = next(edit for edit in view.findChildren(QLineEdit) if edit.accessibleName() == "Key")
    assert key not in field.text()
    assert "YOUR-KEY" in snippet(view)

    world.click(world.button("Show the key"))
    world.qtbot.waitUntil(lambda: field.text() == key)
    assert key in snippet(view)

    world.press(world.window, Qt.Key.Key_1, CTRL)
    assert key not in field.text()
    assert key not in snippet_text(view)


def snippet_text(view: ApiView) -> str:
    return "".join(edit.toPlainText() for edit in view.connect_view.snippets.findChildren(QPlainTextEdit))


def test_the_key_can_be_copied_unseen(world: World, view: ApiView) -> None:
    world.click(world.button("Copy the key"))

    world.qtbot.waitUntil(lambda: QGuiApplication.clipboard().text() == world.api.keys[0])


def test_a_new_key_is_made_only_after_a_question(world: World, view: ApiView) -> None:
    world.click(world.button("Make a new key"))
    sheet = world.window.findChild(Sheet)
    assert any("stops working at once" in label.text() for label in sheet.findChildren(QLabel))
    assert len(world.api.keys) == 1

    world.click(next(b for b in sheet.findChildren(type(world.button("Cancel"))) if b.text() == "Make a new key"))
    world.qtbot.waitUntil(lambda: len(world.api.keys) == 2)


def test_a_key_that_cannot_be_read_says_why(world: World, view: ApiView) -> None:
    world.api.problem = StorageError("The disk is full.", "Free some space.")

    world.click(world.button("Show the key"))

    world.qtbot.waitUntil(lambda: view.banners.text("problem") == "The disk is full. Free some space.")


def test_other_machines_are_let_in_only_after_a_question_and_always_with_the_key(world: World, view: ApiView) -> None:
    world.settings.update(api_requires_key=False)
    world.settle()
    access = view.connect_view.access

    world.click(access.on_network)
    assert not world.settings.current.api_on_network
    assert not access.on_network.isChecked()
    world.click(world.button("Let them connect"))
    world.settle()

    assert world.settings.current.api_on_network
    assert access.requires_key.isChecked()
    assert not access.requires_key.isEnabled()
    world.click(world.button("Turn on"))
    world.settle()
    assert f"{LAN_URL}/v1" in said(view)
    assert "not encrypted" in said(view)


def test_web_pages_are_listed_one_by_one(world: World, view: ApiView) -> None:
    field = next(edit for edit in view.findChildren(QLineEdit) if edit.accessibleName() == "Address of a web page")
    assert "No web page may use it." in said(view)

    world.qtbot.keyClicks(field, "http://localhost:3000/")
    world.press(field, Qt.Key.Key_Return)
    world.settle()
    assert world.settings.current.api_origins == ("http://localhost:3000",)
    assert field.text() == ""

    world.qtbot.keyClicks(field, "*")
    world.click(world.button("Add the web page"))
    world.settle()
    assert "is not the origin of a web page" in said(view)
    assert field.text() == "*"

    world.click(world.button("Remove http://localhost:3000"))
    world.settle()
    assert world.settings.current.api_origins == ()


def test_the_port_and_the_models_for_programs_are_kept(world: World, view: ApiView) -> None:
    view.connect_view.access.port.setValue(9090)
    view.connect_view.models.n_models.setValue(3)
    view.connect_view.models.idle_minutes.setValue(30)

    current = world.settings.current
    assert (current.api_port, current.api_n_models, current.api_idle_minutes) == (9090, 3, 30)


def test_snippets_name_the_model_that_is_loaded(world: World, view: ApiView) -> None:
    assert '"model": "tiny"' in snippet(view)

    world.click(world.button("Program: Ollama"))
    assert "from ollama import Client" in snippet(view)


def test_what_is_under_way_is_shown_and_can_be_stopped(world: World, view: ApiView) -> None:
    world.api.start()
    waiting = live(2, phase=LivePhase.QUEUED, n_prompt=0, tokens_per_s=None, agent="curl/8")
    show(world, TrafficSnapshot(live=(live(1), waiting), n_queued=1, tokens_per_s=42.0), view)

    words = said(view)
    for part in (
        "1 running  ·  1 waiting  ·  42 tok/s",
        "OpenAI/Python 3.54",
        "Writing",
        "1,204 in, 88 out",
        "Waiting",
    ):
        assert part in words

    world.click(world.button("Stop the request of curl/8"))
    assert world.api.cancelled == [2]
    assert "curl/8" not in said(view)


def test_the_log_keeps_its_selection_while_requests_come(world: World, view: ApiView) -> None:
    show(world, TrafficSnapshot(recent=(logged(2, bodies=BODIES), logged(1)), n_requests=2), view)
    view.activity.log.setCurrentIndex(view.activity.requests.index(0))
    assert "POST /v1/chat/completions" in said(view)
    assert any(edit.toPlainText() == BODIES.response for edit in view.activity.details.findChildren(QPlainTextEdit))

    show(world, TrafficSnapshot(recent=(logged(3), logged(2), logged(1)), n_requests=3), view)
    assert view.activity.log.currentIndex().row() == 1
    assert "What was asked and answered was not kept." in said(view)

    world.press(view.activity.log, Qt.Key.Key_Escape)
    assert view.activity.details.isHidden()


def test_an_empty_log_says_how_to_begin(world: World, view: ApiView) -> None:
    show(world, TrafficSnapshot(), view)

    assert "Nothing was asked yet. The API is off." in said(view)


def test_bodies_are_kept_only_while_that_is_wanted(world: World, view: ApiView) -> None:
    view.open_place(ACTIVITY)

    world.click(view.activity.keeps_bodies)
    assert world.api.snapshot.keeps_bodies

    world.api.snapshot = replace(world.api.snapshot, keeps_bodies=False)
    world.qtbot.waitUntil(lambda: not view.activity.keeps_bodies.isChecked())


def test_nothing_is_asked_while_nobody_can_see_it(world: World, view: ApiView) -> None:
    from ui.api.activity import ActivityControl

    world.press(world.window, Qt.Key.Key_1, CTRL)

    assert not view.findChild(ActivityControl)._timer.isActive()


def test_everything_can_be_reached_and_has_a_name(world: World, view: ApiView) -> None:
    world.api.start()
    world.settle()
    assert unnamed(world.window) == []
    assert without_tab(world.window) == []

    show(world, TrafficSnapshot(live=(live(1),), recent=(logged(1, bodies=BODIES),), n_requests=1), view)
    view.activity.log.setCurrentIndex(view.activity.requests.index(0))
    assert unnamed(world.window) == []
    assert without_tab(world.window) == []


def test_it_fits_into_a_small_window(world: World, view: ApiView) -> None:
    world.window.resize(800, 600)
    world.settle()

    assert world.window.width() == 800
    assert view.connect_view.widget().width() <= view.connect_view.viewport().width()
    view.open_place(ACTIVITY)
    world.settle()
    assert view.activity.widget().width() <= view.activity.viewport().width()
