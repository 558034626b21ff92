"""An engine client that does what a test says, at once and on the caller's thread."""

from __future__ import annotations

from collections.abc import Callable

from engine.config import LoadSpec
from engine.events import Event, ModelLoaded, RequestFinished, RequestStarted, TokensEmitted
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


def make_model_info(path: str = "/models/tiny.gguf", name: str = "Tiny") -> ModelInfo:
    return ModelInfo(
        path=path,
        name=name,
        architecture="llama",
        description="llama 1M Q4_0",
        n_params=1_000_000,
        size_bytes=1_000_000,
        n_ctx_train=8192,
        n_ctx=4096,
        n_vocab=1000,
        n_threads=2,
        has_chat_template=True,
        load_s=0.1,
    )


class FakeEngineClient:
    def __init__(self) -> None:
        self.loads: list[LoadSpec] = []
        self.submitted: list[GenerationRequest] = []
        self.cancelled: list[RequestId] = []
        self.embeddings: list[EmbeddingRequest] = []
        self.counted: list[GenerationRequest] = []
        self.read_aheads: list[tuple[str | None, tuple[ChatMessage, ...]]] = []
        self.pins: list[tuple[str, bool]] = []
        self.drops: list[str] = []
        self.budgets: list[tuple[int, int]] = []
        self.unloads = 0
        self.closed = False
        self._sinks: list[Callable[[Event], None]] = []

    def load(self, spec: LoadSpec) -> None:
        self.loads.append(spec)

    def unload(self) -> None:
        self.unloads += 1

    def submit(self, request: GenerationRequest) -> None:
        self.submitted.append(request)

    def cancel(self, request_id: RequestId) -> None:
        self.cancelled.append(request_id)

    def embed(self, request: EmbeddingRequest) -> None:
        self.embeddings.append(request)

    def count(self, request: GenerationRequest) -> None:
        self.counted.append(request)

    def read_ahead(
        self, conversation: str | None, messages: tuple[ChatMessage, ...], overflow: Overflow = Overflow.STOP
    ) -> None:
        self.read_aheads.append((conversation, messages))

    def pin(self, conversation: str, is_pinned: bool) -> None:
        self.pins.append((conversation, is_pinned))

    def drop(self, conversation: str) -> None:
        self.drops.append(conversation)

    def set_cache_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        self.budgets.append((ram_bytes, disk_bytes))

    def subscribe(self, sink: Callable[[Event], None]) -> Callable[[], None]:
        self._sinks.append(sink)
        return lambda: self._sinks.remove(sink)

    def close(self) -> None:
        self.closed = True

    def emit(self, event: Event) -> None:
        for sink in list(self._sinks):
            sink(event)

    def finish_loading(self, path: str = "/models/tiny.gguf", name: str = "Tiny") -> None:
        self.emit(ModelLoaded(make_model_info(path, name)))

    def answer(self, request_id: RequestId, text: str, reason: FinishReason = FinishReason.END_OF_TURN) -> None:
        self.emit(RequestStarted(request_id, n_prompt=20, n_cached=4))
        words = text.split(" ")
        for n, word in enumerate(words, 1):
            self.emit(TokensEmitted(request_id, word if n == 1 else " " + word, n))
        self.finish(request_id, len(words), reason)

    def finish(self, request_id: RequestId, n_output: int, reason: FinishReason = FinishReason.END_OF_TURN) -> None:
        usage = Usage(n_prompt=20, n_cached=4, n_output=n_output, n_ctx=4096)
        self.emit(RequestFinished(request_id, reason, usage, Timings(queued_s=0.0, first_token_s=0.05, decode_s=0.5)))
