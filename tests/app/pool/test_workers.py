"""The pool with real engines: processes that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.library import Library, ModelEntry
from app.paths import Paths
from app.pool import ModelPool, NotLoaded, Primary, SystemMemory, spec_for_clients
from engine.client import WorkerClient
from engine.config import CacheConfig, DraftConfig, EngineConfig
from tests.doubles.gguf import make_tiny_gguf

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


@pytest.fixture
def library(tmp_path: Path) -> Library:
    paths = Paths.below(tmp_path)
    paths.ensure()
    make_tiny_gguf(paths.models / "a.gguf", seed=1)
    make_tiny_gguf(paths.models / "b.gguf", seed=2)
    return Library(paths)


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "engine.worker" in child.cmdline()]


def pool_of(clients: list[WorkerClient], primary: WorkerClient) -> ModelPool:
    def make() -> WorkerClient:
        clients.append(WorkerClient())
        return clients[-1]

    config = EngineConfig(n_ctx=256)
    return ModelPool(
        Primary(primary, lambda: None),
        make,
        lambda entry: spec_for_clients(entry, config, CacheConfig(0, 0), DraftConfig()),
        SystemMemory(),
    )


async def use(pool: ModelPool, entry: ModelEntry, keep_alive_s: float) -> str:
    async with pool.lease(entry, keep_alive_s) as lease:
        return lease.info.name


def test_models_come_and_go_with_their_processes(library: Library) -> None:
    async def scenario(primary: WorkerClient) -> None:
        clients: list[WorkerClient] = []
        pool, (a, b) = pool_of(clients, primary), library.entries()
        assert await asyncio.gather(use(pool, a, 60), use(pool, a, 60), use(pool, b, 60)) == ["a", "a", "b"]
        assert len(workers()) == len(clients) == 2
        assert await use(pool, a, 0) == "a"
        assert await use(pool, b, 60) == "b"
        await pool.close()
        assert workers() == []
        with pytest.raises(NotLoaded):
            await use(pool, a, 60)

    with_primary(scenario)


def test_a_load_that_nobody_waits_for_takes_its_process_with_it(library: Library) -> None:
    async def scenario(primary: WorkerClient) -> None:
        clients: list[WorkerClient] = []
        pool, (a, _) = pool_of(clients, primary), library.entries()
        waiting = asyncio.ensure_future(use(pool, a, 60))
        async with asyncio.timeout(PATIENCE_S):
            while not workers() and not waiting.done():
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pool.close()
        assert workers() == []
        assert clients[0].worker_pid is None

    with_primary(scenario)


def with_primary(scenario: Callable[[WorkerClient], Coroutine[Any, Any, None]]) -> None:
    primary = WorkerClient()
    try:
        asyncio.run(scenario(primary))
    finally:
        primary.close()
