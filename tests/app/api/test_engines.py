"""Which model answers, by what name it was asked for. What is loaded when is in tests/app/pool."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.api.engines import PoolEngines
from app.api.errors import ApiError
from app.library import Library, ModelEntry
from app.paths import Paths
from app.pool import ModelPool, PoolLimits, Primary, Weight
from engine.config import EngineConfig, LoadSpec
from engine.errors import ErrorInfo
from engine.events import EngineFailed, ModelLoading, ModelUnloaded
from engine.types import GenerationRequest, RequestId
from tests.doubles.engine import FakeEngineClient
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.scripted_engine import ScriptedEngine, says

BROKEN = ErrorInfo("EngineStopped", "It died.", "Load it again.")


@dataclass
class World:
    """A folder of models, a window that may have loaded one, and engines that load at once."""

    folder: Path
    primary: FakeEngineClient = field(default_factory=lambda: ScriptedEngine(says("from the window")))
    own: ModelEntry | None = None
    last_model: str | None = None
    total_bytes: int = 1000
    limits: PoolLimits = field(default_factory=PoolLimits)
    engines: list[ScriptedEngine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = Paths.below(self.folder)
        self.paths.ensure()
        self.library = Library(self.paths)

    def add(self, name: str, *, damaged: bool = False) -> ModelEntry:
        path = self.paths.models / f"{name}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_tiny_gguf(path, truncate_to=5000 if damaged else None)
        return next(entry for entry in self.library.entries() if entry.path == path)

    def window_has(self, entry: ModelEntry) -> None:
        self.own = entry
        self.primary.finish_loading(str(entry.path), entry.name)

    def weigh(self, entry: ModelEntry, config: EngineConfig) -> Weight:
        return Weight(100, (0, 0))

    def free_bytes(self) -> int:
        return self.total_bytes - 100 * sum(bool(engine.loads) and not engine.closed for engine in self.engines)

    def make_engine(self) -> ScriptedEngine:
        self.engines.append(ScriptedEngine(says("on demand")))
        return self.engines[-1]

    def run(self, scenario: Callable[[PoolEngines], Awaitable[None]]) -> None:
        async def main() -> None:
            primary = Primary(self.primary, lambda: self.own)
            if self.own is not None:
                self.window_has(self.own)
            pool = ModelPool(
                primary, self.make_engine, lambda entry: LoadSpec(str(entry.path)), self, lambda: self.limits
            )
            engines = PoolEngines(pool, self.library, lambda: self.last_model)
            try:
                await scenario(engines)
            finally:
                engines.close()
                await pool.close()
                primary.close()

        asyncio.run(main())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def name_of(engines: PoolEngines, wanted: str | None, keep_alive_s: float | None = None) -> str:
    async with engines.ready(wanted, keep_alive_s) as ready:
        assert ready.info is not None
        return ready.model.id


async def refused(engines: PoolEngines, wanted: str | None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await name_of(engines, wanted)
    return caught.value


# Names.


@pytest.mark.parametrize("wanted", ["tiny", None, "default"])
def test_a_model_answers_to_its_id_and_as_the_default(world: World, wanted: str | None) -> None:
    world.add("tiny")

    async def scenario(engines: PoolEngines) -> None:
        assert await name_of(engines, wanted) == "tiny"
        assert engines.find(wanted)[0].id == "tiny"

    world.run(scenario)


def test_a_model_answers_to_its_name(world: World) -> None:
    entry = world.add("Some-Model-Q4_0")

    async def scenario(engines: PoolEngines) -> None:
        assert await name_of(engines, "Some Model") == entry.id

    world.run(scenario)


def test_models_of_one_name_are_told_apart(world: World) -> None:
    world.add("x/Same-Q4_0")
    world.add("y/Same-Q4_0")

    async def scenario(engines: PoolEngines) -> None:
        names = [model.name for model, _ in engines.served()]
        assert names == ["Same (x/Same-Q4_0)", "Same (y/Same-Q4_0)"]
        assert await name_of(engines, names[1]) == "y/Same-Q4_0"
        error = await refused(engines, "Same")
        assert error.message == (
            "There are several models 'Same'. Ask for one of them by its id: 'x/Same-Q4_0', 'y/Same-Q4_0'."
        )

    world.run(scenario)


def test_a_model_from_elsewhere_goes_by_the_name_of_its_file(world: World, tmp_path: Path) -> None:
    world.add("tiny")
    elsewhere = make_tiny_gguf(tmp_path / "tiny.gguf")
    world.own = world.library.find(str(elsewhere))

    async def scenario(engines: PoolEngines) -> None:
        assert sorted(model.id for model, _ in engines.served()) == ["tiny", "tiny-2"]
        assert engines.find(None)[0].id == "tiny-2"
        async with engines.ready("tiny-2") as ready:
            assert ready.requests is not None
        assert world.engines == []

    world.run(scenario)


def test_a_file_with_two_names_is_listed_and_loaded_once(world: World, tmp_path: Path) -> None:
    entry = world.add("one")
    other_name = tmp_path / "elsewhere" / "one.gguf"
    other_name.parent.mkdir()
    other_name.symlink_to(entry.path)
    world.own = replace(entry, id=str(other_name), path=other_name)

    async def scenario(engines: PoolEngines) -> None:
        await engines.refresh()
        assert [model.id for model, _ in engines.served()] == [entry.id]
        assert await name_of(engines, entry.id)

    world.run(scenario)
    assert not world.engines


@pytest.mark.parametrize("by", ["path", "file", "traversal"])
def test_no_path_is_a_name(world: World, tmp_path: Path, by: str) -> None:
    entry = world.add("tiny")
    make_tiny_gguf(tmp_path / "secret.gguf")
    wanted = {"path": str(entry.path), "file": str(tmp_path / "secret.gguf"), "traversal": "../../secret"}[by]

    async def scenario(engines: PoolEngines) -> None:
        assert (await refused(engines, wanted)).status == 404
        with pytest.raises(ApiError):
            engines.give_back(wanted)

    world.run(scenario)
    assert world.engines == []


def test_an_unknown_name_is_told_with_what_there_is_and_not_at_length(world: World) -> None:
    for n in range(7):
        world.add(f"m{n}")

    async def scenario(engines: PoolEngines) -> None:
        error = await refused(engines, "x" * 100_000)
        assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
        assert len(error.message) < 300
        assert error.message.endswith("There are 'm0', 'm1', 'm2', 'm3', 'm4' and 2 more.")

    world.run(scenario)


def test_what_is_there_is_listed_with_what_its_file_says(world: World) -> None:
    entry = world.add("tiny")
    world.add("damaged", damaged=True)

    async def scenario(engines: PoolEngines) -> None:
        ((model, info),) = engines.served()
        assert (model.size_bytes, model.architecture, model.n_params) == (entry.size_bytes, "llama", entry.n_params)
        assert model.created_s == int(entry.path.stat().st_mtime)
        assert info is None

    world.run(scenario)


def test_a_damaged_file_is_refused_with_its_reason(world: World) -> None:
    world.add("damaged", damaged=True)

    async def scenario(engines: PoolEngines) -> None:
        error = await refused(engines, "damaged")
        assert (error.status, error.code) == (503, "model_not_loaded")

    world.run(scenario)


# What comes later.


def test_a_model_that_came_a_moment_ago_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("old")

    async def scenario(engines: PoolEngines) -> None:
        world.add("new")
        assert (await refused(engines, "new")).status == 404  # the disk was looked at just now
        monkeypatch.setattr("app.api.engines.FRESH_S", 0.0)
        assert await name_of(engines, "new") == "new"

    world.run(scenario)


def test_lists_are_fresh_after_a_refresh(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("old")
    monkeypatch.setattr("app.api.engines.FRESH_S", 0.0)

    async def scenario(engines: PoolEngines) -> None:
        new = world.add("new")
        await asyncio.gather(engines.refresh(), engines.refresh())
        assert [model.id for model, _ in engines.served()] == ["new", "old"]
        os.unlink(new.path)
        await engines.refresh()
        assert [model.id for model, _ in engines.served()] == ["old"]

    world.run(scenario)


# What is meant where no model is named.


def test_the_default_is_what_the_window_has(world: World) -> None:
    world.add("a")
    world.own = world.add("b")
    world.last_model = "a"

    async def scenario(engines: PoolEngines) -> None:
        assert await name_of(engines, None) == "b"
        assert world.engines == []

    world.run(scenario)


def test_without_one_it_is_the_last_that_was_used(world: World) -> None:
    world.add("a")
    world.add("b")
    world.last_model = "b"

    async def scenario(engines: PoolEngines) -> None:
        assert await name_of(engines, "default") == "b"
        engines.check()

    world.run(scenario)


def test_without_any_model_nothing_can_be_answered(world: World) -> None:
    async def scenario(engines: PoolEngines) -> None:
        error = await refused(engines, None)
        assert (error.status, error.code) == (503, "model_not_loaded")
        with pytest.raises(ApiError):
            engines.check()
        assert engines.served() == engines.loaded() == []

    world.run(scenario)


def test_health_is_that_of_the_window(world: World) -> None:
    entry = world.own = world.add("a")

    async def scenario(engines: PoolEngines) -> None:
        engines.check()
        for event, code in (
            (ModelLoading(str(entry.path), 0.5), "model_loading"),
            (EngineFailed(str(entry.path), BROKEN, restarting=True), "model_loading"),
            (EngineFailed(str(entry.path), BROKEN, restarting=False), "model_not_loaded"),
        ):
            world.primary.emit(event)
            with pytest.raises(ApiError) as caught:
                engines.check()
            assert (caught.value.status, caught.value.code) == (503, code)
        world.own = None
        world.primary.emit(ModelUnloaded(str(entry.path)))
        engines.check()  # it would be loaded for whoever asks

    world.run(scenario)


# Answers.


def test_each_model_answers_from_its_own_engine(world: World) -> None:
    world.own = world.add("a")
    world.add("b")

    async def scenario(engines: PoolEngines) -> None:
        for wanted, engine_of in (("a", lambda: world.primary), ("b", lambda: world.engines[0])):
            async with engines.ready(wanted) as ready:
                request = GenerationRequest(RequestId(f"to-{wanted}"), ())
                with ready.requests.opened(request, asyncio.get_running_loop().create_future()) as feed:
                    await feed.take()
            assert engine_of().submitted == [request]

    world.run(scenario)


def test_requests_of_a_model_share_one_subscription(world: World) -> None:
    world.add("a")

    async def scenario(engines: PoolEngines) -> None:
        async with engines.ready("a") as one, engines.ready("a") as other:
            assert one.requests is other.requests

    world.run(scenario)


def test_what_is_loaded_is_listed_with_when_it_goes(world: World) -> None:
    world.own = world.add("a")
    world.add("b")

    async def scenario(engines: PoolEngines) -> None:
        async with engines.ready("b", 100.0):
            assert [loaded.expires_at_s for loaded in engines.loaded()] == [None, None]
        a, b = engines.loaded()
        assert (a.model.id, a.expires_at_s) == ("a", None)
        assert (b.model.id, b.size_bytes) == ("b", 100)
        assert b.expires_at_s is not None
        assert b.info is not None
        engines.give_back("b")
        engines.give_back("a")
        assert [loaded.model.id for loaded in engines.loaded()] == ["a"]

    world.run(scenario)


def test_a_refusal_that_may_pass_says_when_to_come_again(world: World) -> None:
    world.add("a")
    world.add("b")
    world.total_bytes = 150

    async def scenario(engines: PoolEngines) -> None:
        async with engines.ready("a"):
            error = await refused(engines, "b")
        assert (error.status, error.code) == (503, "out_of_memory")
        assert "retry-after" in error.headers
        assert await name_of(engines, "b") == "b"

    world.run(scenario)


def test_a_server_that_ends_refuses_everything(world: World) -> None:
    world.add("a")

    async def scenario(engines: PoolEngines) -> None:
        engines.close()
        assert (await refused(engines, "a")).status == 503

    world.run(scenario)
