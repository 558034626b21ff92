from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from app.pool import PoolLimits
from app.pool.pool import BROKEN_S
from engine.events import EngineFailed, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded
from tests.app.pool.world import DAMAGED, DIED, NO_MEMORY, World, entry
from tests.doubles.engine import make_model_info


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def owns(world: World, name: str) -> None:
    """The window has loaded a model."""
    world.own(name)
    path = str(entry(name).path)
    world.act(lambda: world.own_engine.emit(ModelLoading(path, 0.0)))
    world.act(lambda: world.own_engine.emit(ModelLoaded(make_model_info(path))))


# Loading.


def test_a_model_is_loaded_for_whoever_asks(world: World) -> None:
    client = world.use("a")
    assert client.lease.engine is world.engine("a")
    assert client.lease.info.path == str(entry("a").path)


def test_all_who_ask_while_it_loads_wait_for_one_load(world: World) -> None:
    clients = [world.ask("a") for _ in range(5)]
    assert len(world.engines) == 1
    world.act(world.engine("a").succeed)
    assert all(client.lease.engine is world.engines[0] for client in clients)


def test_a_loaded_model_is_shared(world: World) -> None:
    first, second = world.use("a"), world.ask("a")
    assert second.lease.engine is first.lease.engine


def test_models_are_loaded_one_at_a_time(world: World) -> None:
    a, b = world.ask("a"), world.ask("b")
    assert [engine.path for engine in world.engines] == [str(entry("a").path)]
    world.act(world.engine("a").succeed)
    world.act(world.engine("b").succeed)
    assert a.is_using
    assert b.is_using


def test_a_load_that_nobody_waits_for_is_stopped(world: World) -> None:
    clients = [world.ask("a"), world.ask("a")]
    world.act(clients[0].go_away)
    assert not world.engines[0].closed
    world.act(clients[1].go_away)
    assert (world.engines[0].unloads, world.engines[0].closed) == (1, True)
    assert world.held() == []


def test_one_who_waits_for_its_turn_and_leaves_is_forgotten(world: World) -> None:
    world.ask("a")
    waiting = world.ask("b")
    world.act(waiting.go_away)
    world.act(world.engine("a").succeed)
    assert world.held() == ["a"]
    assert len(world.engines) == 1


def test_a_model_that_is_asked_for_again_while_its_load_is_stopped_is_loaded_anew(world: World) -> None:
    world.act(world.ask("a").go_away)
    assert world.use("a").lease.engine is world.engines[1]


def test_a_load_that_fails_is_told_to_all_who_wait(world: World) -> None:
    clients = [world.ask("a"), world.ask("a")]
    world.act(world.engines[0].fail)
    assert [client.error.error for client in clients] == [DAMAGED, DAMAGED]
    assert world.engines[0].closed


def test_a_file_that_cannot_be_read_is_told(world: World) -> None:
    world.unreadable.add("a")
    assert world.ask("a").error.error.text == "It cannot be read."
    assert world.engines == []


def test_what_did_not_load_is_not_tried_again_for_a_few_seconds(world: World) -> None:
    world.ask("a")
    world.act(world.engines[0].fail)
    assert world.ask("a").error.error == DAMAGED
    assert len(world.engines) == 1
    world.wait(BROKEN_S)
    world.use("a")


def test_another_file_in_its_place_is_tried_at_once(world: World) -> None:
    world.ask("a")
    world.act(world.engines[0].fail)
    world.versions["a"] = 1
    world.use("a")


def test_one_that_fails_does_not_hold_the_next(world: World) -> None:
    world.ask("a")
    b = world.ask("b")
    world.act(world.engine("a").fail)
    world.act(world.engine("b").succeed)
    assert b.is_using


# Giving back.


def test_an_idle_model_is_given_back_after_the_usual_time(world: World) -> None:
    world.act(world.use("a").finish)
    world.wait(59)
    assert world.held() == ["a"]
    world.wait(1)
    assert world.held() == []
    assert world.engines[0].closed


def test_a_model_in_use_stays_however_long_it_takes(world: World) -> None:
    client = world.use("a")
    world.wait(10_000)
    assert client.is_using
    assert not world.engines[0].closed


