"""Which models are in memory for clients: loaded when one asks, given back by time or by need."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from app.library import ModelEntry
from app.pool.errors import NotLoaded, closing, no_place, no_room, none_allowed, too_many
from app.pool.memory import Machine, Weight
from app.pool.primary import Primary, PrimaryState
from app.pool.slot import Lease, Slot
from app.settings import Settings
from engine.client import EngineClient
from engine.config import LoadSpec
from engine.errors import ErrorInfo, KnownError
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded
from engine.plan import CPU_DEVICE
from engine.types import ModelInfo

_logger = logging.getLogger(__name__)

MAX_LEASES = 1024
BROKEN_S = 5.0
"""How long a file that did not load is not tried again, as long as it is the same."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """``n_models`` counts those for clients, beside the window's own. ``idle_s`` is how long one stays unused."""

    n_models: int = 2
    idle_s: float = 600.0

    @classmethod
    def of(cls, settings: Settings) -> PoolLimits:
        return cls(settings.api_n_models, settings.api_idle_minutes * 60.0)


@dataclass(frozen=True, slots=True)
class Held:
    """A model that is in memory or on its way there. ``expires_in_s`` is None where it stays, for now or for good."""

    entry: ModelEntry
    info: ModelInfo | None
    needed_bytes: int
    expires_in_s: float | None


