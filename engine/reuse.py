"""What was reused and why not more: values for the transcript, the monitor and the log."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.errors import ErrorInfo


class Reason(StrEnum):
    """Why tokens of a prompt had to be computed."""

    NEW = "new"
    EDITED = "edited"  # the conversation's last path went on differently
    EVICTED = "evicted"
    DROPPED = "dropped"  # somebody asked for it
    OTHER_SETTINGS = "other_settings"  # saved for another model, build or setting
    NOT_CUTTABLE = "not_cuttable"
    CHEAPER_TO_COMPUTE = "cheaper_to_compute"
    DAMAGED = "damaged"


class ReuseReport(msgspec.Struct, frozen=True):
    """Tokens of one prompt by where they came from. The counts in ``reasons`` add up to ``n_new``."""

    n_prompt: int
    n_cells: int
    n_ram: int
    n_disk: int
    n_new: int
    restore_s: float
    reasons: tuple[tuple[Reason, int], ...]

    def __post_init__(self) -> None:
        n_reused = self.n_cells + self.n_ram + self.n_disk
        if n_reused + self.n_new != self.n_prompt or sum(n for _, n in self.reasons) != self.n_new:
            raise ValueError(f"the counts do not add up: {self!r}")


class ConversationCache(msgspec.Struct, frozen=True):
    """Where a conversation is.

    The counts are of its last path, each token once and in the fastest tier that has it; ``n_cold`` must be computed.
    The bytes are of all its branches, in every tier that has them, and include what it shares with others.
    """

    id: str
    n_tokens: int
    n_cells: int
    n_ram: int
    n_disk: int
    n_cold: int
    cells_bytes: int
    ram_bytes: int
    disk_bytes: int
    is_pinned: bool


class KvUsage(msgspec.Struct, frozen=True):
    """``disk_problem`` says why nothing is written to disk at present, if so."""

    cells_used: int
    n_cells: int
    ram_bytes: int
    ram_budget_bytes: int
    disk_bytes: int
    disk_budget_bytes: int
    n_pages: int
    disk_problem: ErrorInfo | None = None
