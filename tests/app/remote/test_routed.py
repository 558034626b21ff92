"""One engine in front of two."""

from __future__ import annotations

import pytest

from app.remote.routed import RoutedClient
from engine.config import LoadSpec
from engine.errors import ErrorInfo, NoModel
from engine.events import Event, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded, RequestFailed
from engine.types import ChatMessage, GenerationRequest, RequestId, Role
from tests.doubles.engine import FakeEngineClient

LOCAL, REMOTE = "/models/tiny.gguf", "remote:abc:big"
REQUEST = GenerationRequest(RequestId("1"), (ChatMessage(Role.USER, "Hello"),))


class Both:
    def __init__(self) -> None:
        self.local, self.remote = FakeEngineClient(), FakeEngineClient()
        self.engine = RoutedClient(self.local, self.remote)
        self.told: list[Event] = []
        self.engine.subscribe(self.told.append)


@pytest.fixture
def both() -> Both:
    return Both()


def test_a_model_goes_to_its_side_and_the_other_gives_its_memory_back(both: Both) -> None:
    both.engine.load(LoadSpec(LOCAL))
    both.engine.load(LoadSpec(REMOTE))
    both.engine.submit(REQUEST)

    assert ([spec.path for spec in both.local.loads], both.local.unloads) == ([LOCAL], 1)
    assert [spec.path for spec in both.remote.loads] == [REMOTE]
    assert both.remote.submitted == [REQUEST]
    assert both.engine.is_remote


def test_the_end_of_the_former_model_is_not_taken_for_the_new_one(both: Both) -> None:
    both.engine.load(LoadSpec(LOCAL))
    both.engine.load(LoadSpec(REMOTE))
    both.remote.emit(ModelLoading(REMOTE, 0.0))
    both.local.emit(ModelLoading(LOCAL, 0.5))
    both.local.emit(LoadFailed(LOCAL, ErrorInfo("X", "late")))
    both.local.emit(ModelUnloaded(LOCAL))

    assert both.told == [ModelLoading(REMOTE, 0.0)]


def test_there_and_back_again_tells_nothing_of_the_way(both: Both) -> None:
    for path in (LOCAL, REMOTE, LOCAL):
        both.engine.load(LoadSpec(path))
    both.local.emit(ModelUnloaded(LOCAL))
    both.local.emit(ModelLoading(LOCAL, 0.0))
    both.remote.emit(ModelUnloaded(REMOTE))

    assert both.told == [ModelLoading(LOCAL, 0.0)]


def test_what_was_under_way_fails_with_the_usual_sentence(both: Both) -> None:
    both.engine.load(LoadSpec(LOCAL))
    both.engine.load(LoadSpec(REMOTE))
    both.local.emit(RequestFailed(RequestId("1"), ErrorInfo.of(NoModel())))

    (failed,) = both.told
    assert isinstance(failed, RequestFailed)
    assert failed.error.text == "The model was replaced by another one."


def test_unloading_by_the_user_is_told(both: Both) -> None:
    both.engine.load(LoadSpec(REMOTE))
    both.remote.finish_loading(REMOTE)
    both.engine.unload()
    both.remote.emit(ModelUnloaded(REMOTE))

    assert [type(event) for event in both.told] == [ModelLoaded, ModelUnloaded]
    assert both.remote.unloads == 1


def test_what_is_to_be_remembered_is_the_workers(both: Both) -> None:
    both.engine.load(LoadSpec(REMOTE))
    both.engine.pin("7", True)
    both.engine.drop("8")
    both.engine.set_cache_budgets(1, 2)
    both.engine.cancel(RequestId("1"))
    both.engine.close()

    assert (both.local.pins, both.local.drops, both.local.budgets) == ([("7", True)], ["8"], [(1, 2)])
    assert both.local.cancelled == both.remote.cancelled == ["1"]
    assert both.local.closed
    assert both.remote.closed
