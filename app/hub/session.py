"""The session that ``huggingface_hub`` asks by: with limits, without retries of its own, with errors as sentences."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx2
from huggingface_hub import constants, set_client_factory

from app.hub.errors import HubError, HubProblem, bad_answer, from_answer, from_transport
from app.hub.wire import CONNECT_S, USER_AGENT, tls
from app.remote.address import is_loopback

READ_S = 15.0
MAX_ANSWER_BYTES = 32 << 20
_lock = threading.Lock()
_is_installed = False


def install() -> None:
    """Have ``huggingface_hub`` use it from now on; it keeps one for the process."""
    global _is_installed
    with _lock:
        if not _is_installed:
            set_client_factory(_Session)
            _is_installed = True


class _Session(httpx2.Client):
    """Thread: any."""

    def __init__(self) -> None:
        super().__init__(follow_redirects=True, verify=tls())
        self._near = httpx2.Client(follow_redirects=True, trust_env=False)

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Raises HubError for what is no answer, and for an answer that is none of success."""
        url = str(request.url)
        if constants.is_offline_mode():
            text = "Hearth is told to stay offline: HF_HUB_OFFLINE is set."
            raise HubError(HubProblem.OFFLINE, text, "Unset it, and start Hearth again.")
        request.headers["user-agent"] = USER_AGENT
        request.headers["accept-encoding"] = "identity"
        request.extensions["timeout"] = httpx2.Timeout(READ_S, connect=CONNECT_S).as_dict()
        ask = self._near.send if is_loopback(url) else super().send
        try:
            response = ask(request, **{**options, "stream": True})
            _check(response, request)
            response.stream = _Limited(response.stream, url)
            response.read()
        except (httpx2.TransportError, httpx2.TooManyRedirects, httpx2.DecodingError, OSError) as error:
            raise from_transport(error, url) from error
        finally:
            if "response" in locals():
                response.close()
        return response

    def close(self) -> None:
        self._near.close()
        super().close()


class _Limited(httpx2.SyncByteStream):
    """A body that is refused when it is too long."""

    def __init__(self, stream: Any, url: str) -> None:
        self._stream = stream
        self._url = url

    def __iter__(self) -> Iterator[bytes]:
        n_bytes = 0
        for piece in self._stream:
            n_bytes += len(piece)
            if n_bytes > MAX_ANSWER_BYTES:
                raise bad_answer(self._url, f"Its answer is longer than {MAX_ANSWER_BYTES:,} bytes.")
            yield piece

    def close(self) -> None:
        self._stream.close()


def _check(response: httpx2.Response, request: httpx2.Request) -> None:
    """Raises HubError."""
    url = str(response.request.url)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise bad_answer(url, "It compresses its answer, which it was asked not to do.")
    if response.status_code >= httpx2.codes.BAD_REQUEST:
        what = request.extensions.get("what") or _what(request.url.path)
        has_token = "authorization" in request.headers
        raise from_answer(response.status_code, response.headers, url, what, has_token=has_token)


def _what(path: str) -> str:
    """The repository that a path of the API is about."""
    _, found, rest = path.partition("/api/models/")
    parts = rest.split("/") if found else path.strip("/").split("/")
    return "/".join(parts[:2]) if len(parts) >= 2 else ""
