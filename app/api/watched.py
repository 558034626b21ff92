"""The whole application as it is served: the endpoints, and around them what counts and shows their traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.application import build_app
from app.api.engines import Engines, LoadedModel, Ready
from app.api.guard import Access, Door
from app.api.metrics import Metrics
from app.api.models import ServedModel
from app.api.requests import Requests
from app.api.tracked import Origin, Tracked, current, tracking
from app.api.traffic import Surface, Traffic, is_error
from engine.reuse import KvUsage
from engine.types import ModelInfo, SamplingParams

_QUIET = frozenset({"/health", "/metrics"})
"""What watchers ask every few seconds; it would drive everything else out of the log."""

_SURFACES = (("/v1/messages", Surface.ANTHROPIC), ("/v1/", Surface.OPENAI), ("/api/", Surface.OLLAMA))
_MAX_SHOWN = 200


def watched_app(
    engines: Engines, access: Access | Door, defaults: SamplingParams, traffic: Traffic, metrics: Metrics
) -> ASGIApp:
    """As :func:`app.api.application.build_app` has it, with ``/metrics``, and every request told to ``traffic``."""
    watched = WatchedEngines(engines)
    metrics.watch(lambda: len(watched.loaded()), watched.kv)
    return Watch(build_app(watched, access, defaults, [metrics.endpoint()]), traffic, metrics)


class Watch:
    """ASGI middleware: what is refused passes it as well."""

    def __init__(self, app: ASGIApp, traffic: Traffic, metrics: Metrics) -> None:
        self._app = app
        self._traffic = traffic
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tracked = Tracked(self._traffic.new_id(), _origin(scope), keeps_bodies=self._traffic.keeps_bodies)
        self._traffic.begin(tracked)
        try:
            with tracking(tracked):
                await self._app(scope, tracked.receiving(receive), tracked.sending(send))
        except asyncio.CancelledError:
            tracked.cut_off()
            raise
        finally:
            self._end(tracked, getattr(scope.get("route"), "path", None))

    def _end(self, tracked: Tracked, route: str | None) -> None:
        logged = tracked.logged()
        self._metrics.count(logged, route)
        is_quiet = logged.endpoint in _QUIET and not is_error(logged)
        self._traffic.end(tracked, None if is_quiet else logged)


class WatchedEngines:
    """Engines that tell the request that asks for one how long it waits, and of what. Thread: the event loop's."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._requests: WeakValueDictionary[str, Requests] = WeakValueDictionary()

    async def refresh(self) -> None:
        await self._engines.refresh()

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        return self._engines.served()

    def loaded(self) -> list[LoadedModel]:
        return self._engines.loaded()

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        return self._engines.find(wanted)

    def give_back(self, wanted: str | None) -> None:
        self._engines.give_back(wanted)

    @asynccontextmanager
    async def ready(self, wanted: str | None, keep_alive_s: float | None = None) -> AsyncIterator[Ready]:
        tracked = current()
        async with AsyncExitStack() as stack:
            if tracked is None:
                ready = await stack.enter_async_context(self._engines.ready(wanted, keep_alive_s))
            else:
                with tracked.waiting_for(wanted):
                    ready = await stack.enter_async_context(self._engines.ready(wanted, keep_alive_s))
                tracked.model = ready.model.id
            self._requests[ready.model.id] = ready.requests
            yield ready

    def check(self) -> None:
        self._engines.check()

    def close(self) -> None:
        self._engines.close()

    def kv(self) -> Iterator[tuple[str, KvUsage]]:
        """What the KV cache of each model takes that was used and is still loaded."""
        for model, requests in list(self._requests.items()):
            if requests.kv is not None:
                yield model, requests.kv


def _origin(scope: Scope) -> Origin:
    """All of it is the client's own words, and shown to people: it is cut, and has nothing that does not print."""
    path = _shown(scope["path"])
    surface = next((surface for prefix, surface in _SURFACES if path.startswith(prefix)), Surface.OTHER)
    client = scope.get("client")
    agent = Headers(scope=scope).get("user-agent", "")
    return Origin(surface, _shown(scope["method"]), path, client[0] if client else "", _shown(agent))


def _shown(text: str) -> str:
    return "".join(character for character in text[:_MAX_SHOWN] if character.isprintable())
