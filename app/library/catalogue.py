"""From files and what is known of them to the list that a person sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.library.companions import Found, fitting, orphan_problem
from app.library.facts import FactsCache, Identity, display_name, identity_of, one_line
from app.library.links import Link
from app.library.records import FileRecords
from app.library.scan import ModelFiles
from app.library.types import Companion, EntryState, ModelEntry, Source
from engine.errors import ErrorInfo, ModelFileError, ModelNotSupported
from engine.gguf.summary import FileKind, HeaderSummary

_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Item:
    """The files of one row, before it is known what they are."""

    id: str
    files: ModelFiles
    source: Source
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A file whose header is not known. ``name`` is what a person calls it."""

    path: Path
    name: str
    is_part: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``entries`` in the order of their names."""

    entries: tuple[ModelEntry, ...]
    unread: tuple[Unread, ...]
    files: frozenset[Path]


def catalogue(items: Sequence[Item], facts: FactsCache, records: FileRecords) -> Catalogue:
    """Looks at every file's size and time, and reads none."""
    return _Builder(facts, records).build(items)


class _Builder:
    """For one pass over the list."""

    def __init__(self, facts: FactsCache, records: FileRecords) -> None:
        self._facts = facts
        self._records = records
        self._unread: list[Unread] = []
        self._files: set[Path] = set()

    def build(self, items: Sequence[Item]) -> Catalogue:
        rows: list[tuple[Item, ModelEntry]] = []
        companions: list[tuple[Item | None, Found]] = []
        for item in items:
            name = file_name(item.files.path, item.link)
            first = self._look(item.files.path, name, is_part=False)
            if isinstance(first[0], HeaderSummary) and first[0].kind in (FileKind.ADAPTER, FileKind.PROJECTOR):
                companions.append((item, Found(item.files.path, first[0], frozenset())))
            else:
                rows.append((item, self._entry(item, name, *first)))
            companions += [(None, found) for found in self._kept_with(item)]
        entries = self._with_companions(rows, companions)
        ordered = sorted(entries, key=lambda entry: (entry.name.casefold(), entry.id))
        return Catalogue(tuple(ordered), tuple(self._unread), frozenset(self._files))

    def _look(
        self, path: Path, name: str, *, is_part: bool
    ) -> tuple[HeaderSummary | ErrorInfo | None, Identity | None]:
        identity = identity_of(path)
        self._files.add(path)
        known = self._facts.known(path, identity, is_part=is_part)
        if known is None:
            self._unread.append(Unread(path, name, is_part))
        return known, identity

    def _entry(
        self, item: Item, name: str, known: HeaderSummary | ErrorInfo | None, identity: Identity | None
    ) -> ModelEntry:
        sizes = [identity.size_bytes if identity is not None else 0]
        problem = _incomplete(item.files) if item.files.missing else known if isinstance(known, ErrorInfo) else None
        n_params, is_read = known.n_params if isinstance(known, HeaderSummary) else 0, known is not None
        for part in item.files.parts:
            if part == item.files.path:
                continue
            other, seen = self._look(part, part.name, is_part=True)
            sizes.append(seen.size_bytes if seen is not None else 0)
            is_read = is_read and other is not None
            n_params += other.n_params if isinstance(other, HeaderSummary) else 0
            problem = problem or (other if isinstance(other, ErrorInfo) else None)
        entry = _bare_entry(item, name, sum(sizes), identity)
        if problem is not None:
            return _broken(entry, item, problem)
        if not is_read:
            return replace(entry, state=EntryState.READING)
        assert isinstance(known, HeaderSummary)
        return self._filled(entry, item, known, n_params)

    def _filled(self, entry: ModelEntry, item: Item, summary: HeaderSummary, n_params: int) -> ModelEntry:
        record = self._records.of(entry.path)
        origin = record.origin or (item.link.origin if item.link is not None else None)
        shown = item.link.name if item.link is not None and item.link.name else ""
        return replace(
            entry,
            name=one_line(shown or display_name(item.files.stem, summary.name)),
            architecture=one_line(summary.architecture),
            quantization=summary.quantization,
            n_params=n_params,
            n_ctx_train=summary.n_ctx_train,
            n_layers=summary.n_layers,
            width=summary.width,
            n_vocab=summary.n_vocab,
            has_template=summary.has_template,
            licence=one_line((origin.licence if origin is not None else "") or summary.licence),
            base_name=one_line(summary.base_name),
            fingerprint=summary.fingerprint,
            last_used_s=record.last_used_s,
            origin=origin,
        )

    def _kept_with(self, item: Item) -> list[Found]:
        """What an app keeps with its model, under names that say nothing."""
        found = []
        for path in map(Path, item.link.companions if item.link is not None else ()):
            known, _ = self._look(path, file_name(path, item.link), is_part=False)
            if isinstance(known, HeaderSummary):
                found.append(Found(path, known, frozenset({item.id})))
        return found

    def _with_companions(
        self, rows: Sequence[tuple[Item, ModelEntry]], companions: Sequence[tuple[Item | None, Found]]
    ) -> list[ModelEntry]:
        entries = {entry.id: entry for _, entry in rows}
        for item, found in companions:
            ids = fitting(found, entries.values())
            for model_id in ids:
                entries[model_id] = _joined(entries[model_id], found)
            if not ids and item is not None:
                bare = _bare_entry(item, item.files.path.name, found.summary.size_bytes, identity_of(found.path))
                entries[item.id] = _broken(bare, item, orphan_problem(found))
        return list(entries.values())


