"""The body of ``POST /v1/completions``, and the engine's requests that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api.errors import invalid
from app.api.fields import (
    Name,
    NTokens,
    Sampling,
    Stop,
    conversation_of,
    sampling,
    stop_strings,
)
from app.api.openai.chat_request import MAX_GRAMMAR_CHARS, NChoices, StreamOptions, several
from app.api.openai.inputs import Input, Inputs, inputs_of
from app.api.openai.messages import ResponseFormat, constraint, decoded
from engine.types import GenerationRequest, RequestId, SamplingParams

MAX_ANSWERS = 64
_USUAL_TOKENS = 16  # OpenAI's


class CompletionBody(Sampling, kw_only=True):
    prompt: Inputs
    model: Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: NTokens | None = None
    n: NChoices | None = None
    best_of: NChoices | None = None
    echo: bool | None = None
    suffix: Literal[""] | None = None
    stop: Stop | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    grammar: Annotated[str, Meta(max_length=MAX_GRAMMAR_CHARS)] | None = None
    conversation: Name | None = None


_DECODER = msgspec.json.Decoder(CompletionBody)


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """What a client asked for: ``n_each`` answers to every prompt, those to one prompt beside each other."""

    prompts: tuple[Input, ...]
    requests: tuple[GenerationRequest, ...]
    n_each: int
    model: str | None
    is_streamed: bool
    wants_usage: bool
    has_echo: bool

    @property
    def has_logprobs(self) -> bool:
        return self.requests[0].sampling.n_logprobs is not None

    def echo(self, number: int) -> str:
        """What an answer begins with: its prompt, where that is wanted."""
        prompt = self.prompts[number // self.n_each]
        return prompt if self.has_echo and isinstance(prompt, str) else ""


def parse_completion(body: bytes, request_id: RequestId, defaults: SamplingParams) -> CompletionCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decoded(body, _DECODER)
    n = asked.n or 1
    prompts = inputs_of(asked.prompt, "prompt", MAX_ANSWERS // n)
    _check(asked, prompts)
    first = GenerationRequest(
        request_id,
        (),
        _sampling(asked, defaults),
        max_tokens=asked.max_tokens or _USUAL_TOKENS,
        stop=stop_strings(asked.stop),
        conversation=conversation_of(asked.conversation),
    )
    options = asked.stream_options or StreamOptions()
    return CompletionCall(
        prompts,
        tuple(request for number, prompt in enumerate(prompts) for request in several(_on(first, number, prompt), n)),
        n,
        asked.model,
        bool(asked.stream),
        bool(options.include_usage),
        bool(asked.echo),
    )


def _on(request: GenerationRequest, number: int, prompt: Input) -> GenerationRequest:
    request_id = request.id if number == 0 else RequestId(f"{request.id}-p{number}")
    return msgspec.structs.replace(request, id=request_id, prompt=prompt)


def _check(asked: CompletionBody, prompts: tuple[Input, ...]) -> None:
    if asked.best_of is not None and asked.best_of != (asked.n or 1):
        raise invalid("best_of is not supported: it may only be what n is.", "best_of")
    if asked.echo and not all(isinstance(prompt, str) for prompt in prompts):
        raise invalid("echo needs the prompt as text.", "echo")
    if asked.echo and asked.logprobs is not None:
        raise invalid("echo and logprobs cannot go together: a prompt's tokens have no log-probabilities here.", "echo")


def _sampling(asked: CompletionBody, defaults: SamplingParams) -> SamplingParams:
    schema, grammar = constraint(asked.response_format, asked.json_schema, asked.grammar)
    return sampling(asked, defaults, json_schema=schema, grammar=grammar, n_logprobs=asked.logprobs)
