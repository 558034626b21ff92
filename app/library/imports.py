"""Taking models in from wherever they are, without copying them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.jobs import CancelToken
from app.library.elsewhere import FINDERS, Finder, FoundModel, Surroundings
from app.library.facts import display_name, one_line
from app.library.library import Library
from app.library.links import Link
from app.library.scan import SUFFIX, files_of, find_models
from app.library.types import App, ModelEntry
from engine.errors import ErrorInfo, InvalidRequest, ModelFileError

Progress = Callable[[int, int], None]
"""How much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Importable:
    """A model of another app. ``is_known``: it is in the library already."""

    name: str
    path: Path
    size_bytes: int
    is_known: bool
    problem: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class OtherApp:
    app: App
    folder: Path
    models: tuple[Importable, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not taken, and why."""

    path: Path
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Imported:
    """``added`` are new, ``known`` were there before."""

    added: tuple[ModelEntry, ...] = ()
    known: tuple[ModelEntry, ...] = ()
    refused: tuple[Refused, ...] = ()


class Importer:
    """Thread: any; every method blocks on the disk. Nothing outside the library's own list is changed."""

    def __init__(
        self, library: Library, around: Surroundings | None = None, finders: Sequence[Finder] = FINDERS
    ) -> None:
        self._library = library
        self._around = around or Surroundings()
        self._finders = {finder.app: finder for finder in finders}

    def other_apps(self) -> tuple[OtherApp, ...]:
        """The apps that have models here."""
        known = {path for entry in self._library.known() for path in (entry.path, entry.path.resolve())}
        return tuple(app for finder in self._finders.values() for app in self._apps_of(finder, known))

    def import_from(
        self,
        app: App,
        folder: Path | None = None,
        paths: Collection[Path] | None = None,
        on_progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Imported:
        """Link an app's models, or those of them whose paths are given. Without a folder, all that the app may have.

        Raises Cancelled (what was taken by then stays), StorageError, and InvalidRequest for a folder without models.
        """
        finder = self._finders[app]
        folders = [folder] if folder is not None else finder.folders(self._around)
        found = _distinct(model for place in folders if place.is_dir() for model in finder.models(place))
        if folder is not None and not found:
            raise InvalidRequest(f"No models of {app.label} are in {folder}.", "Pick the folder where it keeps them.")
        wanted = [model for model in found if paths is None or model.path in paths]
        links = [_link(model, app) for model in wanted]
        return self._take(links, on_progress, cancel)

    def import_paths(
        self, paths: Sequence[Path], on_progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Imported:
        """Link files, and the models in folders. Raises Cancelled, and StorageError."""
        models: list[Path] = []
        refused: list[Refused] = []
        for path in paths:
            if not path.is_dir():
                models.append(files_of(path.absolute()).path)
                continue
            found = [files.path for files in find_models(path.absolute())]
            models += found
            if not found:
                refused.append(Refused(path, _no_models(path)))
        links = [Link(files_of(path).stem, str(path)) for path in dict.fromkeys(models)]
        taken = self._take(links, on_progress, cancel)
        return Imported(taken.added, taken.known, (*refused, *taken.refused))

    def _take(self, links: Sequence[Link], on_progress: Progress | None, cancel: CancelToken | None) -> Imported:
        before = {entry.id for entry in self._library.known()}
        added: dict[str, ModelEntry] = {}
        known: dict[str, ModelEntry] = {}
        refused: list[Refused] = []
        for number, link in enumerate(_companions_last(links)):
            if cancel is not None:
                cancel.raise_if_cancelled()
            try:
                (entry,) = self._library.add_links([link])
            except ModelFileError as error:
                refused.append(Refused(Path(link.path), ErrorInfo.of(error)))
            else:
                (known if entry.id in before else added)[entry.id] = entry
            if on_progress is not None:
                on_progress(number + 1, len(links))
        return Imported(tuple(added.values()), tuple(known.values()), tuple(refused))

    def _apps_of(self, finder: Finder, known: Collection[Path]) -> Iterable[OtherApp]:
        for folder in dict.fromkeys(finder.folders(self._around)):
            models = finder.models(folder) if folder.is_dir() else []
            if models:
                yield OtherApp(finder.app, folder, tuple(_importable(model, known) for model in models))


def _importable(model: FoundModel, known: Collection[Path]) -> Importable:
    files = files_of(model.path)
    name = model.name or one_line(display_name(files.stem, ""))
    is_known = model.path in known or model.path.resolve() in known
    if not files.parts or not all(part.is_file() for part in files.parts):
        problem = ErrorInfo("ModelFileError", f"The file of {name} is not there.", "It may not be whole yet.")
        return Importable(name, model.path, 0, is_known, problem)
    return Importable(name, model.path, sum(part.stat().st_size for part in files.parts), is_known)


def _link(model: FoundModel, app: App) -> Link:
    companions = tuple(str(path) for path in model.companions if path.is_file())
    wanted = model.name or files_of(model.path).stem
    return Link(wanted, str(model.path), model.name, app, model.origin, companions)


def _distinct(models: Iterable[FoundModel]) -> list[FoundModel]:
    return list({model.path: model for model in models}.values())


def _companions_last(links: Sequence[Link]) -> list[Link]:
    """Projectors are named so by everybody; they are taken when their model is there."""
    return sorted(links, key=lambda link: "mmproj" in Path(link.path).name.lower())


def _no_models(folder: Path) -> ErrorInfo:
    return ErrorInfo("ModelFileError", f"There are no models in {folder}.", f"Models are files that end in {SUFFIX}.")
