"""The engine as everybody else sees it: verbs that return at once, and events."""

from engine.client.api import EngineClient, EventSink
from engine.client.supervisor import WorkerClient

__all__ = ["EngineClient", "EventSink", "WorkerClient"]
