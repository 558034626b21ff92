"""The composition root: builds every long-lived object, and owns the order in which they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.api.keys import KEY_FILE_NAME
from app.api.service import ApiService
from app.chats import ChatService, ChatStore
from app.downloads import Downloads
from app.downloads.origins import recorder
from app.downloads.queue import QUEUE_FILE_NAME
from app.hub import TOKEN_FILE_NAME, Hub, TokenStore
from app.jobs import IoPool
from app.library import Hashes, Importer, Library, ModelEntry, Upkeep
from app.logs import setup_logging
from app.paths import Paths
from app.plans import RECEIPTS_FILE_NAME, SPEEDS_FILE_NAME, Loader, LocalMachine, Planner, ReceiptBook
from app.pool import ModelPool, PoolLimits, Primary, SystemMemory, spec_for_clients
from app.remote import LoopThread, RemoteServers
from app.remote.client import RemoteClient
from app.remote.routed import RoutedClient
from app.services import Services
from app.session import EngineSession, cache_config
from app.settings import LoadWishes, SettingsStore
from engine.client import WorkerClient
from engine.config import DraftConfig, EngineConfig, LoadSpec
from engine.probe import HeaderProbe
from engine.types import AdapterUse

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
    library = Library(paths, HeaderProbe())
    receipts = ReceiptBook(paths.cache / RECEIPTS_FILE_NAME)
    planner = Planner(LocalMachine(paths.cache / SPEEDS_FILE_NAME, receipts))
    loader = Loader(planner)
    engine = RoutedClient(WorkerClient(loader.shrink), RemoteClient(servers, remote_loop))
    engine.subscribe(receipts.on_event)
    chats = ChatService(
        ChatStore(paths.database), engine, settings, io, fits=lambda use: _belongs(use, session.local_model)
    )
    session = EngineSession(engine, library, settings, paths.kv_pages, servers, loader)
    clients = _ClientModels(Primary(engine, lambda: session.local_model), library, settings, paths, loader)
    upkeep = Upkeep(library, Hashes(paths.cache / "hashes.json"), clients.files_in_use)
    hub = Hub(lambda: settings.current, TokenStore(paths.config / TOKEN_FILE_NAME))
    downloads = Downloads(paths.models, paths.data / QUEUE_FILE_NAME, hub, settings, recorder(library), library.refresh)
    api = ApiService(settings, paths.config / KEY_FILE_NAME, clients.open)
    io.run(chats.purge_deleted)  # the time to undo ended with the last run
    if settings.current.api_enabled:
        api.start()

    def close() -> None:
        """What asks goes before what answers, and settings are saved before the pool goes that writes them."""
        api.close()
        downloads.close()
        hub.close()
        chats.close()
        session.close()
        clients.primary.close()
        engine.close()
        remote_loop.close()
        library.close()
        settings.flush()
        io.close()
        stop_logging()

    return Services(
        paths,
        settings,
        io,
        engine,
        library,
        Importer(library),
        upkeep,
        planner,
        hub,
        downloads,
        chats,
        session,
        api,
        close,
    )


def _belongs(use: AdapterUse, model: ModelEntry | None) -> bool:
    return model is not None and any(str(adapter.path) == use.path for adapter in model.adapters)


class _ClientModels:
    """The models that clients of the API may ask for: the window's own, and others on demand."""

    def __init__(
        self, primary: Primary, library: Library, settings: SettingsStore, paths: Paths, loader: Loader
    ) -> None:
        self.primary = primary
        self._loader = loader
        self._library = library
        self._settings = settings
        self._paths = paths
        self._pool: ModelPool | None = None

    def files_in_use(self) -> set[Path]:
        """The first files of all models that are loaded, or on their way. Thread: any."""
        state, pool = self.primary.state, self._pool
        own = set() if state is None or state.error is not None else {state.entry.path}
        return own if pool is None else own | set(pool.paths)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Engines]:
        """For one run of the server, on its event loop. All that was loaded is given back at the end."""
        from app.api.engines import PoolEngines

        pool = self._pool = ModelPool(
            self.primary,
            partial(WorkerClient, self._loader.shrink),
            self._spec,
            SystemMemory(),
            lambda: PoolLimits.of(self._settings.current),
        )
        try:
            yield PoolEngines(pool, self._library, lambda: self._settings.current.last_model)
        finally:
            await pool.close()
            self._pool = None

    def _spec(self, entry: ModelEntry) -> LoadSpec:
        """Blocks: the devices are asked."""
        settings = self._settings.current
        cache = cache_config(settings, self._paths.kv_pages)
        drafting = DraftConfig(settings.drafting, n_tokens=settings.n_drafted)
        usual = spec_for_clients(entry, EngineConfig(n_ctx=settings.n_ctx), cache, drafting)
        return self._loader.spec(entry, settings.load_wishes.get(entry.id, LoadWishes()), usual)
