"""One model that was loaded for clients."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from app.library import ModelEntry
from app.pool.errors import NotLoaded
from app.pool.memory import Weight
from engine.client import EngineClient
from engine.config import LoadSpec
from engine.errors import ErrorInfo
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded
from engine.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Lease:
    """A model that is loaded and stays so while the lease lasts. ``engine`` may be shared with others."""

    entry: ModelEntry
    info: ModelInfo
    engine: EngineClient
    at_end: ExitStack
    """Closed when nobody will ask this engine any more; whoever keeps something for it leaves that here."""


class Slot:
    """Counts who uses the model and knows what became of its engine. Thread: the event loop's.

    It is *settled* when its engine has said that the model is loaded, or that it will not be.
    """

    def __init__(self, entry: ModelEntry) -> None:
        self.entry = entry
        self.weight: Weight | None = None
        self.client: EngineClient | None = None
        self.info: ModelInfo | None = None
        self.error: ErrorInfo | None = None
        self.n_users = 0
        self.keep_alive_s = math.inf
        self.expires_s: float | None = None
        """On the loop's clock. None while it is used, and where it stays for good."""

        self.loading: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.at_end = ExitStack()
        self._attempt: asyncio.Future[ErrorInfo | None] | None = None
        self._may_pass = False
        self._settled = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        return self.n_users == 0 and self._settled.is_set()

    @property
    def needed_bytes(self) -> int:
        """0 until it is known."""
        return self.weight.needed_bytes if self.weight is not None else 0

    def start(
        self, client: EngineClient, spec: LoadSpec, post: Callable[[Event], None]
    ) -> asyncio.Future[ErrorInfo | None]:
        """Load. Every event is handed to ``post``, on the engine's thread, and has to come to :meth:`hear`.

        Returns what will be why it does not load, or None.
        """
        self.client = client
        self._attempt = asyncio.get_running_loop().create_future()
        self.at_end.callback(client.subscribe(post))
        client.load(spec)
        return self._attempt

    def hear(self, event: Event) -> None:
        match event:
            case ModelLoaded(info):
                self.info, self.error = info, None
                self._settled.set()
                self._conclude(None)
            case LoadFailed(error=error) | EngineFailed(error=error, restarting=False):
                if not self._conclude(error):
                    self.fail(error)
            case EngineFailed():
                self.info = None
                self._settled.clear()

    def fail(self, error: ErrorInfo, *, may_pass: bool = False) -> None:
        """Whoever waits gets this error."""
        self.info, self.error, self._may_pass = None, error, may_pass
        self._settled.set()

    async def loaded(self) -> Lease:
        """Raises NotLoaded."""
        while self.info is None or self.client is None:
            await self._settled.wait()
            if self.error is not None:
                raise NotLoaded(self.error, may_pass=self._may_pass)
        return Lease(self.entry, self.info, self.client, self.at_end)

    def _conclude(self, error: ErrorInfo | None) -> bool:
        """Whether anybody still waits for the end of the load."""
        if self._attempt is None or self._attempt.done():
            return False
        self._attempt.set_result(error)
        return True
