"""What every request passes before anything else looks at it: who may call, from where, and with what."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import ApiError
from app.api.keys import is_same_key

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN_PATHS = frozenset({"/health"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the API.

    ``hosts`` are the names by which clients may call this machine, without a port: what a tunnel leads here keeps the
    port of its other end. ``any_address`` also takes every literal IP address, which no DNS answer can forge.
    ``key`` None asks for no key.
    """

    key: str | None
    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False

    def check(self, headers: Headers, path: str) -> None:
        """Raises ApiError. The Host counts always, so that no web page reaches us by a name of its own (rebinding)."""
        host = self._host(headers.getlist("host"))
        _check_origin(headers.getlist("origin"), host)
        if self.key is not None and path not in _OPEN_PATHS and not _shows_key(headers, self.key):
            raise ApiError(
                401,
                "invalid_api_key",
                "The API key is missing or wrong. Send it as 'Authorization: Bearer KEY'.",
                headers={"www-authenticate": "Bearer"},
            )

    def _host(self, hosts: list[str]) -> str:
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not self._is_known(name):
            raise ApiError(403, "host_not_allowed", "The Host header names none of this server's addresses.")
        return hosts[0]

    def _is_known(self, name: str) -> bool:
        return name in self.hosts or (self.any_address and _is_address(name))


class Guard:
    """ASGI middleware that lets through what ``access`` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._access.check(Headers(scope=scope), scope["path"])
            except ApiError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _check_origin(origins: Iterable[str], host: str) -> None:
    """Programs send no Origin. A web page does, and only one that this server itself gave out has business here."""
    if any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
        raise ApiError(403, "origin_not_allowed", "Web pages may not use this server.")


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
