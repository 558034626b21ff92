"""What can go wrong, as a tree.

::

    HearthError
    ├─ KnownError            the environment or the input: has .text and .hint for a person
    │  ├─ ModelFileError     missing, unreadable, not GGUF, damaged
    │  │  └─ ModelNotSupported   whole, but nothing that this version can run
    │  ├─ OutOfMemory        the model or its context does not fit
    │  ├─ ContextTooLong     the prompt does not fit into the context
    │  ├─ InvalidRequest     a value out of range
    │  ├─ TemplateError      the model's chat template failed or ran away
    │  ├─ EngineBusy         the queue is full
    │  ├─ NoModel            nothing is loaded
    │  ├─ EngineStopped      the worker process died or hung
    │  └─ StorageError       a file of ours cannot be read or written
    ├─ Cancelled             somebody asked for it; shown to nobody
    └─ BugError              an invariant of ours is broken

An error crosses the process boundary as :class:`ErrorInfo`. Each edge (dialog, HTTP, exit code) has one mapper.
"""

from __future__ import annotations

import msgspec


class HearthError(Exception):
    """The root. Never raised itself."""


class KnownError(HearthError):
    """Not our fault: ``text`` says what happened and why, ``hint`` what to do next (may be empty)."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text} {self.hint}".strip()


class ModelFileError(KnownError):
    pass


class ModelNotSupported(ModelFileError):
    pass


class OutOfMemory(KnownError):
    pass


class ContextTooLong(KnownError):
    """``n_prompt`` tokens were asked for where ``n_ctx`` fit."""

    def __init__(self, n_prompt: int, n_ctx: int) -> None:
        super().__init__(
            f"This conversation is {n_prompt:,} tokens long, but the context holds {n_ctx:,}.",
            "Start a new conversation, or raise the context length in the settings.",
        )
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class InvalidRequest(KnownError):
    pass


class TemplateError(KnownError):
    pass


class EngineBusy(KnownError):
    pass


class NoModel(KnownError):
    def __init__(self) -> None:
        super().__init__("No model is loaded.", "Pick a model first.")


class EngineStopped(KnownError):
    pass


class StorageError(KnownError):
    pass


class Cancelled(HearthError):
    pass


class BugError(HearthError):
    pass


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error as a value. ``kind`` is the class name; ``detail`` is for the log and the "details" button."""

    kind: str
    text: str
    hint: str = ""
    detail: str = ""

    @classmethod
    def of(cls, error: BaseException, detail: str = "") -> ErrorInfo:
        """Describe any exception; one that is not a KnownError becomes a BugError with its type and text."""
        if isinstance(error, KnownError):
            return cls(type(error).__name__, error.text, error.hint, detail)
        return cls(
            "BugError",
            "Something went wrong inside Hearth.",
            "The log has the details. The conversation is kept; try again.",
            detail or f"{type(error).__name__}: {error}",
        )

    @property
    def sentence(self) -> str:
        return f"{self.text} {self.hint}".strip()
