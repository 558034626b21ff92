"""What every request passes before anything else looks at it: who may call, from where, and with what."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import ApiError
from app.api.keys import is_same_key

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = frozenset({"/health"})
"""They want no key."""
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_, -]{0,2000}")
_PREFLIGHT_AGE_S = 600
_METHODS = "GET, POST"
_EXPOSED = "retry-after"
N_FREE_GUESSES = 20
GUESS_DELAY_S = 1.0
_GUESSES_AGE_S = 60.0
_MAX_ADDRESSES = 1024


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the API.

    ``hosts`` are the names by which clients may call this machine, without a port: what a tunnel leads here keeps the
    port of its other end. ``any_address`` also takes every literal IP address, which no DNS answer can forge.
    ``key`` None asks for no key. ``origins`` are those of web pages that may call, with the key like everybody.
    """

    key: str | None
    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False
    origins: frozenset[str] = frozenset()

    def check_source(self, headers: Headers) -> None:
        """Raises ApiError. The Host counts always, so that no web page reaches us by a name of its own (rebinding)."""
        host = self._host(headers.getlist("host"))
        self._check_origin(headers.getlist("origin"), host)

    def check_key(self, headers: Headers, path: str) -> None:
        """Raises ApiError."""
        if self.key is not None and path not in OPEN_PATHS and not _shows_key(headers, self.key):
            raise ApiError(
                401,
                "invalid_api_key",
                "The API key is missing or wrong. Send it as 'Authorization: Bearer KEY'.",
                headers={"www-authenticate": "Bearer"},
            )

    def listed_origin(self, headers: Headers) -> str | None:
        """The web page that calls, where it is one of those that may."""
        origins = headers.getlist("origin")
        return origins[0] if len(origins) == 1 and origins[0] in self.origins else None

    def _host(self, hosts: list[str]) -> str:
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not self._is_known(name):
            raise ApiError(403, "host_not_allowed", "The Host header names none of this server's addresses.")
        return hosts[0]

    def _is_known(self, name: str) -> bool:
        return name in self.hosts or (self.any_address and _is_address(name))

    def _check_origin(self, origins: Iterable[str], host: str) -> None:
        """Programs send no Origin. A web page does: one that this server itself gave out, or one that is listed."""
        ours = {f"http://{host}", f"https://{host}", *self.origins}
        if any(origin not in ours for origin in origins):
            raise ApiError(403, "origin_not_allowed", "Web pages may not use this server, unless they are listed.")


class Door:
    """The access that counts now. Thread: any; another one counts from the next request on."""

    def __init__(self, access: Access) -> None:
        self.access = access


class Guard:
    """ASGI middleware that lets through what the access allows."""

    def __init__(self, app: ASGIApp, access: Access | Door) -> None:
        self._app = app
        self._door = access if isinstance(access, Door) else Door(access)
        self._wrong_keys = _WrongKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        access, headers = self._door.access, Headers(scope=scope)
        origin = access.listed_origin(headers)
        if access.origins:
            send = _with_cors(send, origin)
        try:
            access.check_source(headers)
            if origin is not None and _is_preflight(scope, headers):
                await _allowance(headers)(scope, receive, send)
                return
            access.check_key(headers, scope["path"])
        except ApiError as error:
            if error.status == 401:
                await self._wrong_keys.slow_down(scope)
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _WrongKeys:
    """Lets an address that shows many wrong keys wait for its answer.

    No key of 256 bits can be guessed; but a client that is set up wrongly and tries for ever need not cost more than
    one answer a second. Right keys never wait, also from the same address.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._counts: dict[str, int] = {}

    async def slow_down(self, scope: Scope) -> None:
        now = time.monotonic()
        if now - self._since > _GUESSES_AGE_S or len(self._counts) > _MAX_ADDRESSES:
            self._since, self._counts = now, {}
        address = (scope.get("client") or ("",))[0]
        self._counts[address] = self._counts.get(address, 0) + 1
        if self._counts[address] > N_FREE_GUESSES:
            await asyncio.sleep(GUESS_DELAY_S)


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _allowance(headers: Headers) -> Response:
    """What a browser that asks first is told: no cookies, and any header, because vendors' clients send many."""
    asked = headers.get("access-control-request-headers", "")
    allowed = {
        "access-control-allow-methods": _METHODS,
        "access-control-max-age": str(_PREFLIGHT_AGE_S),
    }
    if asked and _HEADER_NAMES.fullmatch(asked):
        allowed["access-control-allow-headers"] = asked
    if headers.get("access-control-request-private-network") == "true":
        allowed["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=allowed)


def _with_cors(send: Send, origin: str | None) -> Send:
    """Answers differ by who asks, which caches must know; a listed page may read them."""

    def watched(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Origin")
            if origin is not None:
                headers["access-control-allow-origin"] = origin
                headers["access-control-expose-headers"] = _EXPOSED
        return send(message)

    return watched


def _shows_key(headers: Headers, key: str) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    shown = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return is_same_key(shown, key)


def _host_name(host: str) -> str | None:
    found = _HOST.fullmatch(host)
    return (found["v6"] or found["name"]).lower() if found else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
