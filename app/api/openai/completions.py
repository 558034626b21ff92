"""``POST /v1/completions``: prompts that are gone on from as they stand, without a chat template."""

from __future__ import annotations

import time

from starlette.types import Receive, Scope, Send

from app.api.engines import Engines
from app.api.exchange import Exchange
from app.api.fields import check_can_chat, check_tokens
from app.api.openai.answers import completed, opened
from app.api.openai.completions_request import CompletionCall, parse_completion
from app.api.openai.completions_response import CompletionWriter
from app.api.openai.inputs import check_inputs
from app.api.openai.streaming import new_id, stream
from engine.types import ModelInfo, SamplingParams


class CompletionEndpoint:
    """An ASGI application."""

    def __init__(self, engines: Engines, defaults: SamplingParams) -> None:
        self._engines = engines
        self._defaults = defaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError, before anything was sent."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is not None:
            call = parse_completion(body, new_id("cmpl-"), self._defaults)
            await exchange.run(self._answer(call, exchange))

    async def _answer(self, call: CompletionCall, exchange: Exchange) -> None:
        async with self._engines.ready(call.model) as ready:
            _check(call, ready.info)
            writer = CompletionWriter(call, int(time.time()), ready.model.id)
            are_alike = call.n_each == len(call.requests)
            async with opened(ready.requests, call.requests, exchange.overrun, are_alike=are_alike) as feeds:
                if call.is_streamed:
                    await stream(feeds, writer, exchange)
                else:
                    await exchange.respond(writer.completion(await completed(feeds, len(call.requests))))


def _check(call: CompletionCall, info: ModelInfo | None) -> None:
    check_can_chat(info)
    check_inputs(call.prompts, info, "prompt")
    check_tokens([token for token, _ in call.requests[0].sampling.logit_bias], info, "logit_bias")
