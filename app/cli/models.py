"""``models``: what is in the library."""

from __future__ import annotations

from app.cli.terminal import EXIT_DONE, Terminal
from app.cli.words import count_text, size_text, table
from app.library import Library, ModelEntry

_HEAD = ("ID", "TYPE", "PARAMETERS", "SIZE", "CONTEXT", "FROM")


def run(library: Library, terminal: Terminal) -> int:
    """List every model; one that cannot be used stands below the others with the reason."""
    if library.problem is not None:
        terminal.note(library.problem.sentence)
    entries = library.entries()
    usable = [entry for entry in entries if entry.problem is None]
    broken = [entry for entry in entries if entry.problem is not None]
    if usable:
        terminal.write(table([_HEAD, *map(_row, usable)]) + "\n")
    else:
        terminal.note("There is no model that can be used.")
    for entry in broken:
        terminal.write(f"\n{entry.path}\n    {entry.problem.sentence if entry.problem else ''}\n")
    return EXIT_DONE


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return (
        entry.id,
        entry.quantization,
        count_text(entry.n_params),
        size_text(entry.size_bytes),
        f"{entry.n_ctx_train:,}",
        str(entry.source),
    )
