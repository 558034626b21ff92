"""The switch: on, off, another port, another key, and clients that do as they like meanwhile. On real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from app.api import server
from app.api.service import ApiPhase, ApiService, ApiState
from app.api.traffic import LivePhase
from app.settings import SettingsStore
from engine.events import RequestStarted, TokensEmitted
from engine.types import GenerationRequest
from tests.doubles.engine import FakeEngineClient
from tests.doubles.http_api import CHAT, HELLO
from tests.doubles.scripted_engine import ScriptedEngine, says
from tests.doubles.served import serving

STREAM = {**HELLO, "stream": True}
WAIT_S = 20.0


class Asked(FakeEngineClient):
    """Says the first two tokens of every answer, and no more by itself."""

    def submit(self, request: GenerationRequest) -> None:
        super().submit(request)
        self.emit(RequestStarted(request.id, n_prompt=20, n_cached=4))
        self.emit(TokensEmitted(request.id, "Good", 1))
        self.emit(TokensEmitted(request.id, " day", 2))


class Switch:
    """An ApiService and what its subscribers hear."""

    def __init__(self, folder: Path, engine: FakeEngineClient) -> None:
        self.engine = engine
        self.settings = SettingsStore(folder / "settings.json")
        self.settings.update(api_port=0)
        self.service = ApiService(self.settings, folder / "api-key", serving(engine))
        self.heard: list[ApiState] = []
        self._changed = threading.Condition()
        self.service.subscribe(self._hear)

    def _hear(self, state: ApiState) -> None:
        with self._changed:
            self.heard.append(state)
            self._changed.notify_all()

    def until(self, phase: ApiPhase) -> ApiState:
        with self._changed:
            assert self._changed.wait_for(lambda: self.service.state.phase is phase, WAIT_S), self.service.state
        return self.service.state

    def turn_on(self) -> str:
        self.service.start()
        url = self.until(ApiPhase.ON).url
        assert url is not None
        return url

    def turn_off(self) -> None:
        self.service.stop()
        self.until(ApiPhase.OFF)

    def client(self, **headers: str) -> httpx.Client:
        url = self.service.state.url or self.turn_on()
        key = {"authorization": f"Bearer {self.service.key()}"}
        return httpx.Client(base_url=url, headers={**key, **headers}, timeout=WAIT_S, trust_env=False)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Switch]]:
    made: list[Switch] = []

    def make_switch(engine: FakeEngineClient | None = None) -> Switch:
        made.append(Switch(tmp_path, engine or ScriptedEngine(*[says("Good day")] * 100)))
        return made[-1]

    yield make_switch
    for switch in made:
        switch.service.close()


def test_it_is_turned_on_and_off_and_tells(make: Callable[..., Switch]) -> None:
    switch = make()
    url = switch.turn_on()
    with switch.client() as client:
        assert client.post(CHAT, json=HELLO).status_code == 200
    assert switch.settings.current.api_enabled
    switch.turn_off()
    assert not switch.settings.current.api_enabled
    assert [state.phase for state in switch.heard] == ["starting", "on", "stopping", "off"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", trust_env=False)


def test_twenty_times_on_and_off_leave_no_thread_and_no_socket(make: Callable[..., Switch]) -> None:
    switch = make()
    threads, sockets = threading.active_count(), len(psutil.Process().net_connections())
    for _ in range(20):
        switch.turn_on()
        switch.turn_off()
    switch.service.close()
    assert threading.active_count() == threads
    assert len(psutil.Process().net_connections()) == sockets


def test_on_and_off_at_once_ends_off_and_off_and_on_ends_on(make: Callable[..., Switch]) -> None:
    switch = make()
    switch.service.start()
    switch.service.stop()
    switch.until(ApiPhase.OFF)
    switch.turn_on()
    switch.service.stop()
    switch.service.start()
    switch.until(ApiPhase.ON)


def test_closing_leaves_the_setting_as_it_is(make: Callable[..., Switch]) -> None:
    switch = make()
    switch.turn_on()
    switch.service.close()
    assert switch.service.state.phase is ApiPhase.OFF
    assert switch.settings.current.api_enabled
    switch.service.start()
    assert switch.service.state.phase is ApiPhase.OFF


def test_a_port_in_use_is_told_and_another_one_helps(make: Callable[..., Switch]) -> None:
    switch = make()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        switch.settings.update(api_port=taken.getsockname()[1])
        switch.service.start()
        error = switch.until(ApiPhase.FAILED).error
        assert error is not None
        assert "in use" in error.text
        assert error.hint
        switch.settings.update(api_port=0)
        switch.until(ApiPhase.ON)


def test_only_this_machine_can_connect_unless_the_network_is_allowed(make: Callable[..., Switch]) -> None:
    switch = make()
    switch.settings.update(api_requires_key=False)
    switch.turn_on()
    assert listening() == {"127.0.0.1"}
    with switch.client(authorization="") as client:
        assert client.get("/v1/models").status_code == 200
    former = switch.service.state.url
    switch.settings.update(api_on_network=True)
    with switch._changed:
        assert switch._changed.wait_for(lambda: switch.service.state.url not in (None, former), WAIT_S)
    assert listening() == {"0.0.0.0"}
    assert switch.service.state.requires_key
    with switch.client(authorization="") as client:
        assert client.get("/v1/models").status_code == 401


def listening() -> set[str]:
    found = psutil.Process().net_connections("tcp")
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


def test_a_renewed_key_counts_at_once_also_on_an_open_connection(make: Callable[..., Switch]) -> None:
    switch = make()
    with switch.client() as client:
        assert client.get("/v1/models").status_code == 200
        key = switch.service.renew_key()
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert switch.service.key() == key


def test_a_renewed_key_ends_what_the_old_one_had_opened(make: Callable[..., Switch]) -> None:
    engine = Asked()
    switch = make(engine)
    with switch.client() as client, client.stream("POST", CHAT, json=STREAM) as answer:
        lines = answer.iter_lines()
        next(lines)
        switch.service.renew_key()
        assert any("stopped" in line for line in lines)
    assert engine.cancelled == [request.id for request in engine.submitted]


def test_whether_a_key_is_needed_and_which_pages_may_call_is_changed_while_it_runs(make: Callable[..., Switch]) -> None:
    switch = make()
    page = {"origin": "http://localhost:3000", "authorization": ""}
    with switch.client() as client:
        assert client.get("/v1/models", headers=page).status_code == 403
        switch.settings.update(api_origins=("http://localhost:3000",))
        assert client.get("/v1/models", headers=page).status_code == 401
        switch.settings.update(api_requires_key=False)
        assert client.get("/v1/models", headers=page).status_code == 200
        assert not switch.service.state.requires_key
    assert [state.phase for state in switch.heard].count(ApiPhase.ON) == 2  # the second tells of the key alone


def test_turning_it_off_ends_streams_with_an_error(make: Callable[..., Switch]) -> None:
    engine = Asked()
    switch = make(engine)
    with switch.client() as client, client.stream("POST", CHAT, json=STREAM) as answer:
        lines = answer.iter_lines()
        next(lines)
        switch.service.stop()
        assert any('"error"' in line for line in lines)
    switch.until(ApiPhase.OFF)
    assert engine.cancelled == [request.id for request in engine.submitted]


def test_a_client_that_never_reads_does_not_keep_it_on(make: Callable[..., Switch]) -> None:
    engine = Asked()
    switch = make(engine)
    with switch.client() as client, client.stream("POST", CHAT, json=STREAM):
        (request_id,) = [request.id for request in engine.submitted]
        for n in range(500):
            engine.emit(TokensEmitted(request_id, "x" * 20_000, n + 3))
        switch.turn_off()
    assert engine.cancelled == [request.id for request in engine.submitted]


def test_a_live_request_is_shown_and_can_be_stopped(make: Callable[..., Switch]) -> None:
    engine = Asked()
    switch = make(engine)
    with switch.client(**{"user-agent": "editor/1"}) as client, client.stream("POST", CHAT, json=STREAM) as answer:
        lines = answer.iter_lines()
        while " day" not in next(lines):
            pass
        (live,) = switch.service.traffic().live
        assert (live.endpoint, live.model, live.agent, live.client) == (CHAT, "tiny", "editor/1", "127.0.0.1")
        assert (live.n_prompt, live.n_cached, live.n_output, live.phase) == (20, 4, 2, LivePhase.DECODING)
        switch.service.cancel(live.id)
        assert any("stopped in Hearth" in line for line in lines)
    switch.turn_off()
    snapshot = switch.service.traffic()
    assert snapshot.live == ()
    assert snapshot.recent[0].error == "The request was stopped in Hearth."
    assert (snapshot.n_requests, snapshot.n_errors) == (1, 1)
    switch.service.cancel(live.id)


def test_two_hundred_connections_that_say_nothing_hold_nobody_up(make: Callable[..., Switch]) -> None:
    switch = make()
    with switch.client() as client:
        address = (client.base_url.host, client.base_url.port or 0)
        idle = [socket.create_connection(address) for _ in range(200)]
        try:
            assert client.get("/health").status_code == 200
            assert client.post(CHAT, json=HELLO).status_code == 200
        finally:
            for connection in idle:
                connection.close()


@pytest.mark.parametrize(
    "sent", [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000, b"\x16\x03\x01\r\n\r\n"]
)
def test_what_is_no_request_is_refused(make: Callable[..., Switch], sent: bytes) -> None:
    switch = make()
    with switch.client() as client, socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
        raw.settimeout(WAIT_S)
        raw.sendall(sent)
        assert raw.recv(20).startswith(b"HTTP/1.1 4")
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: 127"])
def test_headers_that_do_not_come_are_not_waited_for(
    make: Callable[..., Switch], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEADERS_TIMEOUT_S", 0)
    switch = make()
    with switch.client() as client, socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
        raw.settimeout(WAIT_S)
        raw.sendall(sent)
        with suppress(ConnectionResetError):
            assert raw.recv(20) == b""


def test_too_many_connections_are_closed(make: Callable[..., Switch], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "max_connections", lambda: 1)
    switch = make()
    with switch.client() as client:
        assert client.get("/health").status_code == 200
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.settimeout(WAIT_S)
            with suppress(ConnectionResetError):
                assert raw.recv(20) == b""
        assert client.get("/health").status_code == 200


def test_while_it_is_off_nothing_of_a_server_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from app.bootstrap import build_services; from app.paths import Paths; from pathlib import Path;"
        "build_services(Paths.below(Path(sys.argv[1]))).close();"
        "sys.exit(bool({'starlette', 'uvicorn', 'h11', 'prometheus_client'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-P", "-c", program, str(tmp_path)], env=environment, check=True, timeout=60)
