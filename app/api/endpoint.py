"""A path of the API with what its documentation says: what each vendor's package hands to the application.

A vendor's package (``app.api.openai`` and its neighbours) has one function::

    def routes(engines: Engines, defaults: SamplingParams) -> list[Endpoint]: ...

``defaults`` are used for what a client leaves open. ``app.api.application`` puts the lists together into the routes,
the OpenAPI document, and the table of which paths speak of errors in which shape.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.errors import ErrorBody, OpenAIErrorBody, openai_body

View: TypeAlias = Callable[[Request], Awaitable[Response]] | Callable[[Scope, Receive, Send], Awaitable[None]]
"""A coroutine function from a request to its response, or an object that is an ASGI application.

The latter can stream: see :class:`app.api.exchange.Exchange`.
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``path`` is as Starlette writes it: ``/v1/models/{model_id:path}``.

    ``body``, ``answer`` and ``event`` are for the documentation, as msgspec structs or other types that msgspec can
    describe: what is sent, what comes back whole, as ``answer_type``, and what comes back piece by piece, as
    ``event_type``, where a stream is asked for. ``error`` is the type of what ``error_body`` writes: errors as this
    vendor's clients expect them; ``statuses`` are those of failures besides the ones that every endpoint of its kind
    has, and 501 among them means that there is never a success. ``aliases`` are paths that lead here too and are not
    documented.
    """

    method: str
    path: str
    view: View
    summary: str
    tag: str
    body: Any = None
    answer: Any = None
    answer_type: str = "application/json"
    event: Any = None
    event_type: str = "text/event-stream"
    error_body: ErrorBody = openai_body
    error: Any = OpenAIErrorBody
    statuses: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
