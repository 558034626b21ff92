"""What can go wrong between here and a server, each as a sentence."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from app.remote.address import host_of
from app.remote.types import Connection
from engine.errors import ContextTooLong, EngineBusy, EngineStopped, ErrorInfo, KnownError

MODEL_REPLACED = ErrorInfo.of(EngineStopped("The model was replaced by another one.", "Ask again to use the new one."))

_MAX_QUOTED_CHARS = 300
_MAX_DETAIL_CHARS = 4000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_TOO_LONG = re.compile(
    r"maximum context length|context[_ ]length|exceed\w* the (available |model's )?(maximum )?context",
    re.IGNORECASE,
)
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_CONTEXT_NUMBERS = (
    re.compile(r"context length is (?:only )?(?P<n_ctx>\d+).{0,120}?(?:requested|resulted in|has) \D{0,40}?(?P<n>\d+)"),
    re.compile(r"(?P<n>\d+) tokens?\b.{0,100}?(?:context|holds)\D{0,60}(?P<n_ctx>\d+)", re.DOTALL),
)
_MAX_TOKENS = 2**31 - 1


class RemoteError(KnownError):
    """``kind`` is the class by which everybody else knows such an error."""

    def __init__(self, text: str, hint: str = "", *, kind: str = "RemoteError", detail: str = "") -> None:
        super().__init__(text, hint)
        self.kind = kind
        self.detail = detail

    @property
    def info(self) -> ErrorInfo:
        return ErrorInfo(self.kind, self.text, self.hint, self.detail)


class TooLongForServer(RemoteError):
    """The prompt does not fit. ``n_prompt`` and ``n_ctx`` are None where the server does not tell both."""

    def __init__(self, model: str, n_prompt: int | None, n_ctx: int | None, detail: str) -> None:
        if n_prompt is not None and n_ctx is not None:
            text = ContextTooLong(n_prompt, n_ctx).text
        else:
            text = f"This conversation is longer than the context of {model}."
        super().__init__(text, "Start a new conversation, or shorten this one.", kind="ContextTooLong", detail=detail)
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class FieldRefused(RemoteError):
    """The server does not take some field of the request; ``told`` says which in the server's words."""

    def __init__(self, error: RemoteError, told: Told) -> None:
        super().__init__(error.text, error.hint, kind=error.kind, detail=error.detail)
        self.told = told


@dataclass(frozen=True, slots=True)
class Told:
    """An error in a server's own words, whatever shape it gave them."""

    message: str = ""
    code: str = ""
    param: str = ""
    status: int | None = None
    n_prompt: int | None = None
    n_ctx: int | None = None


def told_by(body: bytes) -> Told:
    """Read what OpenAI, vLLM, SGLang, llama-server, Ollama, FastAPI or a proxy says. Never raises."""
    try:
        data = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        text = body.decode(errors="replace").strip()
        return Told() if text.startswith("<") else Told(_one_line(text))
    return told_in(data)


def told_in(data: Any) -> Told:
    """The same, from JSON that is decoded already."""
    if not isinstance(data, dict):
        return Told()
    error = data.get("error", data)
    if isinstance(error, str):
        return Told(_one_line(error))
    if not isinstance(error, dict):
        return Told()
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        first = detail[0]
        place = first.get("loc") if isinstance(first.get("loc"), list) else []
        return Told(_one_line(f"{_text(first.get('msg'))} ({'.'.join(map(str, place or []))})"), param=_last(place))
    code, number = error.get("code"), _count(error.get("code"))
    return Told(
        _one_line(_text(error.get("message")) or _text(detail)),
        code if isinstance(code, str) else _text(error.get("type")),
        _text(error.get("param")),
        number if number in range(400, 600) else None,
        _count(error.get("n_prompt_tokens")),
        _count(error.get("n_ctx")),
    )


def from_answer(status: int, headers: Mapping[str, str], body: bytes, to: Connection, model: str | None) -> RemoteError:
    """What an HTTP status other than 200 means. ``model`` is what was asked for, if any."""
    told = told_by(body)
    detail = _detail(f"HTTP {status} from {to.address}", body, to)
    return from_told(status, told, detail, to, model, headers)


def from_told(
    status: int, told: Told, detail: str, to: Connection, model: str | None, headers: Mapping[str, str] | None = None
) -> RemoteError:
    who = to.server_name
    quoted = f" It says: {_ended(_without_key(told.message, to))}" if told.message else ""
    if _is_too_long(status, told):
        n_prompt, n_ctx = (told.n_prompt, told.n_ctx) if told.n_ctx else _context_numbers(told.message)
        return TooLongForServer(model or who, n_prompt, n_ctx, detail)
    if 300 <= status < 400:
        return _moved(headers or {}, to, detail)
    if status == 401:
        return _no_entry(to, detail)
    if status == 403:
        return RemoteError(
            f"{who} does not allow this.{quoted}", "Check its key, and what the key is good for.", detail=detail
        )
    if status in (404, 405):
        return _not_there(to, model, quoted, detail)
    if status == 429:
        return _too_many(who, told, quoted, headers or {}, detail)
    if status == 503:
        return RemoteError(f"{who} is not ready.{quoted}", "Try again in a moment.", kind=_BUSY, detail=detail)
    if status >= 500:
        return RemoteError(f"{who} failed.{quoted}", "Try again. The server's own log may say more.", detail=detail)
    error = RemoteError(f"{who} refused the request.{quoted}", "", detail=detail)
    return FieldRefused(error, told) if status in (400, 422) else error


