"""What the transcript shows of a message. It knows nothing else about one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MessageStatus(StrEnum):
    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MessageView:
    """``text`` of a user is shown as it is, that of a model is Markdown.

    ``thought`` is what the model thought before it, for ``thought_s`` seconds.

    ``facts`` stands small on the right under an answer; ``error`` is the sentence of a failed or interrupted one.
    ``sibling_number`` counts from 1. ``is_first_seen``: the model does not see the messages above this one.
    """

    id: int
    is_user: bool
    text: str
    status: MessageStatus = MessageStatus.COMPLETE
    facts: str = ""
    facts_tooltip: str = ""
    error: str | None = None
    sibling_number: int = 1
    n_siblings: int = 1
    is_first_seen: bool = False
    thought: str = ""
    thought_s: float | None = None

    @property
    def has_failed(self) -> bool:
        return self.status in (MessageStatus.FAILED, MessageStatus.INTERRUPTED)
