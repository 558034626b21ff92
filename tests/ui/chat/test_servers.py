"""Servers elsewhere in the window: the dialog, the picker, and what is said of a model that another machine runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLineEdit

from app.remote import KeyPlace, RemoteServer
from app.remote.keys import SERVICE
from engine.errors import ErrorInfo
from engine.events import LoadFailed, ModelLoaded, ModelUnloaded
from engine.types import ModelInfo
from tests.doubles.engine import make_model_info
from tests.doubles.openai_server import FakeServer, unused_port
from tests.ui.focus_stops import unnamed, without_tab
from tests.ui.world import World
from ui.chat.model_picker import ModelList
from ui.chat.server_sheet import ServerSheet
from ui.chat.welcome import Welcome
from ui.models.conversations import ConversationRole


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer().running() as running:
        yield running


def sheet_of(world: World) -> ServerSheet:
    world.settle()
    (sheet,) = [found for found in world.window.findChildren(ServerSheet) if found.isVisible()]
    return sheet


def add_server(world: World) -> ServerSheet:
    world.click(world.chat.chip)
    world.settle()
    world.click(world.button("Add a server"))
    return sheet_of(world)


def told(sheet: ServerSheet) -> str:
    return sheet._state.text()


def connect(world: World, sheet: ServerSheet, address: str, words: str) -> None:
    sheet.address.setText(address)
    world.click(world.button("Connect"))
    world.qtbot.waitUntil(lambda: words in told(sheet))


def put_server(world: World, key: str | None = None) -> str:
    """A server that was added before; the id of its model."""
    world.servers.save(RemoteServer("", "Cluster", "http://gpu:8000/v1", ("org/big",)), key, KeyPlace.KEYRING)
    return world.servers.models()[0].id


def finish_connecting(world: World, path: str) -> None:
    local = make_model_info(path, "org/big")
    facts = {name: getattr(local, name) for name in ModelInfo.__struct_fields__}
    world.engine.emit(ModelLoaded(ModelInfo(**{**facts, "is_remote": True})))
    world.settle()


def pick_last(world: World) -> None:
    world.click(world.chat.chip)
    world.settle()
    models = world.window.findChild(ModelList)
    models.setCurrentIndex(models.model().index(models.model().rowCount() - 1, 0))
    world.press(models, Qt.Key.Key_Return)
    world.settle()


def test_a_server_is_added_and_its_only_model_used_at_once(world: World, server: FakeServer) -> None:
    world.start()
    sheet = add_server(world)
    connect(world, sheet, server.address.removesuffix("/v1").removeprefix("http://"), "It has 1 model.")
    assert sheet.address.text() == server.address
    sheet.name.setText("Cluster")
    sheet.key.line.setText("sk-1")
    world.click(world.button("Save"))
    world.settle()

    (model,) = world.servers.models()
    assert (model.server.name, model.name) == ("Cluster", "org/big")
    assert world.keyring.get_password(SERVICE, model.server.id) == "sk-1"
    assert world.engine.loads[-1].path == model.id


def test_what_is_wrong_is_said_in_the_dialog_and_nothing_is_lost(world: World) -> None:
    world.start()
    sheet = add_server(world)
    connect(world, sheet, "", "There is no address.")
    connect(world, sheet, f"127.0.0.1:{unused_port()}", "no server listens")
    world.qtbot.mouseClick(sheet, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))

    assert sheet.isVisible()
    assert not world.button("Save").isEnabled()
    assert world.servers.models() == []


def test_asking_can_be_stopped(world: World, server: FakeServer) -> None:
    server.models = lambda to: to.wait_for_hang_up()
    world.start()
    sheet = add_server(world)
    connect(world, sheet, server.address, "Asking")
    world.qtbot.waitUntil(lambda: bool(server.heard))
    world.click(world.button("Stop"))

    assert told(sheet) == ""
    assert server.gone.wait(10)
    assert world.button("Connect").isEnabled()


def test_a_key_on_an_open_line_is_warned_of(world: World) -> None:
    world.start()
    sheet = add_server(world)
    sheet.address.setText("http://node.cluster.example:8000")
    assert sheet.warning.text() == ""

    sheet.key.line.setText("sk-1")
    assert "not encrypted" in sheet.warning.text()
    sheet.address.setText("https://node.cluster.example:8000")
    assert sheet.warning.text() == ""


def test_the_key_is_hidden_until_it_is_asked_for(world: World) -> None:
    world.start()
    line = add_server(world).key.line
    assert line.echoMode() is QLineEdit.EchoMode.Password

    world.click(world.button("Show: Key"))
    assert line.echoMode() is QLineEdit.EchoMode.Normal
    world.click(world.button("Hide: Key"))
    assert line.echoMode() is QLineEdit.EchoMode.Password


def test_without_a_keyring_the_user_says_where_the_key_is_kept(
    world: World, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: str) -> None:
        raise RuntimeError("locked")

    monkeypatch.setattr(world.keyring, "set_password", refuse)
    world.start()
    sheet = add_server(world)
    connect(world, sheet, server.address, "It has 1 model.")
    sheet.key.line.setText("sk-1")
    world.click(world.button("Save"))
    world.settle()
    assert world.servers.models() == []

    world.click(world.button("For this run only"))
    world.settle()
    (model,) = world.servers.models()
    assert model.server.key_place is KeyPlace.RUN
    assert world.servers.key_of(model.server) == "sk-1"


def test_everything_in_the_dialog_has_a_name_and_a_place_for_tab(world: World, server: FakeServer) -> None:
    world.start()
    sheet = add_server(world)
    connect(world, sheet, server.address, "It has 1 model.")

    assert unnamed(sheet) == []
    assert without_tab(sheet) == []


def test_a_chosen_server_is_connected_and_what_is_written_is_said_to_go_there(world: World) -> None:
    model_id = put_server(world)
    world.start()
    pick_last(world)
    finish_connecting(world, model_id)

    content = world.chat.chip.content
    assert (content.name, content.detail, content.is_remote) == ("org/big", "Cluster", True)
    assert world.chat.findChild(Welcome)._promise.text() == "What you write is sent to Cluster."
    world.click(world.chat.chip)
    world.settle()
    assert world.button("Disconnect")


def test_what_a_server_remembers_is_not_made_up(world: World) -> None:
    world.say("Old")
    model_id = put_server(world)
    world.start()
    pick_last(world)
    finish_connecting(world, model_id)
    conversations = world.chat.sidebar.conversations
    row = conversations.index(1)

    assert row.data(ConversationRole.TIER) is None
    assert row.data(Qt.ItemDataRole.ToolTipRole) == "Old\nkept by the server"
    assert not conversations.can_pin
    world.engine.emit(ModelUnloaded(model_id))
    world.settle()
    assert conversations.can_pin


def test_a_server_of_the_last_time_that_is_away_can_be_tried_again(world: World) -> None:
    model_id = put_server(world)
    world.settings.update(last_model=model_id)
    world.start(loaded=False)
    world.engine.emit(LoadFailed(model_id, ErrorInfo("RemoteError", "Cluster does not answer.")))
    world.settle()

    assert world.told() == "Cluster does not answer."
    assert world.chat.chip.content.detail == "not connected"
    assert "not connected" in str(world.chat.composer.blocked_by)
    world.click(world.button("Try again"))
    world.settle()
    assert [spec.path for spec in world.engine.loads] == [model_id, model_id]


def test_a_server_that_was_never_chosen_is_not_connected_by_itself(world: World) -> None:
    put_server(world)
    world.start()

    assert [spec.path for spec in world.engine.loads] == ["/models/tiny.gguf"]


def test_a_server_is_edited_with_its_key(world: World) -> None:
    put_server(world, "sk-1")
    world.start()
    world.click(world.chat.chip)
    world.settle()
    models = world.window.findChild(ModelList)
    models.setCurrentIndex(models.model().index(1, 0))
    world.press(models, Qt.Key.Key_F2)
    sheet = sheet_of(world)
    assert (sheet.address.text(), sheet.key.line.text()) == ("http://gpu:8000/v1", "sk-1")

    sheet.name.setText("Basement")
    sheet.key.line.clear()
    world.click(world.button("Save"))
    world.settle()
    (server,) = world.servers
    assert (server.name, server.key_place) == ("Basement", KeyPlace.NONE)


def test_a_key_that_is_out_of_reach_is_not_deleted_by_an_edit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: str) -> None:
        raise RuntimeError("locked")

    put_server(world, "sk-1")
    monkeypatch.setattr(world.keyring, "get_password", refuse)
    world.start()
    world.click(world.chat.chip)
    world.settle()
    models = world.window.findChild(ModelList)
    models.setCurrentIndex(models.model().index(1, 0))
    world.press(models, Qt.Key.Key_F2)
    sheet = sheet_of(world)
    world.click(world.button("Save"))
    world.settle()

    assert "cannot be read" in told(sheet)
    (server,) = world.servers
    assert server.key_place is KeyPlace.KEYRING


def test_removing_a_server_is_asked_about_and_takes_its_key(world: World) -> None:
    model_id = put_server(world, "sk-1")
    world.start()
    pick_last(world)
    finish_connecting(world, model_id)
    world.click(world.chat.chip)
    world.settle()
    world.press(world.window.findChild(ModelList), Qt.Key.Key_Delete)
    assert world.servers.models() != []

    world.click(world.button("Remove"))
    world.settle()
    assert world.servers.models() == []
    assert world.keyring.kept == {}
    assert world.engine.unloads == 1
    world.engine.emit(ModelUnloaded(model_id))
    world.settle()
    assert world.chat.chip.content.name == "No model"
