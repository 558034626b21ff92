"""A hub on loopback with a few repositories, and what asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.hub import Hub, TokenStore
from app.settings import SettingsStore
from tests.doubles.hub_server import HubServer
from tests.doubles.keyrings import MemoryKeyring


@pytest.fixture
def server() -> Iterator[HubServer]:
    server = HubServer()
    with server.running():
        yield server


@pytest.fixture
def settings(tmp_path: Path, server: HubServer) -> SettingsStore:
    settings = SettingsStore(tmp_path / "settings.json")
    settings.update(hub_endpoint=server.endpoint)
    return settings


@pytest.fixture
def keyring() -> MemoryKeyring:
    return MemoryKeyring()


@pytest.fixture
def hub(tmp_path: Path, settings: SettingsStore, keyring: MemoryKeyring) -> Iterator[Hub]:
    tokens = TokenStore(tmp_path / "token.json", keyring, environ={}, signed_in=lambda: None)
    hub = Hub(lambda: settings.current, tokens)
    yield hub
    hub.close()
