"""The list of servers, and where their keys are."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from app.remote import KeyPlace, LoopThread, RemoteModel, RemoteServer, RemoteServers, is_remote
from app.remote.address import is_readable_on_the_way, server_address
from app.remote.keys import Keyring, KeyringUnavailable, checked_key
from engine.errors import InvalidRequest, KnownError, ModelFileError
from tests.doubles.keyrings import ForgetfulKeyring, MemoryKeyring, NoKeyring

KEY = "sk-1234567890"
DRAFT = RemoteServer("", "Cluster", "http://gpu:8000/v1", ("org/big", "small"))


@pytest.fixture
def opened(tmp_path: Path, loops: Callable[[], LoopThread]) -> Callable[..., RemoteServers]:
    """The same list, opened as by a run of its own."""
    return lambda keyring: RemoteServers(tmp_path, loops(), keyring)


def test_servers_outlive_the_run_and_their_keys_are_elsewhere(
    tmp_path: Path, opened: Callable[[Keyring], RemoteServers]
) -> None:
    keyring = MemoryKeyring()
    server = opened(keyring).save(DRAFT, KEY)

    again = opened(keyring)
    assert [model.name for model in again.models()] == ["org/big", "small"]
    assert again.connection(again.models()[0].id)[0].key == KEY
    assert keyring.kept == {("Hearth", server.id): KEY}
    assert all(KEY not in path.read_text() for path in tmp_path.iterdir())
    assert KEY not in repr(again.connection(again.models()[0].id))


def test_ids_are_no_paths_and_stay(opened: Callable[[Keyring], RemoteServers]) -> None:
    servers = opened(MemoryKeyring())
    server = servers.save(DRAFT, None)
    before = servers.models()[0]
    servers.save(RemoteServer(server.id, "Other", server.address, server.models), None)

    assert is_remote(before.id)
    assert "/" not in before.id
    assert servers.find(before.id).server.name == "Other"


@pytest.mark.parametrize("keyring", [NoKeyring(), ForgetfulKeyring()])
def test_without_a_keyring_nothing_is_saved_until_the_user_says_where_to(
    tmp_path: Path, opened: Callable[[Keyring], RemoteServers], keyring: Keyring
) -> None:
    servers = opened(keyring)
    with pytest.raises(KeyringUnavailable):
        servers.save(DRAFT, KEY)
    assert servers.models() == []

    server = servers.save(DRAFT, KEY, KeyPlace.FILE)
    file = tmp_path / "server-keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert opened(keyring).key_of(server) == KEY

    servers.remove(server.id)
    assert not file.exists()


def test_a_key_for_one_run_is_asked_for_in_the_next(opened: Callable[[Keyring], RemoteServers]) -> None:
    servers = opened(NoKeyring())
    server = servers.save(DRAFT, KEY, KeyPlace.RUN)
    assert servers.key_of(server) == KEY

    with pytest.raises(KnownError, match="until Hearth ended"):
        opened(NoKeyring()).key_of(server)


def test_a_server_takes_its_key_with_it(opened: Callable[[Keyring], RemoteServers]) -> None:
    keyring = MemoryKeyring()
    servers = opened(keyring)
    server = servers.save(DRAFT, KEY)
    servers.save(RemoteServer(server.id, server.name, server.address, server.models), None)
    assert keyring.kept == {}

    servers.save(RemoteServer(server.id, server.name, server.address, server.models), KEY)
    servers.remove(server.id)
    assert keyring.kept == {}
    with pytest.raises(ModelFileError):
        servers.find(f"remote:{server.id}:small")


def test_a_list_that_cannot_be_read_is_kept_aside_and_one_bad_entry_costs_only_itself(
    tmp_path: Path, opened: Callable[[Keyring], RemoteServers]
) -> None:
    opened(MemoryKeyring()).save(DRAFT, None)
    file = tmp_path / "servers.json"
    file.write_text(file.read_text().replace('"servers": [', '"servers": [{"id": "x", "name": "x", "address": "y"},'))
    assert len(opened(MemoryKeyring()).models()) == 2

    file.write_text("{")
    broken = opened(MemoryKeyring())
    assert broken.problem is not None
    assert broken.models() == []
    assert (tmp_path / "servers.json.corrupt-1").read_text() == "{"


def test_a_model_that_is_called_by_its_file_is_shown_by_its_name() -> None:
    server = RemoteServer("abc", "Cluster", "http://gpu/v1")

    assert RemoteModel(server, "/srv/models/Big-Q4_1.gguf").name == "Big-Q4_1"
    assert RemoteModel(server, "org/big").name == "org/big"
    assert RemoteModel(server, ".gguf").name == ".gguf"


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("localhost:8080", "http://localhost:8080/v1"),
        (" 192.168.1.20:8000/ ", "http://192.168.1.20:8000/v1"),
        ("api.example.com", "https://api.example.com/v1"),
        ("https://API.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("http://gpu/v1/models", "http://gpu/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("https://example.com/openai", "https://example.com/openai"),
    ],
)
def test_an_address_is_completed(typed: str, address: str) -> None:
    assert server_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ftp://host",
        "http://",
        "http://user:pw@host",
        "http://h/v1?key=1",
        "http://h:99999",
        "a b",
        "http://[::1",
        "x\ny",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(InvalidRequest):
        server_address(typed)


@pytest.mark.parametrize(
    ("address", "is_exposed"),
    [
        ("http://127.0.0.1:8080/v1", False),
        ("http://10.1.2.3/v1", False),
        ("http://gpu-box:8000/v1", False),
        ("http://node.cluster.example/v1", True),
        ("http://8.8.8.8/v1", True),
        ("https://api.example.com/v1", False),
    ],
)
def test_a_line_that_strangers_can_read_is_known(address: str, is_exposed: bool) -> None:
    assert is_readable_on_the_way(address) is is_exposed


def test_a_key_cannot_smuggle_a_header() -> None:
    assert checked_key("  Bearer abc ") == "abc"
    assert checked_key(" ") is None
    for typed in ("a\r\nX: y", "ä", "a b", "x" * 5000):
        with pytest.raises(InvalidRequest):
            checked_key(typed)
