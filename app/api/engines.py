"""Which models the API answers for, and which engine answers for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from app.api.errors import RETRY_AFTER_S, ApiError, from_engine
from app.api.models import ANY, Catalogue, ServedModel, is_same_file, make_catalogue, served_model
from app.api.requests import ModelState, Requests
from app.library import Library, ModelEntry
from app.pool import Lease, ModelPool, NotLoaded
from engine.client import EngineClient
from engine.types import ModelInfo

FRESH_S = 0.25
"""How old what is known of the disk may be before it is looked at again for somebody who asks."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A model that is loaded and stays so while it is used. ``info`` is None only in the moment before it is known."""

    model: ServedModel
    info: ModelInfo | None
    requests: Requests


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``size_bytes`` is what it takes of the memory, by estimate. ``info`` is None while it still loads.

    ``expires_at_s`` is the time of day, as time.time() has it, at which it is given back if nobody asks for it until
    then; None where it stays: while it is used, for good, or because it is the window's own.
    """

    model: ServedModel
    info: ModelInfo | None
    size_bytes: int
    expires_at_s: float | None


class Engines(Protocol):
    """Thread: the event loop's."""

    async def refresh(self) -> None:
        """Look at the disk for models, in a thread, if that was not done just now: lists call it before they ask.

        :meth:`served` and :meth:`find` know what was there the last time. :meth:`ready` looks for itself.
        """

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        """Every model a client may ask for; with its facts while it is loaded."""

    def loaded(self) -> list[LoadedModel]:
        """The models that are in memory or on their way there, the one used last first."""

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        """The model of this id or name; None and "default" mean whatever is loaded. Raises ApiError."""

    def give_back(self, wanted: str | None) -> None:
        """Unload a model that was loaded for clients, now or when the last of them is done with it.

        Nothing happens where it is not loaded, or is the window's own. Raises ApiError where there is none of the name.
        """

    @asynccontextmanager
    def ready(self, wanted: str | None, keep_alive_s: float | None = None) -> AsyncIterator[Ready]:
        """Load the model if need be, and keep it while it is used and ``keep_alive_s`` longer.

        Zero gives it back at once, None is the usual time, infinity is for good; the latest request decides. Nothing
        need be asked of it: that is how a model is loaded ahead. Raises ApiError.
        """
        ...

    def check(self) -> None:
        """Raises ApiError where nothing could be answered now."""

    def close(self) -> None:
        """Every request that is under way ends with an error."""


class PoolEngines:
    """Answers for every model of the library, and for the primary engine's whatever it is; see ``app.pool``.

    Thread: the event loop's. Whoever made the pool closes it after this.
    """

    def __init__(self, pool: ModelPool, library: Library, last_model: Callable[[], str | None]) -> None:
        """Blocks on the disk. ``last_model`` is the id of what is meant where no model is named and none is loaded."""
        self._pool = pool
        self._library = library
        self._last_model = last_model
        self._requests: dict[EngineClient, Requests] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._catalogue = self._read()
        self._read_s = asyncio.get_running_loop().time()

    async def refresh(self) -> None:
        if self._refreshing is None:
            if asyncio.get_running_loop().time() - self._read_s < FRESH_S:
                return
            self._refreshing = asyncio.create_task(self._reread())
        await asyncio.shield(self._refreshing)

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        return [(model, self._pool.info(entry)) for model, entry in self._catalogue.models if entry.problem is None]

    def loaded(self) -> list[LoadedModel]:
        now_s = time.time()
        return [
            LoadedModel(
                self._listed(held.entry)[0],
                held.info,
                held.needed_bytes,
                None if held.expires_in_s is None else now_s + held.expires_in_s,
            )
            for held in self._pool.held()
        ]

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        model, entry = self._find(wanted)
        return model, self._pool.info(entry)

    def give_back(self, wanted: str | None) -> None:
        self._pool.give_back(self._find(wanted)[1])

    @asynccontextmanager
    async def ready(self, wanted: str | None, keep_alive_s: float | None = None) -> AsyncIterator[Ready]:
        model, entry = await self._usable(wanted)
        try:
            async with self._pool.lease(entry, keep_alive_s) as lease:
                yield Ready(model, lease.info, self._requests_of(lease))
        except NotLoaded as refusal:
            raise _refused(refusal) from refusal

    def check(self) -> None:
        state = self._pool.primary.state
        if state is None:
            self._find(None)
        elif state.error is not None:
            raise ApiError(503, "model_not_loaded", from_engine(state.error).message)
        elif state.is_loading:
            raise ApiError(503, "model_loading", "The model is being loaded.")

    def close(self) -> None:
        for requests in list(self._requests.values()):
            requests.close()
        self._pool.stop()

    def _find(self, wanted: str | None) -> tuple[ServedModel, ModelEntry]:
        """As of the last time that the disk was looked at. Raises ApiError."""
        if wanted not in (None, ANY):
            return self._catalogue.find(wanted)
        state, last_id = self._pool.primary.state, self._last_model()
        if state is not None:
            return self._listed(state.entry)
        usable = [listed for listed in self._catalogue.models if listed[1].problem is None]
        if not usable:
            raise ApiError(503, "model_not_loaded", "There is no model yet. Add one in Hearth first.")
        return next((listed for listed in usable if listed[1].id == last_id), usable[0])

    async def _usable(self, wanted: str | None) -> tuple[ServedModel, ModelEntry]:
        """What is unknown or broken may have come or been replaced a moment ago. Raises ApiError."""
        try:
            model, entry = self._find(wanted)
            if entry.problem is None:
                return model, entry
        except ApiError:
            pass
        await self.refresh()
        model, entry = self._find(wanted)
        if entry.problem is not None:
            raise from_engine(entry.problem)
        return model, entry

    def _listed(self, entry: ModelEntry) -> tuple[ServedModel, ModelEntry]:
        """What is loaded may be newer than what is known of the disk, or gone from there."""
        return self._catalogue.of(entry) or (served_model(entry, created_s=0), entry)

    def _requests_of(self, lease: Lease) -> Requests:
        requests = self._requests.get(lease.engine)
        if requests is None:
            requests = self._requests[lease.engine] = Requests(lease.engine, ModelState(lease.info))
            lease.at_end.callback(self._forget, lease.engine)
        return requests

    def _forget(self, engine: EngineClient) -> None:
        self._requests.pop(engine).close()

    async def _reread(self) -> None:
        try:
            self._catalogue = await asyncio.to_thread(self._read)
        finally:
            self._read_s = asyncio.get_running_loop().time()
            self._refreshing = None

    def _read(self) -> Catalogue:
        """Thread: any; blocks on the disk."""
        entries, state = self._library.entries(), self._pool.primary.state
        if state is None:
            return make_catalogue(entries)
        path = state.entry.path
        # By the name that the pool knows it by, where one of the two leads through a link: it is not loaded twice.
        known = [replace(entry, path=path) if is_same_file(entry.path, path) else entry for entry in entries]
        return make_catalogue(known if any(entry.path == path for entry in known) else [*known, state.entry])


def _refused(refusal: NotLoaded) -> ApiError:
    error = from_engine(refusal.error)
    if refusal.may_pass:
        error.headers["retry-after"] = str(RETRY_AFTER_S)
    return error
