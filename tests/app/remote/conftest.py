"""A remote engine on a server double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.remote import KeyPlace, LoopThread, RemoteModel, RemoteServer, RemoteServers
from app.remote.client import RemoteClient
from engine.config import LoadSpec
from engine.events import ModelLoaded
from tests.doubles.keyrings import MemoryKeyring
from tests.doubles.openai_server import FakeServer
from tests.doubles.recorder import Recorder

KEY = "sk-secret-of-this-test"


class Remote:
    """``add`` puts a server into the list and returns the path of its first model."""

    def __init__(self, folder: Path) -> None:
        self.loop = LoopThread("remote")
        self.keyring = MemoryKeyring()
        self.servers = RemoteServers(folder, self.loop, self.keyring)
        self.client = RemoteClient(self.servers, self.loop)
        self.events = Recorder()
        self.client.subscribe(self.events)

    def add(self, address: str, model: str = "org/big", key: str | None = None) -> str:
        draft = RemoteServer("", "Cluster", address, (model,))
        return RemoteModel(self.servers.save(draft, key, KeyPlace.KEYRING), model).path

    def connect(self, server: FakeServer, **options: str) -> ModelLoaded:
        self.client.load(LoadSpec(self.add(server.address, **options)))
        return self.events.wait(ModelLoaded)

    def close(self) -> None:
        self.client.close()
        self.loop.close()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    made = Remote(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer().running() as running:
        yield running


@pytest.fixture
def loops() -> Iterator[Callable[[], LoopThread]]:
    made: list[LoopThread] = []

    def make() -> LoopThread:
        made.append(LoopThread("remote"))
        return made[-1]

    yield make
    for loop in made:
        loop.close()
