"""Takes models in: what is dropped, folders and files that are chosen, and what other apps have."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog

from app.library import Imported, Importer, OtherApp
from ui.errors import describe
from ui.library.import_sheet import ImportSheet
from ui.library.models_view import ModelsView
from ui.tasks import Operation
from ui.widgets.banner import BannerText, Tone, details_action
from ui.widgets.overlay import Sheet

_TOPIC = "import"
_N_NAMED = 3


class ImportControl(QObject):
    """``changed``: there may be more models now."""

    changed = Signal()

    def __init__(self, view: ModelsView, importer: Importer, queue: Executor) -> None:
        super().__init__(view)
        self._view = view
        self._importer = importer
        self._queue = queue

    def open(self) -> None:
        """Look for other apps, then ask what to import."""
        looking = Operation(self._importer.other_apps, owner=self)
        looking.success(self._ask).failure(self._show_error).run(self._queue)

    def take(self, paths: tuple[Path, ...]) -> None:
        """Files and folders, with all models below."""
        self._run(lambda: self._importer.import_paths(paths))

    def _ask(self, apps: tuple[OtherApp, ...]) -> None:
        sheet = ImportSheet(self._view.window(), apps)
        sheet.app_chosen.connect(lambda app: self._run(lambda: self._importer.import_from(app.app, app.folder)))
        sheet.add_button("Cancel")
        sheet.add_button("Choose a folder", self._choose_folder)
        sheet.add_button("Choose files", self._choose_files)
        sheet.open()

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._view.window(), "Import all models below a folder")
        if folder:
            self.take((Path(folder),))

    def _choose_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self._view.window(), "Import models", filter="Models (*.gguf)")
        if names:
            self.take(tuple(map(Path, names)))

    def _run(self, work: Callable[[], Imported]) -> None:
        self._view.banners.clear(_TOPIC)
        Operation(work, owner=self).success(self._on_imported).failure(self._show_error).run(self._queue)

    def _on_imported(self, done: Imported) -> None:
        self.changed.emit()
        tone = Tone.BAD if done.refused and not done.added else Tone.WARN
        self._view.banners.show_banner(_TOPIC, BannerText(words_of(done), tone=tone))
        if len(done.refused) > _N_NAMED:
            sheet = Sheet(self._view.window(), f"{len(done.refused)} files were not taken")
            sheet.add_detail("\n".join(f"{one.path}\n  {one.error.sentence}" for one in done.refused))
            sheet.add_button("Close")
            sheet.open()

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        content = BannerText(info.text, info.hint)
        self._view.banners.show_banner(_TOPIC, content, *details_action(self._view.window(), info))


def words_of(done: Imported) -> str:
    """What came of it, in a sentence or two."""
    parts = []
    if done.added:
        parts.append("1 model was added." if len(done.added) == 1 else f"{len(done.added)} models were added.")
    if done.known:
        parts.append(f"{len(done.known)} {'was' if len(done.known) == 1 else 'were'} here already.")
    parts += [f"{one.path.name}: {one.error.sentence}" for one in done.refused[:_N_NAMED]]
    return " ".join(parts) or "There is no model in what was given."
