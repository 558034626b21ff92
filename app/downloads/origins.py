"""Tells the library where finished files came from."""

from __future__ import annotations

from collections.abc import Callable

from app.downloads.types import Finished
from app.library import Library
from app.library.types import Origin


def recorder(library: Library) -> Callable[[tuple[Finished, ...]], None]:
    """What ``Downloads`` tells of files that are about to get their final names. Raises StorageError."""

    def record(finished: tuple[Finished, ...]) -> None:
        for file in finished:
            origin = Origin(file.repo_id, file.commit, file.file, file.sha256, file.licence, file.endpoint)
            library.record_origin(file.path, origin)

    return record
