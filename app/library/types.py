"""A model as the user sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import ErrorInfo


class Source(StrEnum):
    """STARTER came with Hearth, FOLDER lies in the models folder, LINKED lies elsewhere and is only referred to."""

    STARTER = "starter"
    FOLDER = "folder"
    LINKED = "linked"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model, of one file or of several parts; ``path`` is the first and ``size_bytes`` counts all.

    ``id`` stays the same as long as the file stays where it is. An entry with a ``problem`` cannot be loaded; what its
    file did not tell is then empty or 0.
    """

    id: str
    path: Path
    name: str
    architecture: str
    quantization: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    source: Source
    problem: ErrorInfo | None = None
