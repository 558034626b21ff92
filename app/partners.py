"""Which small model of the library guesses tokens for a larger one."""

from __future__ import annotations

from app.library import Library, ModelEntry
from app.settings import Settings
from engine.config import DraftConfig, DraftMode
from engine.errors import InvalidRequest, KnownError
from engine.gguf import GgufHeader, read_header
from engine.spec.pairing import best_partner, why_not


def draft_config(settings: Settings, library: Library, entry: ModelEntry, wished: str | None = None) -> DraftConfig:
    """How tokens are drafted for a model: by the ``wished`` one (an id or a path), or else by the best there is.

    Reads headers, so it blocks on the disk. Raises KnownError for a wished model that is not there or does not fit; one
    that was found and does not fit in the end costs nothing, because the engine goes on without it.
    """
    if settings.drafting is DraftMode.OFF:
        return DraftConfig(DraftMode.OFF)
    partner = partner_of(library, entry) if wished is None else _wished(library, entry, wished)
    model = None if partner is None else str(partner.path)
    return DraftConfig(settings.drafting, model, settings.n_drafted)


def partner_of(library: Library, entry: ModelEntry) -> ModelEntry | None:
    """The best partner among the models that need not be looked for."""
    smaller = [other for other in library.known() if other.problem is None and other.size_bytes < entry.size_bytes]
    target = _header(entry) if smaller else None
    if target is None:
        return None
    entries = {other.path: other for other in smaller}
    best = best_partner(target, [header for other in smaller if (header := _header(other)) is not None])
    return None if best is None else entries[best.path]


def _wished(library: Library, entry: ModelEntry, wished: str) -> ModelEntry:
    partner = library.find(wished)
    if reason := why_not(read_header(entry.path), read_header(partner.path)):
        raise InvalidRequest(f"{partner.name} cannot draft for {entry.name}: it {reason}.", "Pick another model.")
    return partner


def _header(entry: ModelEntry) -> GgufHeader | None:
    try:
        return read_header(entry.path)
    except KnownError:
        return None
