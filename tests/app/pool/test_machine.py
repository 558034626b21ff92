"""The pool as a state machine. What may never happen is checked by the world whenever an engine is asked something."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.events import ModelLoaded, ModelLoading, ModelUnloaded
from tests.app.pool.world import DAMAGED, NO_MEMORY, Client, PoolEngine, World, entry
from tests.doubles.engine import make_model_info

NAMES = st.sampled_from(["a", "b", "c", "d"])
KEEP_ALIVES = st.sampled_from([None, 0.0, 5.0, float("inf")])


class Pool(RuleBasedStateMachine):
    """Clients come, use, wait and leave; engines load, fail and die; memory comes and goes; the window changes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(total_bytes=40, n_models=3)
        self.world.needs = {"a": 10, "b": 15, "c": 25, "d": 60}

    @property
    def clients(self) -> list[Client]:
        return [client for client in self.world.clients if not client.task.done()]

    @property
    def loading(self) -> list[PoolEngine]:
        return [engine for engine in self.world.engines if engine.is_loading]

    @property
    def loaded(self) -> list[PoolEngine]:
        return [engine for engine in self.world.present if engine.is_loaded]

    @rule(name=NAMES, keep_alive_s=KEEP_ALIVES)
    def ask(self, name: str, keep_alive_s: float | None) -> None:
        self.world.ask(name, keep_alive_s)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), goes_away=st.booleans())
    def leave(self, data: st.DataObject, goes_away: bool) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.world.act(client.go_away if goes_away else client.finish)

    @precondition(lambda self: self.loading)
    @rule()
    def load(self) -> None:
        self.world.act(self.loading[0].succeed)

    @precondition(lambda self: self.loading)
    @rule(error=st.sampled_from([DAMAGED, NO_MEMORY]))
    def fail(self, error: object) -> None:
        engine = self.loading[0]
        self.world.act(lambda: engine.fail(NO_MEMORY if error is NO_MEMORY else DAMAGED))

    @precondition(lambda self: self.loaded)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        engine = data.draw(st.sampled_from(self.loaded))
        self.world.act(lambda: engine.die(restarting=False))

    @rule(seconds=st.sampled_from([1.0, 6.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(name=NAMES)
    def give_back(self, name: str) -> None:
        self.world.act(lambda: self.world.pool.give_back(entry(name)))

    @rule(total_bytes=st.sampled_from([20, 40, 80]))
    def change_memory(self, total_bytes: int) -> None:
        self.world.total_bytes = max(total_bytes, self.world.taken_bytes)

    @rule(name=NAMES, is_slow=st.booleans())
    def window_loads(self, name: str, is_slow: bool) -> None:
        path = str(entry(name).path)
        self.world.own(name)
        self.world.act(lambda: self.world.own_engine.emit(ModelLoading(path, 0.0)))
        if not is_slow:
            self.world.act(lambda: self.world.own_engine.emit(ModelLoaded(make_model_info(path))))

    @precondition(lambda self: self.world.own_model is not None)
    @rule()
    def window_unloads(self) -> None:
        assert self.world.own_model is not None
        path = str(self.world.own_model.path)
        self.world.own(None)
        self.world.act(lambda: self.world.own_engine.emit(ModelUnloaded(path)))

    @invariant()
    def nobody_is_left_with_a_model_that_is_gone(self) -> None:
        for client in self.clients:
            if client.is_using and client.lease.engine is not self.world.own_engine:
                assert client.lease.engine in self.world.present

    @invariant()
    def nothing_is_loaded_for_nobody(self) -> None:
        for engine in self.loading:
            assert any(client.is_waiting and str(client.entry.path) == engine.path for client in self.clients)

    @invariant()
    def whoever_waits_waits_for_something(self) -> None:
        state = self.world.primary.state
        is_window_loading = state is not None and state.is_loading
        if any(client.is_waiting for client in self.clients):
            assert self.loading or is_window_loading

    def teardown(self) -> None:
        self.world.close()


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
