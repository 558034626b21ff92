"""A server elsewhere as an engine."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from app.remote.errors import MODEL_REPLACED, RemoteError
from app.remote.loop import LoopThread, in_thread
from app.remote.servers import RemoteServers
from engine.client import EventSink
from engine.config import LoadSpec
from engine.errors import EngineStopped, ErrorInfo, KnownError, NoModel
from engine.events import Event, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded, RequestFailed, RequestFinished
from engine.types import (
    ChatMessage,
    EmbeddingRequest,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Overflow,
    RequestId,
    Timings,
    Usage,
)

if TYPE_CHECKING:  # what needs httpx is imported with the first server, and not at the start
    from app.remote.link import Link, Running
    from app.remote.types import Connection, OfferedModel

log = logging.getLogger(__name__)

_GOODBYE_S = 2.0


class RemoteClient:
    """Implements ``EngineClient`` over one model of one server at a time.

    All state belongs to the thread of ``loop``, which also calls the sinks. A server keeps its own cache, so reading
    ahead, pinning and budgets change nothing, and it measures no prompts.
    """

    def __init__(self, servers: RemoteServers, loop: LoopThread) -> None:
        self._servers = servers
        self._loop = loop
        self._sinks: tuple[EventSink, ...] = ()
        self._sinks_lock = threading.Lock()
        self._path: str | None = None
        self._link: Link | None = None
        self._last_error: ErrorInfo | None = None
        self._loading: asyncio.Task[None] | None = None
        self._waiting: dict[RequestId, tuple[GenerationRequest | EmbeddingRequest, float]] = {}
        self._tasks: dict[RequestId, asyncio.Task[None]] = {}
        self._running: dict[RequestId, Running] = {}
        self._ending: set[asyncio.Task[None]] = set()

    # Verbs. Thread: any.

    def load(self, spec: LoadSpec) -> None:
        self._loop.post(lambda: self._load(spec.path))

    def unload(self) -> None:
        self._loop.post(self._unload)

    def submit(self, request: GenerationRequest) -> None:
        asked_s = time.monotonic()
        self._loop.post(lambda: self._submit(request, asked_s))

    def embed(self, request: EmbeddingRequest) -> None:
        asked_s = time.monotonic()
        self._loop.post(lambda: self._submit(request, asked_s))

    def count(self, request: GenerationRequest) -> None:
        error = KnownError("A server does not tell how long a prompt is before it has answered it.")
        self._loop.post(lambda: self._emit(RequestFailed(request.id, ErrorInfo.of(error))))

    def cancel(self, request_id: RequestId) -> None:
        self._loop.post(lambda: self._cancel(request_id))

    def read_ahead(
        self, conversation: str | None, messages: tuple[ChatMessage, ...], overflow: Overflow = Overflow.STOP
    ) -> None:
        """Nothing is sent before the user sends it."""

    def pin(self, conversation: str, is_pinned: bool) -> None:
        """The server decides."""

    def drop(self, conversation: str) -> None:
        """The server decides."""

    def set_cache_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        """The server decides."""

    def subscribe(self, sink: EventSink) -> Callable[[], None]:
        def unsubscribe() -> None:
            with self._sinks_lock:
                self._sinks = tuple(known for known in self._sinks if known is not sink)

        with self._sinks_lock:
            self._sinks = (*self._sinks, sink)
        return unsubscribe

    def close(self) -> None:
        """Hang up. The loop goes on until its owner closes it."""
        with suppress(TimeoutError):
            self._loop.run(self._end()).result(_GOODBYE_S)

    # The loop's thread.

    def _load(self, path: str) -> None:
        self._hang_up(MODEL_REPLACED)
        self._path, self._last_error = path, None
        self._emit(ModelLoading(path, 0.0))
        self._loading = asyncio.ensure_future(self._connect(path))

    async def _connect(self, path: str) -> None:
        started_s = time.monotonic()
        try:
            to, name = await in_thread(lambda: self._servers.connection(path))
            link = await self._opened(to, name)
        except Exception as error:  # noqa: BLE001 - the edge: whoever waits for the model must hear of it
            self._load_failed(path, _info(error))
            return
        self._link, self._loading = link, None
        self._emit(ModelLoaded(_model_info(path, link.to, link.model, time.monotonic() - started_s)))
        waiting, self._waiting = self._waiting, {}
        for request, asked_s in waiting.values():
            self._submit(request, asked_s)

    async def _opened(self, to: Connection, name: str) -> Link:
        from app.remote.http import open_client
        from app.remote.link import Link
        from app.remote.offers import describe

        client = open_client(to)
        try:
            return Link(client, to, await describe(client, to, name), self._emit)
        except BaseException:
            await client.aclose()
            raise

    def _load_failed(self, path: str, error: ErrorInfo) -> None:
        self._loading = None
        self._last_error = error
        self._fail_requests(error)
        self._emit(LoadFailed(path, error))

    def _unload(self) -> None:
        self._hang_up(ErrorInfo.of(NoModel()))
        path, self._path, self._last_error = self._path, None, None
        if path is not None:
            self._emit(ModelUnloaded(path))

    def _submit(self, request: GenerationRequest | EmbeddingRequest, asked_s: float) -> None:
        if self._loading is not None:
            self._waiting[request.id] = (request, asked_s)
        elif self._link is None:
            self._emit(RequestFailed(request.id, self._why_not_ready()))
        elif isinstance(request, EmbeddingRequest):
            self._tasks[request.id] = asyncio.ensure_future(self._embed(self._link, request))
        else:
            self._tasks[request.id] = asyncio.ensure_future(self._answer(self._link, self._begun(request, asked_s)))

    def _begun(self, request: GenerationRequest, asked_s: float) -> Running:
        from app.remote.link import Running, Watch

        running = Running(request, Watch(asked_s))
        self._running[request.id] = running
        return running

    async def _answer(self, link: Link, running: Running) -> None:
        request_id = running.request.id
        try:
            await link.answer(running)
        except Exception as error:  # noqa: BLE001 - the edge: exactly one end follows every request
            self._emit(RequestFailed(request_id, _info(error)))
        finally:
            self._forget(request_id)

    async def _embed(self, link: Link, request: EmbeddingRequest) -> None:
        try:
            self._emit(await link.embed(request))
        except Exception as error:  # noqa: BLE001 - as above
            self._emit(RequestFailed(request.id, _info(error)))
        finally:
            self._forget(request.id)

    def _cancel(self, request_id: RequestId) -> None:
        """It has ended as soon as this is told; the connection is closed right after."""
        waited = self._waiting.pop(request_id, None)
        task = self._tasks.get(request_id)
        running = self._running.get(request_id)
        if waited is None and task is None:
            return
        if task is not None:
            self._end_task(request_id, task)
        if running is not None and self._link is not None:
            self._emit(running.finished(FinishReason.CANCELLED, self._link.model.n_ctx))
        else:
            usage = Usage(n_prompt=0, n_cached=0, n_output=0, n_ctx=0)
            timings = Timings(queued_s=0.0, first_token_s=None, decode_s=0.0)
            self._emit(RequestFinished(request_id, FinishReason.CANCELLED, usage, timings))

    def _end_task(self, request_id: RequestId, task: asyncio.Task[None]) -> None:
        self._forget(request_id)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _forget(self, request_id: RequestId) -> None:
        self._tasks.pop(request_id, None)
        self._running.pop(request_id, None)

    def _fail_requests(self, error: ErrorInfo) -> None:
        lost = [*self._tasks, *self._waiting]
        for request_id, task in list(self._tasks.items()):
            self._end_task(request_id, task)
        self._waiting.clear()
        for request_id in lost:
            self._emit(RequestFailed(request_id, error))

    def _hang_up(self, error: ErrorInfo) -> None:
        """Every request ends with ``error``, and the connections are closed when they have ended."""
        loading, self._loading = self._loading, None
        if loading is not None:
            self._ending.add(loading)
            loading.add_done_callback(self._ending.discard)
            loading.cancel()
        self._fail_requests(error)
        link, self._link = self._link, None
        if link is not None:
            closing = asyncio.ensure_future(_closed(link, tuple(self._ending)))
            self._ending.add(closing)
            closing.add_done_callback(self._ending.discard)

    async def _end(self) -> None:
        self._hang_up(_ending())
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _why_not_ready(self) -> ErrorInfo:
        if self._last_error is None:
            return ErrorInfo.of(NoModel())
        error = self._last_error
        return ErrorInfo(error.kind, error.text, "Connect again, or pick another model.", error.detail)

    def _emit(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                log.exception("a subscriber failed on %s", type(event).__name__)


async def _closed(link: Link, before: tuple[asyncio.Task[None], ...]) -> None:
    await asyncio.gather(*before, return_exceptions=True)
    await link.client.aclose()


def _model_info(path: str, to: Connection, model: OfferedModel, load_s: float) -> ModelInfo:
    return ModelInfo(
        path=path,
        name=model.name,
        architecture="",
        description=to.server_name,
        n_params=model.n_params,
        size_bytes=model.size_bytes,
        n_ctx_train=model.n_ctx_train,
        n_ctx=model.n_ctx,
        n_vocab=model.n_vocab,
        n_threads=0,
        has_chat_template=True,
        load_s=load_s,
        can_call_tools=True,
        can_reason=True,
        is_remote=True,
    )


def _info(error: Exception) -> ErrorInfo:
    """As a value; what nobody expected goes to the log as well."""
    if isinstance(error, RemoteError):
        return error.info
    if not isinstance(error, KnownError):
        log.error("unexpected error", exc_info=error)
    return ErrorInfo.of(error)


def _ending() -> ErrorInfo:
    return ErrorInfo.of(EngineStopped("Hearth is being closed."))
