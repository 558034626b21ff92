"""The hub's address, and the addresses below it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from app.remote.address import is_loopback, is_near
from engine.errors import InvalidRequest

DEFAULT = "https://huggingface.co"
VARIABLE = "HF_ENDPOINT"
_EXAMPLE = "Write it like https://huggingface.co."


def checked_endpoint(typed: str) -> str:
    """An address without a slash at its end. Raises InvalidRequest.

    Without TLS only what is near is asked: beyond, anybody on the way could change what is answered.
    """
    text = typed.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidRequest("This is not the address of a hub.", _EXAMPLE) from error
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if not is_complete or not is_plain or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest("This is not the address of a hub.", _EXAMPLE)
    address = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
    if parts.scheme != "https" and not (parts.scheme == "http" and is_near(parts.hostname or "")):
        raise InvalidRequest("The address of a hub begins with https://.", _EXAMPLE)
    return address


def endpoint_of(setting: str, environ: Mapping[str, str] = os.environ) -> str:
    """The one in the settings, else the one in HF_ENDPOINT, else the hub itself. Raises InvalidRequest."""
    return checked_endpoint(setting or environ.get(VARIABLE, "") or DEFAULT)


def may_carry_token(url: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    return url.startswith("https://") or is_loopback(url)


def page_url(endpoint: str, repo_id: str) -> str:
    return f"{endpoint}/{quote(repo_id)}"


def file_url(endpoint: str, repo_id: str, commit: str, path: str) -> str:
    return f"{endpoint}/{quote(repo_id)}/resolve/{quote(commit, safe='')}/{quote(path)}"


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Who has the same origin may be sent the same token."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default
