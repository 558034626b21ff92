"""What the window, the API and the command line may ask of an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.config import LoadSpec
from engine.events import Event
from engine.types import GenerationRequest, RequestId

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

    def subscribe(self, sink: EventSink) -> Callable[[], None]:
        """Get every event from now on, in order. The sink runs on the client's thread and must be quick.

        Returns the function that ends the subscription.
        """

    def close(self) -> None:
        """End the worker and the client's threads. Blocks until they are gone."""
