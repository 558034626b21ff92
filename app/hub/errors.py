"""What can go wrong between here and the hub, each as a sentence."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from engine.errors import ErrorInfo, KnownError

_MAX_QUOTED_CHARS = 300
_MAX_WAIT_S = 900.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_RATE_LIMIT = re.compile(r"\br\s*=\s*0\b[^,]*?\bt\s*=\s*(\d{1,6})")
"""As the hub writes it: ``"api";r=0;t=55``, nothing remains, and so many seconds until it does."""


class Headers(Protocol):
    """Of an answer, found by names in small letters; None for one that is not there."""

    def get(self, name: str, /) -> Any: ...


class HubProblem(StrEnum):
    OFFLINE = "hub-offline"
    NOT_FOUND = "hub-not-found"
    SIGN_IN = "hub-sign-in"
    BAD_TOKEN = "hub-bad-token"
    ASK_ACCESS = "hub-ask-access"
    PENDING = "hub-pending"
    REJECTED = "hub-rejected"
    FORBIDDEN = "hub-forbidden"
    RATE_LIMIT = "hub-rate-limit"
    SERVER = "hub-server"
    BROKEN_OFF = "hub-broken-off"
    CERTIFICATE = "hub-certificate"
    PROXY = "hub-proxy"
    ANSWER = "hub-answer"


_PASSING = frozenset({HubProblem.OFFLINE, HubProblem.RATE_LIMIT, HubProblem.SERVER, HubProblem.BROKEN_OFF})


class HubError(KnownError):
    """``retry_after_s`` is how long the hub asks to be left alone, where it says so."""

    def __init__(
        self,
        problem: HubProblem,
        text: str,
        hint: str = "",
        *,
        detail: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(text, hint)
        self.problem = problem
        self.detail = detail
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well work later, with nothing changed."""
        return self.problem in _PASSING

    @property
    def info(self) -> ErrorInfo:
        """``kind`` is the problem's value, for those who offer a remedy."""
        return ErrorInfo(self.problem.value, self.text, self.hint, self.detail)


def from_answer(status: int, headers: Headers, url: str, what: str, *, has_token: bool) -> HubError:
    """What an HTTP status means. ``what`` was asked for: a repository's id, or a file's name, or empty for a search."""
    host = urlsplit(url).netloc
    code = headers.get("x-error-code") or ""
    told = _one_line(headers.get("x-error-message") or "")
    detail = f"HTTP {status} from {host}: {code} {told}".strip()
    if status in (401, 403):
        return _refused(status, code, told, what or host, detail, has_token=has_token)
    if status in (404, 410):
        return _not_found(code, what, host, detail)
    if status == 429:
        wait_s = retry_after_s(headers)
        hint = f"It takes requests again in {_duration(wait_s)}." if wait_s else "Try again in a few minutes."
        text = f"{host} has had too many requests from here."
        return HubError(HubProblem.RATE_LIMIT, text, hint, detail=detail, retry_after_s=wait_s)
    if status >= 500 or status == 408:
        text = f"{host} has a fault of its own (HTTP {status})."
        return HubError(
            HubProblem.SERVER, text, "Try again in a while.", detail=detail, retry_after_s=retry_after_s(headers)
        )
    if status == 407:
        return proxy_error("The proxy asks for a name and a password.", detail)
    return HubError(HubProblem.ANSWER, f"{host} refused the request (HTTP {status}).{_quoted(told)}", detail=detail)


def from_transport(error: BaseException, url: str) -> HubError:
    """Why the hub could not be reached, or stopped talking."""
    host = urlsplit(url).netloc
    detail = f"{type(error).__name__}: {error} ({host})"
    known = next(filter(None, (_known_cause(cause, host, detail) for cause in _causes(error))), None)
    if known is not None:
        return known
    if isinstance(error, OSError) and str(error).startswith("Tunnel connection failed"):
        return proxy_error(f"The proxy does not let {host} through ({_one_line(str(error))[25:80]}).", detail)
    if "proxy" in type(error).__name__.lower():
        return proxy_error("The proxy does not answer as it should.", detail)
    if _is_no_route(error):
        text = f"{host} cannot be reached."
        return HubError(HubProblem.OFFLINE, text, "Check the connection to the network.", detail=detail)
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return HubError(HubProblem.BROKEN_OFF, f"{host} fell silent.", "Try again.", detail=detail)
    return HubError(HubProblem.BROKEN_OFF, f"The connection to {host} broke.", "Try again.", detail=detail)


def proxy_error(text: str, detail: str = "") -> HubError:
    return HubError(HubProblem.PROXY, text, "Check the proxy in the settings of the system.", detail=detail)


def bad_answer(url: str, what: str) -> HubError:
    """``what`` is for the details: a sentence about it would help nobody."""
    text = f"{urlsplit(url).netloc} does not answer as a hub does."
    hint = "Check its address in the settings, and whether something on the way changes what it sends."
    return HubError(HubProblem.ANSWER, text, hint, detail=what[:_MAX_QUOTED_CHARS])


