"""The composition root: builds every long-lived object, and owns the order in which they end."""

from __future__ import annotations

from app.chats import ChatService, ChatStore
from app.jobs import IoPool
from app.library import Library
from app.logs import setup_logging
from app.paths import Paths
from app.services import Services
from app.session import EngineSession
from app.settings import SettingsStore
from engine.client import WorkerClient


def build_services(paths: Paths, *, log_to_stderr: bool = False) -> Services:
    """Everything behind a window or a command line. Touches the disk, starts no model. End it with ``close()``."""
    paths.ensure()
    stop_logging = setup_logging(paths, to_stderr=log_to_stderr)
    io = IoPool()
    settings = SettingsStore(paths.settings_file, io)
    engine = WorkerClient()
    library = Library(paths)
    chats = ChatService(ChatStore(paths.database), engine, settings, io)
    session = EngineSession(engine, library, settings, paths.kv_pages)
    io.run(chats.purge_deleted)  # the time to undo ended with the last run

    def close() -> None:
        """Answers are saved before the engine that makes them goes, settings before the pool that writes them."""
        chats.close()
        session.close()
        engine.close()
        settings.flush()
        io.close()
        stop_logging()

    return Services(paths, settings, io, engine, library, chats, session, close)
