"""The API's engines where there is one: answers for one model, whatever becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.api.engines import LoadedModel, Ready
from app.api.errors import ApiError, from_engine
from app.api.models import ServedModel
from app.api.requests import Requests
from engine.types import ModelInfo


class OneEngine:
    """Answers for one model, whatever becomes of it."""

    def __init__(self, requests: Requests, model: ServedModel) -> None:
        self._requests = requests
        self._model = model

    async def refresh(self) -> None:
        """There is nothing to look for."""

    def served(self) -> list[tuple[ServedModel, ModelInfo | None]]:
        return [(self._model, self._requests.model.info)]

    def loaded(self) -> list[LoadedModel]:
        info = self._requests.model.info
        return [] if info is None else [LoadedModel(self._model, info, info.size_bytes, None)]

    def find(self, wanted: str | None) -> tuple[ServedModel, ModelInfo | None]:
        self._model.check_name(wanted)
        return self._model, self._requests.model.info

    def give_back(self, wanted: str | None) -> None:
        self._model.check_name(wanted)

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
