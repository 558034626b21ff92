"""A pool over engines that do what a test says, memory that it counts, and a clock that it sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from app.library import ModelEntry, Source
from app.pool import Lease, ModelPool, NotLoaded, PoolLimits, Primary, Weight
from engine.config import EngineConfig, LoadSpec
from engine.errors import ErrorInfo, ModelFileError
from engine.events import EngineFailed, LoadFailed, ModelLoaded, ModelLoading
from tests.doubles.engine import FakeEngineClient, make_model_info

T = TypeVar("T")
DAMAGED = ErrorInfo("ModelFileError", "The file is damaged.")
NO_MEMORY = ErrorInfo("OutOfMemory", "It does not fit.")
DIED = ErrorInfo("EngineStopped", "It died.")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time goes on only when it is told to. Work that is due is done by :meth:`settle`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(work)
        finally:
            asyncio.set_event_loop(None)

    def settle(self) -> None:
        self.do(_rest())


async def _rest() -> None:
    """Longer than any chain of what one event leads to."""
    for _ in range(60):
        await asyncio.sleep(0)


async def soon(work: Callable[[], T]) -> T:
    """As another thread would: other things happen before it is done."""
    for _ in range(3):
        await asyncio.sleep(0)
    return work()


class PoolEngine(FakeEngineClient):
    """Loads when the test says so. Takes its memory from the call of ``load`` until it is closed."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.is_loaded = False
        self.has_ended = False

    @property
    def path(self) -> str:
        return self.loads[-1].path

    @property
    def is_loading(self) -> bool:
        return bool(self.loads) and not self.is_loaded and not self.has_ended and not self.closed

    @property
    def n_sinks(self) -> int:
        return len(self._sinks)

    def load(self, spec: LoadSpec) -> None:
        super().load(spec)
        self._world.on_load(self)
        self.emit(ModelLoading(spec.path, 0.0))

    def unload(self) -> None:
        super().unload()
        self.has_ended = True
        self._world.on_unload(self)

    def succeed(self) -> None:
        self.is_loaded = True
        self.emit(ModelLoaded(make_model_info(self.path)))

    def fail(self, error: ErrorInfo = DAMAGED) -> None:
        self.has_ended = True
        self.emit(LoadFailed(self.path, error))

    def die(self, *, restarting: bool) -> None:
        self.is_loaded, self.has_ended = False, not restarting
        self.emit(EngineFailed(self.path, DIED, restarting))


class Client:
    """Somebody who asks for a model. ``outcome`` is a lease, an error, or None while there is neither."""

    def __init__(self, pool: ModelPool, entry: ModelEntry, keep_alive_s: float | None) -> None:
        self.entry = entry
        self.outcomes: list[Lease | NotLoaded] = []
        self._done = asyncio.Event()
        self._is_leaving = False
        self.task = asyncio.ensure_future(self._ask(pool, keep_alive_s))

    @property
    def outcome(self) -> Lease | NotLoaded | None:
        return self.outcomes[-1] if self.outcomes else None

    @property
    def lease(self) -> Lease:
        assert isinstance(self.outcome, Lease), self.outcome
        return self.outcome

    @property
    def error(self) -> NotLoaded:
        assert isinstance(self.outcome, NotLoaded), self.outcome
        return self.outcome

    @property
    def is_waiting(self) -> bool:
        return not self.outcomes and not self.task.done()

    @property
    def is_using(self) -> bool:
        return isinstance(self.outcome, Lease) and not self.task.done() and not self._is_leaving

    async def _ask(self, pool: ModelPool, keep_alive_s: float | None) -> None:
        try:
            async with pool.lease(self.entry, keep_alive_s) as lease:
                self.outcomes.append(lease)
                await self._done.wait()
        except NotLoaded as error:
            self.outcomes.append(error)

    def finish(self) -> None:
        self._is_leaving = True
        self._done.set()

    def go_away(self) -> None:
        self._is_leaving = True
        self.task.cancel()


