"""Which models the API answers for, and which engine answers for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from app.api.errors import ApiError, from_engine
from app.api.models import ServedModel
from app.api.requests import Requests
from engine.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Ready:
    """A model that is loaded and stays so while it is used. ``info`` is None only in the moment before it is known."""

    model: ServedModel
    info: ModelInfo | None
    requests: Requests


class Engines(Protocol):
    """Thread: the event loop's."""

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        """Every model a client may ask for; with its facts while it is loaded."""

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        """The model of this id or name; None and "default" mean whatever is loaded. Raises ApiError."""

    @asynccontextmanager
    def ready(self, wanted: str | None, keep_alive_s: float | None = None) -> AsyncIterator[Ready]:
        """Load the model if need be, and keep it while it is used and ``keep_alive_s`` longer.

        Zero gives it back at once, None is the usual time, infinity is for good. Raises ApiError.
        """
        ...

    def check(self) -> None:
        """Raises ApiError where nothing could be answered now."""

    def close(self) -> None:
        """Every request that is under way ends with an error."""


class OneEngine:
    """Answers for one model, whatever becomes of it."""

    def __init__(self, requests: Requests, model: ServedModel) -> None:
        self._requests = requests
        self._model = model

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        return [(self._model, self._requests.model.info)]

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        self._model.check_name(wanted)
        return self._model, self._requests.model.info

    @asynccontextmanager
    async def ready(self, wanted: str | None, keep_alive_s: float | None = None) -> AsyncIterator[Ready]:
        self._model.check_name(wanted)
        yield Ready(self._model, self._requests.model.info, self._requests)

    def check(self) -> None:
        state = self._requests.model
        if state.error is not None:
            raise ApiError(503, "model_not_loaded", from_engine(state.error).message)
        if state.info is None:
            raise ApiError(503, "model_loading", "The model is being loaded.")

    def close(self) -> None:
        self._requests.close()
