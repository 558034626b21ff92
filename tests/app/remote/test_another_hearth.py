"""Hearth's own API as the server, on a socket of this machine."""

from __future__ import annotations

from engine.config import LoadSpec
from engine.events import LoadFailed, ModelLoaded, RequestFailed, RequestFinished, TokensEmitted
from engine.types import ChatMessage, FinishReason, GenerationRequest, RequestId, Role
from tests.app.remote.conftest import Remote
from tests.doubles.http_api import KEY
from tests.doubles.loopback import on_loopback
from tests.doubles.scripted_engine import ScriptedEngine, fails, says, starts_with

ID = RequestId("message-1")
REQUEST = GenerationRequest(ID, (ChatMessage(Role.USER, "Hello"),))


def test_an_answer_comes_through_whole(remote: Remote) -> None:
    with on_loopback(ScriptedEngine(says("The sky is blue."))) as address:
        remote.client.load(LoadSpec(remote.add(f"{address}/v1", "tiny", KEY)))
        info = remote.events.wait(ModelLoaded).info
        remote.client.submit(REQUEST)
        finished = remote.events.wait(RequestFinished)

    assert info.n_ctx == 4096
    assert remote.events.text(ID) == "The sky is blue."
    assert (finished.usage.n_prompt, finished.usage.n_cached, finished.usage.n_output) == (20, 4, 4)


def test_a_wrong_key_is_told_as_such(remote: Remote) -> None:
    with on_loopback(ScriptedEngine()) as address:
        remote.client.load(LoadSpec(remote.add(f"{address}/v1", "tiny", "wrong")))

        assert remote.events.wait(LoadFailed).error.text == "Cluster does not accept the key."


def test_stopping_here_stops_there(remote: Remote) -> None:
    engine = ScriptedEngine(starts_with("On and"))
    engine.on_cancel = lambda request_id: engine.finish(request_id, 1, FinishReason.CANCELLED)
    with on_loopback(engine) as address:
        remote.client.load(LoadSpec(remote.add(f"{address}/v1", "tiny", KEY)))
        remote.client.submit(REQUEST)
        remote.events.wait(TokensEmitted)
        remote.client.cancel(ID)

        assert remote.events.wait(RequestFinished).reason is FinishReason.CANCELLED
    assert len(engine.cancelled) == 1


def test_its_failures_are_ours(remote: Remote) -> None:
    with on_loopback(ScriptedEngine(fails("The engine stopped."))) as address:
        remote.client.load(LoadSpec(remote.add(f"{address}/v1", "tiny", KEY)))
        remote.client.submit(REQUEST)

        assert "It says: The engine stopped." in remote.events.wait(RequestFailed).error.text