def retry_after_s(headers: Headers) -> float | None:
    """Seconds, given as such, as a date, or as the hub's own rate limit; a quarter of an hour at most."""
    value = (headers.get("retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _MAX_WAIT_S)
    if value:
        try:
            return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), _MAX_WAIT_S)
        except (ValueError, OverflowError):
            return None
    limit = _RATE_LIMIT.search(headers.get("ratelimit") or "")
    return min(float(limit[1]), _MAX_WAIT_S) if limit else None


def _refused(status: int, code: str, told: str, what: str, detail: str, *, has_token: bool) -> HubError:
    """The exact reason of a 401 or 403: the hub tells it in its own sentence."""
    lowered = told.lower()
    if "invalid credentials" in lowered or ("token" in lowered and "expired" in lowered):
        text = "The hub does not accept the access token."
        return HubError(
            HubProblem.BAD_TOKEN, text, "It was revoked or has expired. Sign in with another one.", detail=detail
        )
    if "awaiting a review" in lowered or "pending" in lowered:
        text = f"The authors of {what} have not answered your request for access yet."
        return HubError(HubProblem.PENDING, text, "The hub sends a mail when they have.", detail=detail)
    if "rejected" in lowered:
        text = f"The authors of {what} have refused your request for access."
        return HubError(HubProblem.REJECTED, text, "Look for another repository of this model.", detail=detail)
    if "fine-grained" in lowered or "permission" in lowered:
        text = f"The access token is not allowed to read {what}."
        hint = "In the token's settings on the hub, allow it to read gated repositories that you can access."
        return HubError(HubProblem.FORBIDDEN, text, hint, detail=detail)
    if code == "GatedRepo":
        return _gated(what, detail, has_token=has_token)
    if "disabled" in lowered:
        return HubError(HubProblem.FORBIDDEN, f"The hub has withdrawn {what}.", detail=detail)
    if status == 401 and not has_token:
        text = f"{what} is private, or does not exist."
        return HubError(
            HubProblem.SIGN_IN, text, "Check the name. If it is yours, sign in with an access token.", detail=detail
        )
    if status == 401:
        text = f"{what} does not exist, or the access token may not see it."
        return HubError(HubProblem.BAD_TOKEN, text, "Check the name and the token.", detail=detail)
    return HubError(HubProblem.FORBIDDEN, f"The hub does not give out {what}.{_quoted(told)}", detail=detail)


def _known_cause(cause: BaseException, host: str, detail: str) -> HubError | None:
    if isinstance(cause, HubError):
        return cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"The certificate of {host} cannot be trusted: {cause.verify_message or cause.reason}."
        hint = "Something between here and there reads along, or the clock of this machine is wrong."
        return HubError(HubProblem.CERTIFICATE, text, hint, detail=detail)
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return HubError(HubProblem.CERTIFICATE, f"{host} does not speak TLS as it should.", detail=detail)
    if isinstance(cause, socket.gaierror):
        text = f"{host} cannot be found. This machine seems to be offline."
        return HubError(HubProblem.OFFLINE, text, "What is downloaded already can be used.", detail=detail)
    if isinstance(cause, ConnectionRefusedError):
        text = f"{host} does not answer."
        return HubError(HubProblem.OFFLINE, text, "Check the connection to the network.", detail=detail)
    return None


def _gated(what: str, detail: str, *, has_token: bool) -> HubError:
    if not has_token:
        text = f"{what} is given out only to those who accepted its licence."
        hint = "Accept it on the model's page, and sign in here with an access token."
        return HubError(HubProblem.SIGN_IN, text, hint, detail=detail)
    text = f"{what} is given out only to those who accepted its licence, and this account has not."
    return HubError(HubProblem.ASK_ACCESS, text, "Accept it on the model's page, then try again.", detail=detail)


def _not_found(code: str, what: str, host: str, detail: str) -> HubError:
    if not what:
        text = f"There is no hub at {host}."
        return HubError(HubProblem.NOT_FOUND, text, "Check its address in the settings.", detail=detail)
    if code == "RevisionNotFound":
        text = f"This version of {what} is not on {host} any more."
    elif code == "EntryNotFound":
        text = f"The file {what} is not on {host} any more."
    else:
        text = f"There is no {what} on {host}."
    return HubError(HubProblem.NOT_FOUND, text, "Open the model's page again to see what is there.", detail=detail)


_NO_ROUTE = frozenset({"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "EADDRNOTAVAIL"})


def _is_no_route(error: BaseException) -> bool:
    import errno

    codes = {getattr(errno, name, None) for name in _NO_ROUTE}
    return any(isinstance(cause, OSError) and cause.errno in codes for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _quoted(told: str) -> str:
    return f" It says: {told}{'' if told.endswith(('.', '!', '?')) else '.'}" if told else ""


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:_MAX_QUOTED_CHARS]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{round(seconds / 60)} minutes"