def test_each_use_starts_the_time_again(world: World) -> None:
    world.act(world.use("a").finish)
    world.wait(59)
    world.act(world.use("a").finish)
    world.wait(59)
    assert world.held() == ["a"]


@pytest.mark.parametrize(
    ("keep_alive_s", "stays"), [(0.0, 0.0), (-1.0, 0.0), (5.0, 4.9), (1e300, 1e9), (math.inf, 1e9)]
)
def test_a_client_may_say_how_long_it_stays(world: World, keep_alive_s: float, stays: float) -> None:
    world.act(world.use("a", keep_alive_s).finish)
    world.wait(stays)
    assert world.held() == (["a"] if stays else [])


def test_the_latest_decides_how_long(world: World) -> None:
    first, second = world.use("a", math.inf), world.use("a", 5.0)
    world.act(second.finish)
    world.act(first.finish)
    assert [held.expires_in_s for held in world.pool.held()] == [5.0]
    world.wait(5)
    assert world.held() == []


def test_it_can_be_given_back_early(world: World) -> None:
    world.act(world.use("a", math.inf).finish)
    world.act(lambda: world.pool.give_back(entry("a")))
    assert world.held() == []


def test_what_is_in_use_is_given_back_when_it_is_done(world: World) -> None:
    client = world.use("a")
    world.act(lambda: world.pool.give_back(entry("a")))
    assert world.held() == ["a"]
    world.act(client.finish)
    assert world.held() == []


def test_what_was_kept_for_an_engine_ends_with_it(world: World) -> None:
    client, ended = world.use("a"), []
    client.lease.at_end.callback(ended.append, "a")
    world.act(client.finish)
    assert ended == []
    world.wait(60)
    assert ended == ["a"]


# Room.


def test_the_one_used_longest_ago_makes_room(world: World) -> None:
    for name in ("a", "b", "a"):
        world.act(world.use(name).finish)
    world.use("c")
    assert world.held() == ["c", "a"]


def test_only_as_many_as_are_needed_make_room() -> None:
    world = World(total_bytes=40, n_models=4)
    for name in ("a", "b", "c"):
        world.act(world.use(name).finish)
    world.needs["d"] = 25
    world.use("d")
    assert world.held() == ["d", "c"]
    world.close()


def test_nothing_is_given_back_in_vain() -> None:
    world = World(total_bytes=40, n_models=4)
    world.act(world.use("a").finish)
    world.needs["b"] = 50
    error = world.ask("b").error
    assert (error.error.kind, error.may_pass) == ("OutOfMemory", True)
    assert world.held() == ["a"]
    world.close()


def test_what_is_missing_and_what_is_there_is_told(world: World) -> None:
    owns(world, "own")
    world.use("a")
    world.needs["b"] = 2 * 10**9
    error = world.ask("b").error
    assert error.error.text == (
        "There is not enough free memory to load b: it needs about 2.0 GB, and 2.0 GB of that are missing. "
        "Loaded now: own (Hearth's own), a (in use)."
    )
    assert error.may_pass


def test_what_never_fits_is_not_asked_for_again(world: World) -> None:
    world.needs["b"] = 101
    error = world.ask("b").error
    assert error.error.text.endswith("No other model is loaded.")
    assert not error.may_pass


def test_models_in_use_never_make_room(world: World) -> None:
    world.use("a")
    world.use("b")
    error = world.ask("c").error
    assert (error.error.kind, error.may_pass) == ("EngineBusy", True)
    assert "a (in use), b (in use)" in error.error.text


def test_none_are_loaded_where_none_are_wanted(world: World) -> None:
    world.limits = PoolLimits(n_models=0)
    assert world.ask("a").error.error.kind == "NoModel"


def test_an_engine_that_runs_out_of_memory_gets_more_room() -> None:
    world = World(n_models=3)
    world.act(world.use("a").finish)
    client = world.ask("b")
    world.act(lambda: world.engine("b").fail(NO_MEMORY))
    assert client.is_waiting
    assert world.engines[0].closed
    world.act(world.engine("b").succeed)
    assert client.is_using
    world.close()


def test_an_engine_that_runs_out_of_memory_alone_has_failed(world: World) -> None:
    client = world.ask("b")
    world.act(lambda: world.engine("b").fail(NO_MEMORY))
    assert client.error.error == NO_MEMORY