class World:
    """Models that need 10 bytes each unless ``needs`` says otherwise, on a machine with ``total_bytes``."""

    def __init__(self, total_bytes: int = 100, n_models: int = 2, idle_s: float = 60.0) -> None:
        self.total_bytes = total_bytes
        self.needs: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.unreadable: set[str] = set()
        self.limits = PoolLimits(n_models, idle_s)
        self.engines: list[PoolEngine] = []
        self.clients: list[Client] = []
        self.is_closing = False
        self.own_model: ModelEntry | None = None
        self.own_engine = FakeEngineClient()
        self.primary = Primary(self.own_engine, lambda: self.own_model)
        self.loop = VirtualLoop()
        self.pool = self.loop.do(self._make_pool())
        self.loop.settle()

    async def _make_pool(self) -> ModelPool:
        def spec_of(entry: ModelEntry) -> LoadSpec:
            return LoadSpec(str(entry.path))

        return ModelPool(self.primary, self._make_engine, spec_of, self, lambda: self.limits, soon)

    # What the pool asks.

    def weigh(self, entry: ModelEntry, config: EngineConfig) -> Weight:
        if entry.name in self.unreadable:
            raise ModelFileError("It cannot be read.")
        return Weight(self.needs.get(entry.name, 10), (1, self.versions.get(entry.name, 0)))

    def free_bytes(self) -> int:
        return self.total_bytes - self.taken_bytes

    def _make_engine(self) -> PoolEngine:
        engine = PoolEngine(self)
        self.engines.append(engine)
        return engine

    # What is looked at.

    @property
    def taken_bytes(self) -> int:
        return sum(self.needs.get(Path(engine.path).stem, 10) for engine in self.present)

    @property
    def present(self) -> list[PoolEngine]:
        return [engine for engine in self.engines if engine.loads and not engine.closed]

    def engine(self, name: str) -> PoolEngine:
        """The engine that has this model."""
        (engine,) = (one for one in self.present if Path(one.path).stem == name)
        return engine

    def on_load(self, engine: PoolEngine) -> None:
        assert self.taken_bytes <= self.total_bytes
        assert len(self.present) <= self.limits.n_models
        assert [one for one in self.engines if one.is_loading] == [engine]
        assert [one.path for one in self.present].count(engine.path) == 1

    def on_unload(self, engine: PoolEngine) -> None:
        may_go = self.is_closing or not engine.is_loaded
        assert may_go or not any(client.is_using and client.lease.engine is engine for client in self.clients)

    # What happens.

    def ask(self, name: str, keep_alive_s: float | None = None) -> Client:
        async def make() -> Client:
            return Client(self.pool, entry(name), keep_alive_s)

        client = self.loop.do(make())
        self.clients.append(client)
        self.loop.settle()
        return client

    def use(self, name: str, keep_alive_s: float | None = None) -> Client:
        """Ask for a model and let it load."""
        client = self.ask(name, keep_alive_s)
        if client.is_waiting:
            self.act(self.engine(name).succeed)
        assert client.is_using, client.outcome
        return client

    def act(self, action: Callable[[], None]) -> None:
        self.loop.do(_called(action))
        self.loop.settle()

    def own(self, name: str | None) -> None:
        """The window begins to load a model, or unloads the one it has."""
        self.own_model = None if name is None else entry(name)

    def wait(self, seconds: float) -> None:
        self.loop.now_s += seconds
        self.loop.settle()

    def held(self) -> list[str]:
        return [held.entry.name for held in self.pool.held()]

    def close(self) -> None:
        """Everybody has an outcome, and nothing is left."""
        self.is_closing = True
        try:
            self.loop.do(self.pool.close())
            self.act(lambda: [client.finish() for client in self.clients] and None)
            assert all(client.task.done() for client in self.clients)
            assert all(len(client.outcomes) == 1 or client.task.cancelled() for client in self.clients)
            assert all(engine.closed and engine.n_sinks == 0 for engine in self.engines if engine.loads)
            assert not [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        finally:
            self.primary.close()
            self.loop.close()


async def _called(action: Callable[[], None]) -> None:
    action()


def entry(name: str) -> ModelEntry:
    return ModelEntry(name, Path(f"/models/{name}.gguf"), name, "llama", "Q4_0", 10, 10, 4096, Source.FOLDER)
