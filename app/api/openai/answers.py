"""What was said, put together, and several answers that are given at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from app.api.errors import from_engine
from app.api.requests import Feed, Heard, Requests
from engine.events import RequestFailed, RequestFinished, TokensEmitted
from engine.types import GenerationRequest, TokenLogprob, ToolCall, ToolCallPart


@dataclass(slots=True)
class Answer:
    """One answer as far as it has come. ``n_reasoning`` counts the tokens up to the end of its reasoning."""

    logprobs: list[TokenLogprob] = field(default_factory=list)
    n_reasoning: int = 0
    finished: RequestFinished | None = None
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: dict[int, list[ToolCallPart]] = field(default_factory=dict)

    def add(self, event: TokensEmitted) -> None:
        self._text.append(event.text)
        self.logprobs += event.logprobs
        if event.reasoning:
            self._reasoning.append(event.reasoning)
            self.n_reasoning = event.n_tokens
        for part in event.calls:
            self._calls.setdefault(part.index, []).append(part)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, in order; the arguments of each are JSON text."""
        return tuple(_call(self._calls[index]) for index in sorted(self._calls))


class Feeds:
    """The events of some requests, each with its request's number."""

    def __init__(self, requests: Requests, overrun: asyncio.Future[None], stack: ExitStack) -> None:
        self._requests = requests
        self._overrun = overrun
        self._stack = stack
        self._feeds: list[Feed] = []
        self._due: Sequence[GenerationRequest] = ()
        self._taking: dict[asyncio.Future[list[Heard]], int] = {}

    def submit(self, asked: Sequence[GenerationRequest], due: Sequence[GenerationRequest]) -> None:
        """Submit what is ``asked`` now, and what is ``due`` when the first of them has begun to answer."""
        self._due = due
        for request in asked:
            self._feeds.append(self._stack.enter_context(self._requests.opened(request, self._overrun)))

    async def take(self) -> list[tuple[int, Heard]]:
        """What came since the last call, at least one event, and nothing behind a failure.

        Only while neither one has failed nor all of them have ended.
        """
        if len(self._feeds) == 1:
            heard = await self._feeds[0].take()
            if self._due and not isinstance(heard[-1], RequestFailed):
                self.submit(self._due, ())
            return [(0, event) for event in heard]
        if not self._taking:
            self._await_all()
        done, _ = await asyncio.wait(self._taking, return_when=asyncio.FIRST_COMPLETED)
        events = [(number, event) for number, heard in map(self._taken, done) for event in heard]
        n_good = next((n for n, (_, event) in enumerate(events) if isinstance(event, RequestFailed)), len(events))
        return events[: n_good + 1]

    def close(self) -> None:
        for task in self._taking:
            task.cancel()

    def _await_all(self) -> None:
        """Also one that has ended by now: what it said last may not have been taken. Nothing more comes from it."""
        for number, feed in enumerate(self._feeds):
            self._await_one(number, feed)

    def _await_one(self, number: int, feed: Feed) -> None:
        self._taking[asyncio.ensure_future(feed.take())] = number

    def _taken(self, task: asyncio.Future[list[Heard]]) -> tuple[int, list[Heard]]:
        number, events = self._taking.pop(task), task.result()
        if isinstance(events[-1], TokensEmitted):
            self._await_one(number, self._feeds[number])
        return number, events


@asynccontextmanager
async def opened(
    requests: Requests, asked: Sequence[GenerationRequest], overrun: asyncio.Future[None], *, are_alike: bool = False
) -> AsyncIterator[Feeds]:
    """Submit the requests; those the engine is not done with at the end are cancelled. Raises ApiError.

    Of requests that ``are_alike`` in all but their seeds, the first has its prompt read before the others are
    submitted, so that it is read once.
    """
    with ExitStack() as stack:
        feeds = Feeds(requests, overrun, stack)
        try:
            n_first = 1 if are_alike else len(asked)
            feeds.submit(asked[:n_first], asked[n_first:])
            yield feeds
        finally:
            feeds.close()


async def completed(feeds: Feeds, n: int) -> list[Answer]:
    """All ``n`` answers when they are complete. Raises ApiError as soon as one of them fails."""
    answers = [Answer() for _ in range(n)]
    n_left = n
    while n_left:
        for number, event in await feeds.take():
            match event:
                case TokensEmitted():
                    answers[number].add(event)
                case RequestFinished():
                    answers[number].finished = event
                    n_left -= 1
                case RequestFailed(error=error):
                    raise from_engine(error)
    return answers


async def whole(feeds: Feeds) -> tuple[list[TokensEmitted], RequestFinished]:
    """Everything that the only request says, and how it ended. Raises ApiError."""
    said: list[TokensEmitted] = []
    while True:
        for _, event in await feeds.take():
            match event:
                case TokensEmitted():
                    said.append(event)
                case RequestFinished():
                    return said, event
                case RequestFailed(error=error):
                    raise from_engine(error)


def _call(parts: Sequence[ToolCallPart]) -> ToolCall:
    return ToolCall(parts[0].id, parts[0].name, "".join(part.arguments for part in parts))
