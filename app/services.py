"""Everything a front end may use, built once by ``app.bootstrap``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.api.service import ApiService
    from app.chats.service import ChatService
    from app.downloads import Downloads
    from app.hub import Hub
    from app.jobs import IoPool
    from app.library import Importer, Library, Upkeep
    from app.paths import Paths
    from app.plans import Planner
    from app.session import EngineSession
    from app.settings import SettingsStore
    from engine.client import EngineClient


@dataclass(frozen=True, slots=True)
class Services:
    """Who built them knows in which order they end: ``close`` ends them all and returns when they have."""

    paths: Paths
    settings: SettingsStore
    io: IoPool
    engine: EngineClient
    library: Library
    importer: Importer
    upkeep: Upkeep
    planner: Planner
    hub: Hub
    downloads: Downloads
    chats: ChatService
    session: EngineSession
    api: ApiService
    close: Callable[[], None]
