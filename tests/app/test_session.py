"""Which model is loaded: one of this machine, or a server's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.library import Library
from app.paths import Paths
from app.remote import LoopThread, RemoteServer, RemoteServers
from app.session import EngineSession
from app.settings import SettingsStore
from engine.errors import ModelFileError
from tests.doubles.engine import FakeEngineClient
from tests.doubles.keyrings import MemoryKeyring


class Sessions:
    def __init__(self, folder: Path) -> None:
        paths = Paths.below(folder)
        paths.ensure()
        self.loop = LoopThread("remote")
        self.engine = FakeEngineClient()
        self.settings = SettingsStore(paths.settings_file)
        self.servers = RemoteServers(paths.config, self.loop, MemoryKeyring())
        self.session = EngineSession(self.engine, Library(paths), self.settings, paths.kv_pages, self.servers)
        self.servers.save(RemoteServer("", "Cluster", "http://gpu/v1", ("org/big",)), None)
        self.model = self.servers.models()[0]


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path)
    yield made
    made.session.close()
    made.loop.close()


def test_a_servers_model_is_loaded_by_its_id_and_blamed_for_no_crash(sessions: Sessions) -> None:
    sessions.session.load(sessions.model.id)

    assert sessions.engine.loads[0].path == sessions.model.path
    assert sessions.session.model == sessions.model
    assert sessions.session.local_model is None
    assert sessions.settings.current.loading_model is None


def test_the_start_goes_back_to_a_server_only_where_it_was_chosen(sessions: Sessions) -> None:
    assert sessions.session.autoload() is None
    sessions.settings.update(last_model=sessions.model.id)
    assert sessions.session.autoload() == sessions.model


def test_a_server_that_is_gone_is_no_reason_to_fail_at_the_start(sessions: Sessions) -> None:
    sessions.settings.update(last_model=sessions.model.id)
    sessions.servers.remove(sessions.model.server.id)

    assert sessions.session.autoload() is None
    with pytest.raises(ModelFileError):
        sessions.session.load(sessions.model.id)
