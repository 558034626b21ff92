"""What the window, the API and the command line may ask of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.config import LoadSpec
from engine.events import Event
from engine.types import ChatMessage, EmbeddingRequest, GenerationRequest, Overflow, RequestId

EventSink = Callable[[Event], None]


class EngineClient(Protocol):
    """Thread: any. Every method returns at once; what came of it arrives as events."""

    def load(self, spec: LoadSpec) -> None:
        """Replace the loaded model: ModelLoading, then ModelLoaded or LoadFailed."""

    def unload(self) -> None:
        """Give the memory back: ModelUnloaded, if anything was loaded."""

    def submit(self, request: GenerationRequest) -> None:
        """Ask for an answer. While a model loads, the request waits for it.

        Exactly one RequestFinished or RequestFailed follows, whatever dies.
        """

    def cancel(self, request_id: RequestId) -> None:
        """Stop a request; it finishes as cancelled. Unknown and finished ones are ignored."""

    def embed(self, request: EmbeddingRequest) -> None:
        """Ask for vectors. Exactly one Embedded or RequestFailed follows, whatever dies."""

    def count(self, request: GenerationRequest) -> None:
        """Ask how long a prompt is. Exactly one PromptCounted or RequestFailed follows, whatever dies."""

    def read_ahead(
        self, conversation: str | None, messages: tuple[ChatMessage, ...], overflow: Overflow = Overflow.STOP
    ) -> None:
        """Prefill what will probably be asked next while nothing else is to be done; PromptMeasured answers.

        Each call replaces the one before; without messages the reading ahead ends. Ignored where no model is ready.
        """

    def pin(self, conversation: str, is_pinned: bool) -> None:
        """Keep a conversation's KV cache longest, or no longer. Remembered for every model that is loaded later."""

    def drop(self, conversation: str) -> None:
        """Forget a conversation's KV cache; its text is not touched."""

    def set_cache_budgets(self, ram_bytes: int, disk_bytes: int) -> None: ...

    def subscribe(self, sink: EventSink) -> Callable[[], None]:
        """Get every event from now on, in order. The sink runs on the client's thread and must be quick.

        Returns the function that ends the subscription.
        """

    def close(self) -> None:
        """End the worker and the client's threads. Blocks until they are gone."""