def from_transport(error: Exception, to: Connection) -> RemoteError:
    """Why a server could not be reached, or stopped talking."""
    import httpx

    who, detail = to.server_name, _without_key(f"{type(error).__name__}: {error} ({to.address})", to)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"The certificate of {who} cannot be trusted: {cause.verify_message or cause.reason}."
            return RemoteError(
                text, "Check the address. A private certificate must be known to this system.", detail=detail
            )
        if isinstance(cause, ssl.SSLError):
            text = f"{who} does not speak TLS at this address."
            return RemoteError(text, "If it speaks plain HTTP, its address begins with http://.", detail=detail)
        if isinstance(cause, socket.gaierror | UnicodeError):
            text = f"There is no machine called {host_of(to.address)}."
            return RemoteError(text, "Check the address, and the connection to the network.", detail=detail)
        if isinstance(cause, ConnectionRefusedError):
            text = f"{who} does not answer: no server listens at {host_of(to.address)}."
            return RemoteError(text, "Check the address, and that the server runs.", detail=detail)
    if isinstance(error, httpx.ConnectTimeout):
        text = f"{who} cannot be reached: {host_of(to.address)} does not answer."
        return RemoteError(text, "Check the address, and that the server runs.", detail=detail)
    if isinstance(error, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol):
        text = f"{who} cannot be reached at {host_of(to.address)}."
        return RemoteError(text, "Check the address, and the connection to the network.", detail=detail)
    return RemoteError(f"The connection to {who} broke.", "Try again.", detail=detail)


def silent(to: Connection, waited_s: float) -> RemoteError:
    return RemoteError(
        f"{to.server_name} has been silent for {_duration(waited_s)}.", "Try again, or look at the server."
    )


def broken_off(to: Connection) -> RemoteError:
    return RemoteError(f"{to.server_name} broke off in the middle of its answer.", "What had come is kept. Try again.")


def not_understood(to: Connection, detail: str) -> RemoteError:
    text = f"{to.server_name} does not answer as OpenAI's protocol has it."
    return RemoteError(
        text, "Check the address; it usually ends in /v1.", detail=_without_key(detail, to)[:_MAX_DETAIL_CHARS]
    )


_BUSY = EngineBusy.__name__


def _moved(headers: Mapping[str, str], to: Connection, detail: str) -> RemoteError:
    """Never followed: the key is meant for the address that the user typed, and for no other."""
    place = _one_line(headers.get("location", ""))
    hint = f"If you trust it, enter that address: {place}" if place else "Check the address."
    return RemoteError(f"{to.server_name} sends callers on to another address.", hint, detail=detail)


def _no_entry(to: Connection, detail: str) -> RemoteError:
    if to.key is None:
        return RemoteError(f"{to.server_name} asks for a key.", "Edit the server, and enter its key.", detail=detail)
    hint = "Edit the server, and enter its key again."
    return RemoteError(f"{to.server_name} does not accept the key.", hint, detail=detail)


def _not_there(to: Connection, model: str | None, quoted: str, detail: str) -> RemoteError:
    if model is None:
        text = f"There is no list of models at {to.address}.{quoted}"
        return RemoteError(text, "Check the address; it usually ends in /v1.", detail=detail)
    text = f"{to.server_name} has no model {model}.{quoted}"
    return RemoteError(text, "Edit the server to see which models it has.", detail=detail)


def _too_many(who: str, told: Told, quoted: str, headers: Mapping[str, str], detail: str) -> RemoteError:
    if told.code == "insufficient_quota":
        return RemoteError(f"{who} takes no more requests from this account.{quoted}", "", kind=_BUSY, detail=detail)
    wait_s = retry_after_s(headers)
    hint = f"Try again in {_duration(wait_s)}." if wait_s else "Try again in a moment."
    return RemoteError(f"{who} has too many requests at the moment.", hint, kind=_BUSY, detail=detail)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, whether the server gave those or a date; None where it gave neither."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _is_too_long(status: int, told: Told) -> bool:
    if told.code in _TOO_LONG_CODES:
        return True
    return status in (400, 413, 422, 500) and bool(_TOO_LONG.search(told.message))


def _context_numbers(message: str) -> tuple[int | None, int | None]:
    """The prompt's length and the context's, where the sentence tells both in a way that is known."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", message)
    for pattern in _CONTEXT_NUMBERS:
        found = pattern.search(text)
        if found is not None:
            n_prompt, n_ctx = _count(int(found["n"][:12])), _count(int(found["n_ctx"][:12]))
            if n_prompt and n_ctx and n_prompt >= n_ctx:
                return n_prompt, n_ctx
    return None, None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that led to it."""
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        cause = left.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        left += [found for found in (cause.__cause__, cause.__context__) if found is not None]
        if isinstance(cause, BaseExceptionGroup):
            left += cause.exceptions


def _detail(head: str, body: bytes, to: Connection) -> str:
    text = body[: 4 * _MAX_DETAIL_CHARS].decode(errors="replace").strip()
    return _without_key(f"{head}\n{text}", to)[:_MAX_DETAIL_CHARS]


def _without_key(text: str, to: Connection) -> str:
    """Servers like to repeat what they did not accept."""
    return text.replace(to.key, "…") if to.key else text


def _one_line(text: str) -> str:
    """A stranger's text, fit to stand in a sentence."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= _MAX_QUOTED_CHARS else f"{line[: _MAX_QUOTED_CHARS - 1]}…"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def _duration(seconds: float) -> str:
    n = max(1, round(seconds))
    if n >= 120:
        return f"{n // 60} minutes"
    return "1 second" if n == 1 else f"{n} seconds"


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""


def _last(place: Any) -> str:
    return _text(place[-1]) if isinstance(place, list) and place else ""


def _count(value: Any) -> int | None:
    """A number of tokens, if it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS else None