class Offload(Protocol):
    """Does on another thread what blocks, as asyncio.to_thread does."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class _Broken:
    identity: tuple[int, int]
    error: ErrorInfo
    until_s: float


class ModelPool:
    """Thread: that of the event loop in which it is made, alone. End it with :meth:`close`.

    A model that the primary engine has is shared with the window: it is never loaded twice, and never given back from
    here. Each other one has an engine of its own. They are loaded one at a time, because free memory can be measured
    only while nobody is taking it.
    """

    def __init__(
        self,
        primary: Primary,
        make_client: Callable[[], EngineClient],
        spec_of: Callable[[ModelEntry], LoadSpec],
        machine: Machine,
        limits: Callable[[], PoolLimits] = PoolLimits,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        """``limits`` and ``spec_of`` are asked anew for each load; ``spec_of`` may block."""
        self.primary = primary
        self._make_client = make_client
        self._spec_of = spec_of
        self._machine = machine
        self._limits = limits
        self._offload = offload
        self._loop = asyncio.get_running_loop()
        self._slots: dict[Path, Slot] = {}  # the one used last at the end
        self._broken: dict[Path, _Broken] = {}
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._yielding: asyncio.Task[None] | None = None
        self._primary_changed = asyncio.Event()
        self._primary_path: Path | None = None
        self._primary_bytes = 0
        self._primary_end = ExitStack()
        self._n_leases = 0
        self._is_closed = False
        self._unsubscribe = primary.subscribe(partial(self._post, self._follow_primary))
        self._follow_primary()

    @asynccontextmanager
    async def lease(self, entry: ModelEntry, keep_alive_s: float | None = None) -> AsyncIterator[Lease]:
        """Load the model if need be, and keep it until the end and ``keep_alive_s`` longer.

        None is the usual time; the latest lease decides. A load that nobody waits for any more is stopped.
        Raises NotLoaded.
        """
        if self._n_leases >= MAX_LEASES:
            raise too_many()
        self._n_leases += 1
        try:
            own = await self._own(entry)
            if own is not None:
                yield own
                return
            slot = self._take(entry, keep_alive_s)
            try:
                yield await slot.loaded()
            finally:
                self._release(slot)
        finally:
            self._n_leases -= 1

    def give_back(self, entry: ModelEntry) -> None:
        """Unload a model now, or when nobody uses it any more. Nothing happens where it was not loaded for clients."""
        slot = self._slots.get(entry.path)
        if slot is not None:
            slot.keep_alive_s = 0.0
            if slot.is_idle:
                self._end(slot)

    def info(self, entry: ModelEntry) -> ModelInfo | None:
        """What is known of a model while it is loaded."""
        state = self.primary.state
        if state is not None and state.entry.path == entry.path:
            return state.info
        slot = self._slots.get(entry.path)
        return slot.info if slot is not None else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the models that are held for clients. Thread: any."""
        return tuple(self._slots)

    def held(self) -> list[Held]:
        """The primary engine's model, then those for clients, the one used last first."""
        state, now_s = self.primary.state, self._loop.time()
        own = [] if state is None or state.error is not None else [self._held_by_primary(state)]
        others = [
            Held(slot.entry, slot.info, slot.needed_bytes, slot.expires_s and max(0.0, slot.expires_s - now_s))
            for slot in reversed(self._slots.values())
        ]
        return own + others

    def stop(self) -> None:
        """Load nothing more; whoever waits for a model gets an error."""
        if self._is_closed:
            return
        self._is_closed = True
        self._unsubscribe()
        self._primary_changed.set()
        for slot in self._slots.values():
            if slot.info is None:
                slot.fail(closing().error)

    async def close(self) -> None:
        """Give everything back that was loaded for clients. Returns when their processes are gone."""
        self.stop()
        if self._yielding is not None:
            self._yielding.cancel()
        for slot in list(self._slots.values()):
            self._end(slot)
            self._let_go(slot)
        self._primary_end.close()
        await self._all_left()

    # The primary engine.

    async def _own(self, entry: ModelEntry) -> Lease | None:
        """The window's own engine if it has this model. Raises NotLoaded."""
        while not self._is_closed:
            changed = self._primary_changed
            state = self.primary.state
            if state is None or state.entry.path != entry.path:
                return None
            if state.error is not None:
                raise NotLoaded(state.error)
            if state.info is not None:
                return Lease(entry, state.info, self.primary.engine, self._primary_end)
            await changed.wait()
        raise closing()

    def _follow_primary(self) -> None:
        self._primary_changed.set()
        self._primary_changed = asyncio.Event()
        state = self.primary.state
        path = state.entry.path if state is not None else None
        if self._is_closed or path == self._primary_path:
            return
        self._primary_path, self._primary_bytes = path, 0
        if self._yielding is not None:
            self._yielding.cancel()
        if state is not None:
            self.give_back(state.entry)
            self._yielding = asyncio.create_task(self._yield_to(state.entry))

    async def _yield_to(self, entry: ModelEntry) -> None:
        """What the user loads goes first: idle models make room for it as far as they can."""
        try:
            spec = await self._offload(partial(self._spec_of, entry))
            weight = await self._offload(partial(_weigh, self._machine, entry, spec))
        except KnownError:
            return  # its engine tells
        self._primary_bytes = weight.needed_bytes
        missing_bytes = weight.needed_bytes - await self._offload(self._machine.free_bytes)
        for slot in _fewest(self._idle(), missing_bytes, 0):
            self._end(slot)

    def _held_by_primary(self, state: PrimaryState) -> Held:
        return Held(state.entry, state.info, self._primary_bytes or state.entry.size_bytes, None)

    async def _primary_settled(self) -> None:
        """It takes memory while it loads, so that nobody could tell how much is left."""
        while (state := self.primary.state) is not None and state.is_loading and not self._is_closed:
            await self._primary_changed.wait()

    # Models for clients.

    def _take(self, entry: ModelEntry, keep_alive_s: float | None) -> Slot:
        if self._is_closed:
            raise closing()
        slot = self._slots.pop(entry.path, None)
        if slot is None:
            slot = Slot(entry)
            slot.loading = asyncio.create_task(self._bring(slot))
        self._slots[entry.path] = slot
        slot.n_users += 1
        slot.keep_alive_s = self._limits().idle_s if keep_alive_s is None else keep_alive_s
        slot.expires_s = None
        if slot.timer is not None:
            slot.timer.cancel()
        return slot

    def _release(self, slot: Slot) -> None:
        slot.n_users -= 1
        if slot.n_users:
            return
        if self._slots.get(slot.entry.path) is not slot:  # it came to an end while it was used
            self._let_go(slot)
            return
        self._slots[slot.entry.path] = self._slots.pop(slot.entry.path)
        if not slot.is_idle or slot.keep_alive_s <= 0 or self._primary_path == slot.entry.path:
            self._end(slot)
        elif not math.isinf(slot.keep_alive_s):
            slot.expires_s = self._loop.time() + slot.keep_alive_s
            slot.timer = self._loop.call_at(slot.expires_s, self._end, slot)

    def _end(self, slot: Slot) -> None:
        """Nobody gets it any more; its memory is given back when nobody uses it."""
        if self._slots.get(slot.entry.path) is slot:
            del self._slots[slot.entry.path]
        if slot.timer is not None:
            slot.timer.cancel()
        if slot.loading is not None:
            slot.loading.cancel()
        if slot.n_users == 0:
            self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        slot.at_end.close()
        client, slot.client = slot.client, None
        if client is not None:
            client.unload()
            leaving = asyncio.create_task(self._leave(client))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, client: EngineClient) -> None:
        await self._offload(client.close)

    async def _all_left(self) -> None:
        while self._leaving:
            await asyncio.wait(self._leaving)

    # Loading.

    async def _bring(self, slot: Slot) -> None:
        """Settle the slot, whatever happens."""
        try:
            await self._load(slot)
        except NotLoaded as refusal:
            slot.fail(refusal.error, may_pass=refusal.may_pass)
        except KnownError as error:
            slot.fail(ErrorInfo.of(error))
        except Exception as error:
            _logger.exception("a model could not be loaded for clients")
            slot.fail(ErrorInfo.of(error))
        slot.loading = None
        if slot.error is not None:
            self._end(slot)

    async def _load(self, slot: Slot) -> None:
        """Raises NotLoaded, and KnownError where the file cannot be read."""
        spec = await self._offload(partial(self._spec_of, slot.entry))
        slot.weight = await self._offload(partial(_weigh, self._machine, slot.entry, spec))
        async with self._turn:
            error: ErrorInfo | None = self._known_failure(slot)
            if error is not None:
                raise NotLoaded(error)
            await self._make_room(slot)
            while (error := await self._attempt(slot, spec)) is not None:
                victims = _fewest(self._idle(), 0, 1) if error.kind == "OutOfMemory" else []
                if not victims:
                    self._remember_failure(slot, error)
                    raise NotLoaded(error)
                self._end(victims[0])
                await self._all_left()

    async def _attempt(self, slot: Slot, spec: LoadSpec) -> ErrorInfo | None:
        """Why it does not load, or None."""
        error = await slot.start(self._make_client(), spec, partial(self._listen, slot))
        if error is not None:
            self._let_go(slot)
        return error

    async def _make_room(self, slot: Slot) -> None:
        """Give back what is idle until the model fits. Raises NotLoaded where that is not enough."""
        while True:
            await self._all_left()
            await self._primary_settled()
            missing_bytes = slot.needed_bytes - await self._offload(self._machine.free_bytes)
            n_excess = 1 + sum(other.client is not None for other in self._slots.values()) - self._limits().n_models
            if missing_bytes <= 0 and n_excess <= 0:
                return
            victims = _fewest(self._idle(), missing_bytes, n_excess)
            if len(victims) < n_excess or sum(victim.needed_bytes for victim in victims) < missing_bytes:
                raise self._refusal(slot, missing_bytes, is_full=len(victims) < n_excess)
            for victim in victims:
                self._end(victim)

    def _idle(self) -> list[Slot]:
        """The one used last at the end."""
        return [slot for slot in self._slots.values() if slot.is_idle]

    def _refusal(self, slot: Slot, missing_bytes: int, *, is_full: bool) -> NotLoaded:
        name, others = slot.entry.name, [other for other in self._slots.values() if other.client is not None]
        used = [f"{other.entry.name} ({'idle' if other.is_idle else 'in use'})" for other in others]
        if is_full:
            return no_place(name, used) if used else none_allowed(name)
        state = self.primary.state
        own = [f"{state.entry.name} (Hearth's own)"] if state is not None and state.info is not None else []
        return no_room(name, slot.needed_bytes, missing_bytes, own + used, may_pass=bool(used))

    def _known_failure(self, slot: Slot) -> ErrorInfo | None:
        known = self._broken.get(slot.entry.path)
        is_same = known is not None and slot.weight is not None and known.identity == slot.weight.identity
        return known.error if known is not None and is_same and self._loop.time() < known.until_s else None

    def _remember_failure(self, slot: Slot, error: ErrorInfo) -> None:
        now_s = self._loop.time()
        self._broken = {path: known for path, known in self._broken.items() if now_s < known.until_s}
        if slot.weight is not None:
            self._broken[slot.entry.path] = _Broken(slot.weight.identity, error, now_s + BROKEN_S)

    # What engines say.

    def _post(self, work: Callable[[], None]) -> None:
        """Do it on the loop's thread. Thread: an engine's."""
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            _logger.info("an event came after the server's loop was closed")

    def _listen(self, slot: Slot, event: Event) -> None:
        """Thread: an engine's."""
        if isinstance(event, ModelLoaded | LoadFailed | EngineFailed):
            self._post(partial(self._hear, slot, event))

    def _hear(self, slot: Slot, event: Event) -> None:
        slot.hear(event)
        if slot.error is not None and slot.loading is None:
            self._remember_failure(slot, slot.error)
            self._end(slot)


def _weigh(machine: Machine, entry: ModelEntry, spec: LoadSpec) -> Weight:
    """What it takes of the machine's memory: what is planned for it, or an estimate where nothing is. Blocks."""
    weight = machine.weigh(entry, spec.config)
    planned = [share.total_bytes for share in spec.planned if share.device == CPU_DEVICE]
    return replace(weight, needed_bytes=sum(planned)) if planned else weight


def _fewest(idle: Sequence[Slot], missing_bytes: int, n_excess: int) -> list[Slot]:
    """As many of these, from the first, as have that much memory together; all where even that is not enough."""
    chosen: list[Slot] = []
    for slot in idle:
        if missing_bytes <= 0 and len(chosen) >= n_excess:
            break
        chosen.append(slot)
        missing_bytes -= slot.needed_bytes
    return chosen
