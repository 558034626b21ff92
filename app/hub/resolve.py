"""From a file's address on the hub to where its bytes are: redirects, and who may see the token on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from app.hub.endpoint import file_url, may_carry_token, origin_of
from app.hub.errors import bad_answer, from_answer
from app.hub.wire import Reply, Wire
from app.remote.address import is_near

_MAX_REDIRECTS = 6
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_HEAD = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of a repository on one hub, and the token for that hub, if any."""

    endpoint: str
    repo_id: str
    commit: str
    path: str
    token: str | None = None

    @property
    def url(self) -> str:
        return file_url(self.endpoint, self.repo_id, self.commit, self.path)

    def __repr__(self) -> str:
        return f"Origin({self.url!r})"


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes are. ``linked_etag`` and ``size_bytes`` are what the hub itself says of the file."""

    url: str
    origin: Origin
    commit: str | None
    linked_etag: str | None
    size_bytes: int | None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the address was handed out by the hub, and may stop working after a while."""
        return origin_of(self.url) != origin_of(self.origin.endpoint)


def locate(wire: Wire, origin: Origin) -> Location:
    """Ask the hub where a file is. Raises HubError, Cancelled."""
    url, method = origin.url, "HEAD"
    told: dict[str, str] = {}
    for _ in range(_MAX_REDIRECTS):
        headers = {} if method == "HEAD" else {"Range": "bytes=0-0"}
        reply = wire.request(method, url, {**headers, **authorization(origin, url)})
        for name in ("x-repo-commit", "x-linked-etag", "x-linked-size"):
            if value := reply.headers.get(name):
                told.setdefault(name, value.strip())
        if reply.status in _NO_HEAD and method == "HEAD":
            method = "GET"
        elif reply.status in _REDIRECTS:
            url = redirected(url, reply, origin)
            if origin_of(url) != origin_of(origin.endpoint):
                break
        else:
            _check(reply, origin)
            break
    else:
        raise bad_answer(url, "It redirects without an end.")
    size = told.get("x-linked-size", "")
    return Location(
        url,
        origin,
        told.get("x-repo-commit"),
        told.get("x-linked-etag", "").removeprefix("W/").strip('"') or None,
        int(size) if size.isascii() and size.isdigit() else None,
    )


def fetch(wire: Wire, origin: Origin, url: str, headers: Mapping[str, str]) -> Reply:
    """GET what is at ``url``, wherever that leads. Raises HubError, Cancelled."""
    for _ in range(_MAX_REDIRECTS):
        reply = wire.request("GET", url, {**headers, **authorization(origin, url)})
        if reply.status not in _REDIRECTS:
            _check(reply, origin)
            return reply
        url = redirected(url, reply, origin)
    raise bad_answer(url, "It redirects without an end.")


def authorization(origin: Origin, url: str) -> dict[str, str]:
    """The token, for the hub that it belongs to and for nobody else."""
    if origin.token is None or origin_of(url) != origin_of(origin.endpoint) or not may_carry_token(url):
        return {}
    return {"Authorization": f"Bearer {origin.token}"}


def redirected(url: str, reply: Reply, origin: Origin) -> str:
    """Raises HubError for a place that no hub would send us to: without TLS, or inside our own network."""
    place = str(reply.headers.get("location") or "").strip()
    target = urljoin(url, place)
    parts = urlsplit(target)
    from_near = is_near(urlsplit(origin.endpoint).hostname or "")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and url.startswith("http://"))
    if not place or not parts.hostname or not is_safe:
        raise bad_answer(url, f"It redirects to {place[:100]!r}.")
    if is_near(parts.hostname) and not from_near:
        raise bad_answer(url, "It redirects into this machine's own network.")
    return target


def _check(reply: Reply, origin: Origin) -> None:
    if reply.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        gated = reply.headers.get("x-error-code") == "GatedRepo"
        what = origin.repo_id if gated or reply.status in (401, 403) else origin.path.rpartition("/")[2]
        raise from_answer(reply.status, reply.headers, reply.url, what, has_token=origin.token is not None)