# Engines that die.


def test_an_engine_that_is_started_again_is_waited_for(world: World) -> None:
    world.use("a")
    world.act(lambda: world.engine("a").die(restarting=True))
    late = world.ask("a")
    assert late.is_waiting
    world.act(world.engine("a").succeed)
    assert late.lease.engine is world.engines[0]


def test_an_engine_that_is_gone_for_good_is_replaced_later(world: World) -> None:
    client = world.use("a")
    engine = world.engine("a")
    world.act(lambda: engine.die(restarting=False))
    assert world.ask("a").error.error == DIED
    assert not engine.closed  # it still tells its client what happened
    world.act(client.finish)
    assert engine.closed
    world.wait(BROKEN_S)
    world.use("a")


# The window's own model.


def test_the_windows_model_is_shared_and_stays(world: World) -> None:
    owns(world, "a")
    client = world.ask("a", 0.0)
    assert client.lease.engine is world.own_engine
    world.act(client.finish)
    world.act(lambda: world.pool.give_back(entry("a")))
    world.wait(1e6)
    assert world.own_engine.unloads == 0
    assert world.engines == []


def test_it_is_known_also_to_a_pool_that_comes_later(world: World) -> None:
    owns(world, "a")

    async def made_later() -> None:
        later = await world._make_pool()
        async with later.lease(entry("a")) as lease:
            assert lease.engine is world.own_engine
        await later.close()

    world.loop.do(made_later())


def test_it_is_waited_for_while_the_window_loads_it(world: World) -> None:
    world.own("a")
    client = world.ask("a")
    assert client.is_waiting
    owns(world, "a")
    assert client.lease.engine is world.own_engine


def test_where_the_window_failed_the_client_is_told_why(world: World) -> None:
    world.own("a")
    client = world.ask("a")
    world.act(lambda: world.own_engine.emit(LoadFailed(str(entry("a").path), DAMAGED)))
    assert client.error.error == DAMAGED
    world.act(lambda: world.own_engine.emit(EngineFailed(str(entry("a").path), DIED, restarting=False)))
    assert world.ask("a").error.error == DIED


def test_where_the_window_turns_to_another_model_the_client_gets_its_own(world: World) -> None:
    world.own("a")
    client = world.ask("a")
    owns(world, "b")
    world.act(world.engine("a").succeed)
    assert client.lease.engine is world.engine("a")


def test_what_the_window_unloads_is_loaded_for_clients(world: World) -> None:
    owns(world, "a")
    world.own(None)
    world.act(lambda: world.own_engine.emit(ModelUnloaded(str(entry("a").path))))
    assert world.use("a").lease.engine is not world.own_engine


def test_what_the_window_loads_is_not_kept_twice(world: World) -> None:
    world.act(world.use("a").finish)
    used = world.use("b")
    owns(world, "a")
    assert world.held() == ["a", "b"]
    owns(world, "b")
    world.act(used.finish)
    assert world.present == []


def test_memory_is_measured_when_the_window_is_done_loading(world: World) -> None:
    world.own("a")
    client = world.ask("b")
    assert world.engines == []
    owns(world, "a")
    world.act(world.engine("b").succeed)
    assert client.is_using


def test_idle_models_make_room_for_the_windows() -> None:
    world = World(total_bytes=20)
    world.act(world.use("a").finish)
    world.use("b")
    owns(world, "c")
    assert world.held() == ["c", "b"]
    world.close()


# The end.


def test_at_the_end_whoever_waits_is_told(world: World) -> None:
    client = world.ask("a")
    world.act(world.pool.stop)
    assert client.error.error.kind == "EngineBusy"
    assert world.ask("b").error.error.kind == "EngineBusy"


def test_at_the_end_whoever_waits_for_the_window_is_told(world: World) -> None:
    world.own("a")
    client = world.ask("a")
    world.act(world.pool.stop)
    assert client.error.error.kind == "EngineBusy"


def test_too_many_are_asked_to_come_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pool.pool.MAX_LEASES", 1)
    client = world.ask("a")
    error = world.ask("a").error
    assert (error.error.kind, error.may_pass) == ("EngineBusy", True)
    world.act(client.go_away)
    world.use("a")