def file_name(path: Path, link: Link | None) -> str:
    """What sentences call a file."""
    return link.name if link is not None and link.name and link.path == str(path) else path.name


def _bare_entry(item: Item, name: str, size_bytes: int, identity: Identity | None) -> ModelEntry:
    """What can be said of a file that has not been read."""
    link = item.link
    shown = link.name if link is not None and link.name else item.files.stem
    return ModelEntry(
        item.id,
        item.files.path,
        one_line(shown) or name,
        "",
        "",
        0,
        size_bytes,
        0,
        item.source,
        parts=item.files.parts,
        modified_s=identity.modified_s if identity is not None else 0.0,
        app=link.app if link is not None else None,
        origin=link.origin if link is not None else None,
    )


def _broken(entry: ModelEntry, item: Item, problem: ErrorInfo) -> ModelEntry:
    is_unsupported = problem.kind == ModelNotSupported.__name__
    said = _with_app(item, problem)
    return replace(entry, problem=said, state=EntryState.BROKEN, is_unsupported=is_unsupported)


def _with_app(item: Item, problem: ErrorInfo) -> ErrorInfo:
    """Where an app took its file away, say whose it was."""
    link = item.link
    if link is None or link.app is None or item.files.path.exists():
        return problem
    text = f"{file_name(item.files.path, link)} is not there any more; its file belonged to {link.app.label}."
    return ErrorInfo("ModelFileError", text, f"Import it again from {link.app.label}, or remove it here.")


def _joined(entry: ModelEntry, found: Found) -> ModelEntry:
    summary = found.summary
    companion = Companion(
        found.path,
        one_line(display_name(found.path.name.removesuffix(found.path.suffix), summary.name)),
        summary.kind,
        one_line(summary.architecture),
        one_line(summary.base_name),
        summary.quantization,
        summary.size_bytes,
    )
    if summary.kind is FileKind.PROJECTOR:
        return replace(entry, projectors=(*entry.projectors, companion))
    return replace(entry, adapters=(*entry.adapters, companion))


def _incomplete(files: ModelFiles) -> ErrorInfo:
    names = ", ".join(path.name for path in files.missing[:_MAX_NAMED])
    more = len(files.missing) - _MAX_NAMED
    count = len(files.parts) + len(files.missing)
    verb = "is" if len(files.missing) == 1 else "are"
    return ErrorInfo.of(
        ModelFileError(
            f"{files.stem} has {count} parts, and {names}{f' and {more} more' if more > 0 else ''} {verb} missing.",
            f"Put all parts into {files.path.parent} under their original names.",
        )
    )
