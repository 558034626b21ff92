"""The composition root: builds every long-lived object, and owns the order in which they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.api.keys import KEY_FILE_NAME
from app.api.service import ApiService
from app.chats import ChatService, ChatStore
from app.jobs import IoPool
from app.library import Library, ModelEntry
from app.logs import setup_logging
from app.paths import Paths
from app.pool import ModelPool, PoolLimits, Primary, SystemMemory, spec_for_clients
from app.remote import LoopThread, RemoteServers
from app.remote.client import RemoteClient
from app.remote.routed import RoutedClient
from app.services import Services
from app.session import EngineSession, cache_config
from app.settings import SettingsStore
from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec

if TYPE_CHECKING:
    from app.api.engines import Engines


def build_services(paths: Paths, *, log_to_stderr: bool = False) -> Services:
    """Everything behind a window or a command line. Touches the disk, starts no model. End it with ``close()``."""
    paths.ensure()
    stop_logging = setup_logging(paths, to_stderr=log_to_stderr)
    io = IoPool()
    settings = SettingsStore(paths.settings_file, io)
    remote_loop = LoopThread("remote")
    servers = RemoteServers(paths.config, remote_loop)
    engine = RoutedClient(WorkerClient(), RemoteClient(servers, remote_loop))
    library = Library(paths)
    chats = ChatService(ChatStore(paths.database), engine, settings, io)
    session = EngineSession(engine, library, settings, paths.kv_pages, servers)
    clients = _ClientModels(Primary(engine, lambda: session.local_model), library, settings, paths)
    api = ApiService(settings, paths.config / KEY_FILE_NAME, clients.open)
    io.run(chats.purge_deleted)  # the time to undo ended with the last run
    if settings.current.api_enabled:
        api.start()

    def close() -> None:
        """What asks goes before what answers, and settings are saved before the pool goes that writes them."""
        api.close()
        chats.close()
        session.close()
        clients.primary.close()
        engine.close()
        remote_loop.close()
        settings.flush()
        io.close()
        stop_logging()

    return Services(paths, settings, io, engine, library, chats, session, api, close)


class _ClientModels:
    """The models that clients of the API may ask for: the window's own, and others on demand."""

    def __init__(self, primary: Primary, library: Library, settings: SettingsStore, paths: Paths) -> None:
        self.primary = primary
        self._library = library
        self._settings = settings
        self._paths = paths

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Engines]:
        """For one run of the server, on its event loop. All that was loaded is given back at the end."""
        from app.api.engines import PoolEngines

        pool = ModelPool(
            self.primary,
            WorkerClient,
            self._spec,
            SystemMemory(),
            lambda: PoolLimits.of(self._settings.current),
        )
        try:
            yield PoolEngines(pool, self._library, lambda: self._settings.current.last_model)
        finally:
            await pool.close()

    def _spec(self, entry: ModelEntry) -> LoadSpec:
        settings = self._settings.current
        cache = cache_config(settings, self._paths.kv_pages)
        return spec_for_clients(entry, EngineConfig(n_ctx=settings.n_ctx), cache)
