"""A local API that does what a test says, at once and on the caller's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.api.service import ApiPhase, ApiState
from app.api.traffic import Bodies, LivePhase, LiveRequest, LoggedRequest, Surface, TrafficSnapshot
from app.settings import SettingsStore
from engine.errors import StorageError

URL = "http://127.0.0.1:8080"
LAN_URL = "http://192.168.1.23:8080"
STARTED_S = 1_770_000_000.0


class FakeApiService:
    """As ``app.api.service.ApiService``. ``problem`` is raised by whoever asks for the key."""

    def __init__(self, settings: SettingsStore) -> None:
        self._settings = settings
        self._callbacks: list[Callable[[ApiState], None]] = []
        self.state = ApiState()
        self.keys = ["hearth-" + "a" * 43]
        self.problem: StorageError | None = None
        self.snapshot = TrafficSnapshot()
        self.cancelled: list[int] = []
        self.n_asked = 0
        self.closed = False

    def start(self) -> None:
        lan_url = LAN_URL if self._settings.current.api_on_network else None
        requires_key = self._settings.current.api_requires_key or lan_url is not None
        self.become(ApiState(ApiPhase.ON, URL, lan_url, requires_key))

    def stop(self) -> None:
        self.become(ApiState())

    def become(self, state: ApiState) -> None:
        self.state = state
        for callback in list(self._callbacks):
            callback(state)

    def subscribe(self, callback: Callable[[ApiState], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def key(self) -> str:
        if self.problem is not None:
            raise self.problem
        return self.keys[-1]

    def renew_key(self) -> str:
        self.keys.append("hearth-" + "b" * 43)
        return self.key()

    def traffic(self) -> TrafficSnapshot:
        self.n_asked += 1
        return self.snapshot

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)
        live = tuple(request for request in self.snapshot.live if request.id != request_id)
        self.snapshot = replace(self.snapshot, live=live)

    def keep_bodies(self, keeps: bool) -> None:
        self.snapshot = replace(self.snapshot, keeps_bodies=keeps)

    def close(self) -> None:
        self.closed = True


def live(request_id: int, **changes: object) -> LiveRequest:
    request = LiveRequest(
        id=request_id,
        started_s=STARTED_S + request_id,
        elapsed_s=12.3,
        surface=Surface.OPENAI,
        method="POST",
        endpoint="/v1/chat/completions",
        model="tiny",
        client="127.0.0.1",
        agent="OpenAI/Python 3.54",
        n_prompt=1204,
        n_cached=1024,
        n_output=88,
        tokens_per_s=42.0,
        phase=LivePhase.DECODING,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def logged(request_id: int, **changes: object) -> LoggedRequest:
    request = LoggedRequest(
        id=request_id,
        started_s=STARTED_S + request_id,
        duration_s=3.4,
        surface=Surface.OPENAI,
        method="POST",
        endpoint="/v1/chat/completions",
        model="tiny",
        client="127.0.0.1",
        agent="OpenAI/Python 3.54",
        n_prompt=1204,
        n_cached=1024,
        n_output=88,
        first_token_s=0.12,
        tokens_per_s=42.0,
        status=200,
        error=None,
        bodies=None,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


BODIES = Bodies('{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}', "Hello to you too.")
