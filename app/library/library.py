"""The list of models, whatever state their files are in."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path

from app.library.facts import FactsCache, ModelFacts
from app.library.links import Link, LinkedFiles
from app.library.scan import SUFFIX, ModelFiles, files_of, find_models
from app.library.starter import starter_file
from app.library.types import ModelEntry, Source
from app.paths import Paths
from engine.errors import ErrorInfo, InvalidRequest, ModelFileError

_MAX_NAMED = 3
_CACHE_NAME = "models.json"


class Library:
    """Thread: any, one at a time; every method reads the disk. Files are never copied, changed or deleted."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.models
        self._lock = threading.RLock()
        self._links = LinkedFiles(paths.library_file)
        self._facts = FactsCache(paths.cache / _CACHE_NAME)

    @property
    def problem(self) -> ErrorInfo | None:
        """Why the list of added files could not be read at the start."""
        return self._links.problem

    def entries(self) -> list[ModelEntry]:
        """All models by name, the unusable ones with their problem."""
        with self._lock:
            found = {files.path: (files, self._source(files)) for files in find_models(self._folder)}
            ids = {Path(link.path): link.id for link in self._links if Path(link.path) not in found}
            found |= {path: (files_of(path), Source.LINKED) for path in ids}
            for path, (files, _) in found.items():
                if path not in ids:
                    ids[path] = _unique(self._folder_id(files), ids.values())
            entries = [self._entry(ids[path], files, source) for path, (files, source) in found.items()]
            self._facts.save()
        return sorted(entries, key=lambda entry: (entry.name.casefold(), entry.id))

    def add(self, path: Path) -> ModelEntry:
        """Refer to a file where it is, or to all parts of the model that it is a part of.

        One that is known already is returned as it is. Raises ModelFileError for what cannot be loaded, and
        StorageError.
        """
        files = files_of(_absolute(path))
        with self._lock:
            entries = self.entries()
            known = _at(entries, files.path)
            entry = known or self._entry(_unique(files.stem, [e.id for e in entries]), files, Source.LINKED)
            if entry.problem is not None:
                raise ModelFileError(entry.problem.text, entry.problem.hint)
            if known is None:
                self._links.add(Link(entry.id, str(files.path)))
        return entry

    def remove(self, model_id: str) -> None:
        """Forget a file that was added. Raises ModelFileError for an unknown one, InvalidRequest for one that lies in
        the models folder, and StorageError."""
        with self._lock:
            if not any(link.id == model_id for link in self._links):
                entry = self.find(model_id)
                raise InvalidRequest(
                    f"{entry.path.name} was not added; it lies in {entry.path.parent}.",
                    "To be rid of it, delete the file there.",
                )
            self._links.remove(model_id)

    def find(self, id_or_path: str) -> ModelEntry:
        """A model by its id or the path of its file, which need not be in the list. Raises ModelFileError.

        What is returned may have a problem.
        """
        entries = self.entries()
        path = files_of(_absolute(Path(id_or_path))).path
        for entry in entries:
            if entry.id == id_or_path:
                return entry
        if known := _at(entries, path):
            return known
        if path.exists():
            with self._lock:
                return self._entry(str(path), files_of(path), Source.LINKED)
        raise _unknown(id_or_path, entries)

    def _source(self, files: ModelFiles) -> Source:
        return Source.STARTER if files.path == starter_file(self._folder) else Source.FOLDER

    def _folder_id(self, files: ModelFiles) -> str:
        """The path below the models folder, without what all have in common."""
        return files.path.with_name(files.stem).relative_to(self._folder).as_posix()

    def _entry(self, model_id: str, files: ModelFiles, source: Source) -> ModelEntry:
        facts, problem = ModelFacts(files.stem, "", "", 0, 0), None
        try:
            facts = self._facts_of(files)
        except ModelFileError as error:
            problem = ErrorInfo.of(error)
        return ModelEntry(
            model_id,
            files.path,
            facts.name,
            facts.architecture,
            facts.quantization,
            facts.n_params,
            sum(map(_size_bytes, files.parts)),
            facts.n_ctx_train,
            source,
            problem,
        )

    def _facts_of(self, files: ModelFiles) -> ModelFacts:
        """Those of the first part, with the parameters of all. Raises ModelFileError."""
        if files.missing:
            raise _incomplete(files)
        first, *others = files.parts
        facts = self._facts.facts_of(first, to_load=True)
        n_params = facts.n_params + sum(self._facts.facts_of(part, to_load=False).n_params for part in others)
        return ModelFacts(facts.name, facts.architecture, facts.quantization, n_params, facts.n_ctx_train)


def _incomplete(files: ModelFiles) -> ModelFileError:
    names = ", ".join(path.name for path in files.missing[:_MAX_NAMED])
    more = len(files.missing) - _MAX_NAMED
    count = len(files.parts) + len(files.missing)
    verb = "is" if len(files.missing) == 1 else "are"
    return ModelFileError(
        f"{files.stem} has {count} parts, and {names}{f' and {more} more' if more > 0 else ''} {verb} missing.",
        f"Put all parts into {files.path.parent} under their original names.",
    )


def _unknown(id_or_path: str, entries: Collection[ModelEntry]) -> ModelFileError:
    if os.sep in id_or_path or id_or_path.lower().endswith(SUFFIX):
        return ModelFileError(f"There is no file {id_or_path}.", "Check the path.")
    names = ", ".join(entry.id for entry in entries if entry.problem is None)
    return ModelFileError(f"There is no model {id_or_path}.", f"There is: {names}." if names else "There is none yet.")


def _at(entries: Collection[ModelEntry], path: Path) -> ModelEntry | None:
    """The entry of a file, by whatever way the path leads there."""
    same = next((entry for entry in entries if entry.path == path), None)
    if same is not None or not path.exists():
        return same
    return next((entry for entry in entries if entry.path.resolve() == path.resolve()), None)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _unique(wanted: str, taken: Collection[str]) -> str:
    candidate, n = wanted, 1
    while candidate in taken:
        n += 1
        candidate = f"{wanted}-{n}"
    return candidate


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
