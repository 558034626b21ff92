"""Why a model could not be had, in words for whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ErrorInfo


class NotLoaded(Exception):
    """``may_pass`` tells that asking again in a moment may help: what is in the way is in use just now."""

    def __init__(self, error: ErrorInfo, *, may_pass: bool = False) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.may_pass = may_pass


def closing() -> NotLoaded:
    return NotLoaded(ErrorInfo("EngineBusy", "The server is being turned off."))


def too_many() -> NotLoaded:
    return NotLoaded(ErrorInfo("EngineBusy", "There are too many requests.", "Try again later."), may_pass=True)


def none_allowed(name: str) -> NotLoaded:
    text = f"{name} is not loaded, and the settings allow no model to be loaded for clients."
    return NotLoaded(ErrorInfo("NoModel", text, "Pick it in Hearth, or ask for the one that is loaded."))


def no_place(name: str, holders: Sequence[str]) -> NotLoaded:
    """``holders`` are the models that are there instead, each with a word about why it stays."""
    text = f"{name} cannot be loaded now: no more than {len(holders)} may be loaded for clients. {_list(holders)}"
    return NotLoaded(ErrorInfo("EngineBusy", text, "Try again when one of them is done."), may_pass=True)


def no_room(name: str, needed_bytes: int, missing_bytes: int, holders: Sequence[str], *, may_pass: bool) -> NotLoaded:
    text = (
        f"There is not enough free memory to load {name}: "
        f"it needs about {_size(needed_bytes)}, and {_size(missing_bytes)} of that are missing. {_list(holders)}"
    )
    hint = "Try again when one of them is done, or ask for a smaller model."
    hint = hint if may_pass else "Close other programs, or ask for a smaller model."
    return NotLoaded(ErrorInfo("OutOfMemory", text, hint), may_pass=may_pass)


def _list(holders: Sequence[str]) -> str:
    return f"Loaded now: {', '.join(holders)}." if holders else "No other model is loaded."


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 10**8 else f"{max(1, n_bytes // 10**6)} MB"
