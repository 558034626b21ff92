"""Answers that are being written: what has arrived, and what of it is on the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from app.chats.types import AnswerStats, AnswerUpdate, MessageState, Reasoning
from engine.errors import ErrorInfo

SAVE_INTERVAL_S = 1.0
"""A crash costs at most this much of an answer's text, or less than a pause of the engine."""


@dataclass(slots=True)
class _Answer:
    """``revision`` counts changes; the answer is saved up to ``saved_revision``."""

    message_id: int
    conversation_id: int
    model_name: str | None
    saved_at_s: float
    parts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    thinks_since_s: float | None = None
    thought_s: float = 0.0
    state: MessageState = MessageState.STREAMING
    stats: AnswerStats | None = None
    error: ErrorInfo | None = None
    n_dropped: int | None = None
    stopping: bool = False
    revision: int = 0
    saved_revision: int = 0

    def snapshot(self) -> AnswerUpdate:
        self.parts = ["".join(self.parts)]
        return AnswerUpdate(
            self.message_id, self.parts[0], self.state, self.stats, self.error, self.n_dropped, self._reasoning()
        )

    def add(self, text: str, reasoning: str, now_s: float) -> None:
        if reasoning and self.thinks_since_s is None:
            self.thinks_since_s = now_s
        if self.thinks_since_s is not None and not any(self.parts):
            self.thought_s = now_s - self.thinks_since_s
        if text:
            self.parts.append(text)
        if reasoning:
            self.thoughts.append(reasoning)
        self.revision += 1

    def _reasoning(self) -> Reasoning | None:
        self.thoughts = ["".join(self.thoughts)]
        return Reasoning(self.thoughts[0], self.thought_s) if self.thoughts[0] else None

    @property
    def streams(self) -> bool:
        return self.state is MessageState.STREAMING


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What to write, and which revision of each answer that is."""

    updates: tuple[AnswerUpdate, ...]
    revisions: tuple[int, ...]


class LiveAnswers:
    """Thread: any; nothing here blocks. An answer is here from before it is submitted until its end is on the disk."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[int, _Answer] = {}

    def begin(self, message_id: int, conversation_id: int, model_name: str | None) -> None:
        with self._lock:
            self._answers[message_id] = _Answer(message_id, conversation_id, model_name, self._clock())

    def start(self, message_id: int, n_dropped: int) -> None:
        """The engine has begun with it, and left ``n_dropped`` messages out."""
        with self._lock:
            answer = self._answers.get(message_id)
            if answer is not None:
                answer.n_dropped = n_dropped

    def append(self, message_id: int, text: str, reasoning: str = "") -> bool:
        """Returns whether it is time to save."""
        with self._lock:
            answer = self._answers.get(message_id)
            if answer is None or not answer.streams:
                return False
            now_s = self._clock()
            answer.add(text, reasoning, now_s)
            due = now_s - answer.saved_at_s >= SAVE_INTERVAL_S
            if due:
                answer.saved_at_s = now_s
            return due

    def end(
        self,
        message_id: int,
        state: MessageState,
        stats: AnswerStats | None = None,
        error: ErrorInfo | None = None,
    ) -> bool:
        """Returns whether such an answer was streaming."""
        with self._lock:
            answer = self._answers.get(message_id)
            if answer is None or not answer.streams:
                return False
            answer.state, answer.stats, answer.error = state, stats, error
            answer.revision += 1
            return True

    def end_all(self, state: MessageState) -> None:
        with self._lock:
            ids = list(self._answers)
        for message_id in ids:
            self.end(message_id, state)

    def stop(self, message_id: int) -> bool:
        """Note that its end was asked for. Returns whether it streams."""
        with self._lock:
            answer = self._answers.get(message_id)
            if answer is None or not answer.streams:
                return False
            answer.stopping = True
            return True

    def model_name(self, message_id: int) -> str | None:
        with self._lock:
            answer = self._answers.get(message_id)
            return answer.model_name if answer else None

    def get(self, message_id: int) -> AnswerUpdate | None:
        with self._lock:
            answer = self._answers.get(message_id)
            return answer.snapshot() if answer else None

    def expected(self, conversation_id: int) -> list[int]:
        """Answers of a conversation that stream and that nobody has asked to stop."""
        with self._lock:
            answers = [a for a in self._answers.values() if a.conversation_id == conversation_id]
            return [a.message_id for a in answers if a.streams and not a.stopping]

    def unsaved(self) -> Unsaved:
        with self._lock:
            answers = [answer for answer in self._answers.values() if answer.revision > answer.saved_revision]
            return Unsaved(tuple(a.snapshot() for a in answers), tuple(a.revision for a in answers))

    def saved(self, what: Unsaved) -> None:
        """Forget the answers whose end is on the disk."""
        with self._lock:
            for update, revision in zip(what.updates, what.revisions, strict=True):
                answer = self._answers[update.message_id]
                answer.saved_revision = revision
                if not answer.streams and answer.revision == revision:
                    del self._answers[update.message_id]
