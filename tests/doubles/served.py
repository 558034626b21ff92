"""What a test's API answers with: one engine that follows a script. Imports the server only when it is turned on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from engine.client import EngineClient
from tests.doubles.engine import make_model_info

if TYPE_CHECKING:
    from app.api.engines import Engines


def serving(engine: EngineClient) -> Callable[[], AbstractAsyncContextManager[Engines]]:
    """For an ApiService: the engine has loaded a model that clients call "tiny"."""

    @asynccontextmanager
    async def open_engines() -> AsyncIterator[Engines]:
        from app.api.models import ServedModel
        from app.api.requests import ModelState, Requests
        from tests.doubles.one_engine import OneEngine

        requests = Requests(engine, ModelState(info=make_model_info()))
        yield OneEngine(requests, ServedModel("tiny", "Tiny Model", 1_700_000_000))

    return open_engines
