"""One run of the server, from the socket to the end of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from app.api.engines import Engines
from app.api.guard import Door
from app.api.metrics import Metrics
from app.api.server import ApiServer, Listener
from app.api.traffic import Traffic
from app.api.watched import watched_app
from app.settings import Settings
from engine.types import SamplingParams

_EVERYWHERE = "0.0.0.0"
_HERE = "127.0.0.1"

OpenEngines = Callable[[], AbstractAsyncContextManager[Engines]]


class Serving:
    """Thread: any, but for :meth:`run`."""

    def __init__(self, settings: Settings, key: str) -> None:
        """Take the port. Raises KnownError."""
        self._listener = Listener.bind(_EVERYWHERE if settings.api_on_network else _HERE, settings.api_port)
        self._door = Door(self._listener.access(key))
        self._server: ApiServer | None = None
        self._is_stopping = False
        self.admit(settings, key)

    @property
    def url(self) -> str:
        return self._listener.own_root

    @property
    def lan_url(self) -> str | None:
        """None where other machines may not connect, or this one is on no network."""
        root = self._listener.root
        return root if not self._listener.is_local and root != self._listener.own_root else None

    def admit(self, settings: Settings, key: str) -> None:
        """Who may come in from now on, with connections that are open already as with new ones."""
        shown = key if settings.api_requires_key or not self._listener.is_local else None
        self._door.access = self._listener.access(shown, frozenset(settings.api_origins))

    def run(
        self,
        open_engines: OpenEngines,
        defaults: SamplingParams,
        traffic: Traffic,
        metrics: Metrics,
        on_started: Callable[[], None],
    ) -> None:
        """Serve until :meth:`stop`, on this thread. Returns when every connection and engine of its own is closed."""
        with self._listener.socket:
            asyncio.run(self._serve(open_engines, defaults, traffic, metrics, on_started))

    def stop(self) -> None:
        """Returns at once; requests that are under way end with an error."""
        self._is_stopping = True
        if self._server is not None:
            self._server.stop()

    async def _serve(
        self,
        open_engines: OpenEngines,
        defaults: SamplingParams,
        traffic: Traffic,
        metrics: Metrics,
        on_started: Callable[[], None],
    ) -> None:
        async with open_engines() as engines:
            app = watched_app(engines, self._door, defaults, traffic, metrics)
            self._server = ApiServer(app, engines.close, on_started)
            if self._is_stopping:
                self._server.stop()
            try:
                await self._server.serve([self._listener.socket])
            finally:
                engines.close()
