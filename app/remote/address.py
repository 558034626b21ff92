"""Addresses as people type them, and what can be told from one without asking the network."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from engine.errors import InvalidRequest

MAX_CHARS = 2000

_ENDPOINTS = re.compile(r"/(chat/completions|completions|embeddings|responses|models)/?$")
_UNUSABLE = re.compile(r"[\s\x00-\x1f\x7f\\]")
_PRIVATE_ENDINGS = (".local", ".lan", ".internal", ".home.arpa", ".localhost")
_EXAMPLE = "Write it like http://192.168.1.20:8000/v1 or https://api.example.com/v1."


def server_address(typed: str) -> str:
    """The address below which the endpoints are, without a slash at its end. Raises InvalidRequest.

    What is left out is filled in: https, or http inside the own network, and ``/v1`` where no path is given. An
    address of a single endpoint is shortened to what all have in common.
    """
    text = typed.strip()
    if not text:
        raise InvalidRequest("There is no address.", _EXAMPLE)
    if len(text) > MAX_CHARS or _UNUSABLE.search(text):
        raise InvalidRequest("This is not an address of a server.", _EXAMPLE)
    parts = _split(text if "://" in text else f"//{text}")
    host = parts.hostname or ""
    scheme = parts.scheme or ("http" if is_near(host) else "https")
    if scheme not in ("http", "https"):
        raise InvalidRequest(f"{scheme}:// is not an address of a server.", _EXAMPLE)
    path = _ENDPOINTS.sub("", parts.path).rstrip("/") or "/v1"
    return urlunsplit((scheme, parts.netloc.lower(), path, "", ""))


def host_of(address: str) -> str:
    """``gpu.example.com:8000``"""
    return urlsplit(address).netloc


def root_of(address: str) -> str:
    """The address without its path."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def is_loopback(address: str) -> bool:
    """Whether it is this machine itself."""
    host = urlsplit(address).hostname or ""
    number = _number(host)
    return number.is_loopback if number is not None else host == "localhost" or host.endswith(".localhost")


def is_readable_on_the_way(address: str) -> bool:
    """Whether strangers could read what is sent there: without TLS, and beyond the own network."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not is_near(parts.hostname or "")


def is_near(host: str) -> bool:
    """Whether a host is this machine or in the own network, as far as its name tells."""
    number = _number(host)
    if number is not None:
        return number.is_private or number.is_loopback or number.is_link_local
    return "." not in host or host.endswith(_PRIVATE_ENDINGS)


def _split(text: str) -> SplitResult:
    """Raises InvalidRequest."""
    try:
        parts = urlsplit(text)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidRequest("This is not an address of a server.", _EXAMPLE) from error
    if not is_complete:
        raise InvalidRequest("The address names no machine.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest("The address holds a name or a password.", "Enter the key in its own field.")
    if parts.query or parts.fragment:
        raise InvalidRequest("The address must end with its path.", "Leave out what follows the question mark.")
    return parts


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
