"""``serve``: the local API server, until Ctrl+C."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.terminal import EXIT_DONE, EXIT_USAGE, Terminal
from app.library import Library, ModelEntry
from app.partners import draft_config
from app.paths import Paths
from app.session import cache_config, first_usable
from app.settings import Settings, SettingsStore
from engine.client import EngineClient
from engine.config import CacheConfig, DraftConfig, EngineConfig, LoadSpec
from engine.errors import ErrorInfo, KnownError, ModelFileError
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded, ModelLoading
from engine.types import SamplingParams

if TYPE_CHECKING:
    from app.api.server import ApiServer, Listener
    from app.pool import ModelPool

_HIGHEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, metavar="N", help="the port (default: %(default)s)")
    parser.add_argument("--model", metavar="PATH|ID", help="the model to begin with; the last one if left out")
    parser.add_argument("--draft", metavar="PATH|ID", help="a small model that guesses for it; the best if left out")
    parser.add_argument("--context", type=_positive, metavar="N", help="tokens of context for each request")
    parser.add_argument("--parallel", type=_positive, metavar="N", help="how many requests are answered at a time")
    parser.add_argument("--no-auth", action="store_true", help="ask clients for no key; on this machine only")


def run(
    arguments: argparse.Namespace, paths: Paths, make_engine: Callable[[], EngineClient], terminal: Terminal
) -> int:
    """Serve until Ctrl+C. Raises KnownError where it cannot start, or the engine is gone for good."""
    settings = SettingsStore(paths.settings_file).current
    config = _engine_config(arguments, settings)
    if problem := _wrong_usage(arguments, config):
        terminal.note(problem)
        return EXIT_USAGE
    library = Library(paths)
    model = _choose(library, arguments.model, settings.last_model)
    drafting = draft_config(settings, library, model, arguments.draft)

    from app.api.server import Listener

    listener = Listener.bind(arguments.host, arguments.port)
    with listener.socket:
        if arguments.no_auth and not listener.is_local:
            terminal.note("Without a key the server may listen on this machine only. Leave --no-auth or --host out.")
            return EXIT_USAGE
        key_file = None if arguments.no_auth else _key_file(paths)
        cache = cache_config(settings, paths.kv_pages)
        serving = _Serving(listener, key_file, library, model, settings, config, cache, drafting, terminal)
        engine = make_engine()
        try:
            asyncio.run(serving.run(engine, make_engine))
        finally:
            engine.close()
    return EXIT_DONE


@dataclass
class _Serving:
    """One run of the server. Thread: the main one, but for what the engine's thread hands over.

    ``model`` is loaded from the start and stays; the library's others are loaded when a client asks for them.
    """

    listener: Listener
    key_file: Path | None
    library: Library
    model: ModelEntry
    settings: Settings
    config: EngineConfig
    cache: CacheConfig
    drafting: DraftConfig
    terminal: Terminal
    _is_announced: bool = False
    _error: ErrorInfo | None = None

    async def run(self, engine: EngineClient, make_engine: Callable[[], EngineClient]) -> None:
        """Raises KnownError where the model does not load, or its engine died too often."""
        from app.api.engines import PoolEngines
        from app.api.keys import load_or_create_key
        from app.api.metrics import Metrics
        from app.api.server import ApiServer
        from app.api.traffic import Traffic
        from app.api.watched import watched_app

        key = None if self.key_file is None else load_or_create_key(self.key_file)
        pool = self._make_pool(engine, make_engine)
        engines = PoolEngines(pool, self.library, lambda: None)
        traffic, defaults = Traffic(), SamplingParams(temperature=self.settings.temperature)
        app = watched_app(engines, self.listener.access(key), defaults, traffic, Metrics(traffic))
        server = ApiServer(app, engines.close)
        loop = asyncio.get_running_loop()
        unsubscribe = engine.subscribe(lambda event: self._watch(event, server, key, loop))
        try:
            engine.load(LoadSpec(str(self.model.path), self.config, self.cache, self.drafting))
            await server.serve([self.listener.socket])
        finally:
            unsubscribe()
            engines.close()
            await pool.close()
            pool.primary.close()
        if self._error is not None:
            raise KnownError(self._error.text, self._error.hint)

    def _make_pool(self, engine: EngineClient, make_engine: Callable[[], EngineClient]) -> ModelPool:
        from app.pool import ModelPool, PoolLimits, Primary, SystemMemory, spec_for_clients

        return ModelPool(
            Primary(engine, lambda: self.model),
            make_engine,
            lambda entry: spec_for_clients(entry, self.config, self.cache, self.drafting),
            SystemMemory(),
            lambda: PoolLimits.of(self.settings),
        )

    def _watch(self, event: Event, server: ApiServer, key: str | None, loop: asyncio.AbstractEventLoop) -> None:
        """Thread: the engine client's."""
        if isinstance(event, ModelLoading | ModelLoaded | LoadFailed | EngineFailed) and not loop.is_closed():
            loop.call_soon_threadsafe(partial(self._tell, event, server, key))

    def _tell(
        self, event: ModelLoading | ModelLoaded | LoadFailed | EngineFailed, server: ApiServer, key: str | None
    ) -> None:
        match event:
            case ModelLoading(progress=progress):
                self._show_progress(progress)
            case ModelLoaded():
                self._show_ready(key)
            case EngineFailed(error=error, restarting=True):
                self.terminal.note(f"{error.text} It is being started again.")
            case LoadFailed(error=error) | EngineFailed(error=error):
                self._error = error
                server.stop()

    def _show_progress(self, progress: float) -> None:
        if self.terminal.stderr.isatty():
            self.terminal.note(f"\rLoading {self.model.name}: {progress:.0%} ", end="")

    def _show_ready(self, key: str | None) -> None:
        """The key itself once, and only where a person reads it: what goes into a file stays there."""
        is_read = self.terminal.stderr.isatty()
        if self._is_announced:
            self.terminal.note(f"{self.model.name} is ready again.")
            return
        self._is_announced = True
        lines = [f"{self.model.name} is ready at {self.listener.url}"]
        if key is None:
            lines.append("Every program on this machine may use it: there is no key.")
        else:
            lines.append(f"Key: {key}" if is_read else f"The key is in {self.key_file}")
        self.terminal.note(("\r\033[K" if is_read else "") + "\n".join([*lines, "Ctrl+C ends it."]))


def _engine_config(arguments: argparse.Namespace, settings: Settings) -> EngineConfig:
    n_ctx = arguments.context or settings.n_ctx
    return (
        EngineConfig(n_ctx=n_ctx) if arguments.parallel is None else EngineConfig(n_ctx, n_parallel=arguments.parallel)
    )


def _wrong_usage(arguments: argparse.Namespace, config: EngineConfig) -> str | None:
    return config.problem()


def _choose(library: Library, wished: str | None, last: str | None) -> ModelEntry:
    """Raises KnownError where there is no such model, or it cannot be used, or there is none at all."""
    if wished is None and any(entry.id == last and entry.problem is None for entry in library.entries()):
        wished = last
    entry = first_usable(library, wished)
    if entry.problem is not None:
        raise ModelFileError(entry.problem.text, entry.problem.hint)
    return entry


def _key_file(paths: Paths) -> Path:
    from app.api.keys import KEY_FILE_NAME

    return paths.config / KEY_FILE_NAME


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{number} is not a port between 0 and {_HIGHEST_PORT}")
    return number
