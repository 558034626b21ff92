"""Decides what the place of the models that are here shows and does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from app.jobs import CancelToken
from app.library import (
    Deleted,
    DuplicateGroup,
    EntryState,
    Library,
    ModelDetails,
    ModelEntry,
    Outcome,
    Source,
    Upkeep,
    Verification,
)
from app.partners import partner_of
from app.plans import Badge, Planner, Tone, badge
from engine.errors import KnownError, StorageError
from ui.errors import describe
from ui.library.details import header_text
from ui.library.imports import ImportControl
from ui.library.models_view import ModelsView
from ui.library.relay import LibraryFeed
from ui.library.table import Column
from ui.models.words import size_text
from ui.tasks import Operation
from ui.widgets.banner import BannerText, details_action
from ui.widgets.banner import Tone as BannerTone
from ui.widgets.overlay import Sheet

_TOPIC = "models"
_LOOK_PAUSE_MS = 120
_PARTNER_PAUSE_MS = 400


class _Progress(QObject):
    """From the thread that works to the window's."""

    told = Signal(object, object)  # done and total; Qt's own integers are too small


class ModelsControl(QObject):
    """``load_wanted`` carries a model's id, ``counted`` how many there are. The disk's work runs on ``queue``."""

    load_wanted = Signal(str)
    counted = Signal(int)

    def __init__(
        self,
        view: ModelsView,
        library: Library,
        upkeep: Upkeep,
        imports: ImportControl,
        planner: Planner,
        feed: LibraryFeed,
        queues: tuple[Executor, Executor],
    ) -> None:
        super().__init__(view)
        self._view = view
        self._library = library
        self._upkeep = upkeep
        self._planner = planner
        self._queue, self._plans = queues
        self._wanted_id: str | None = None
        self._is_rating = False
        self._verifying = CancelToken()
        self._comparing = CancelToken()
        self._progress = _Progress(self)
        self._look = QTimer(self, singleShot=True, interval=_LOOK_PAUSE_MS)
        self._look.timeout.connect(self._rate_next)
        self._partner = QTimer(self, singleShot=True, interval=_PARTNER_PAUSE_MS)
        self._partner.timeout.connect(self._look_for_partner)
        feed.changed.connect(self.refresh)
        imports.changed.connect(self.refresh)
        self._connect(view, imports)

    def _connect(self, view: ModelsView, imports: ImportControl) -> None:
        pane = view.details
        view.search.textChanged.connect(self._filter)
        view.search.left.connect(self._go_down)
        view.list.opened.connect(self._open)
        view.list.entered.connect(self._load)
        view.list.delete_pressed.connect(self._ask_to_delete)
        view.list.left_above.connect(view.search.setFocus)
        view.list.scrolled.connect(self._look.start)
        view.import_models.clicked.connect(imports.open)
        view.dropped.connect(imports.take)
        view.duplicates.clicked.connect(self._find_duplicates)
        view.stop.clicked.connect(self._comparing_ends)
        pane.load.clicked.connect(self._load)
        pane.verify.clicked.connect(self._verify)
        pane.cancel.clicked.connect(self._end_verifying)
        pane.delete.clicked.connect(self._ask_to_delete)
        pane.template.clicked.connect(self._show_template)
        pane.metadata.clicked.connect(self._show_metadata)
        self._progress.told.connect(self._on_progress)

    def refresh(self) -> None:
        """Ask for the list again; it comes at once, and what is not read yet comes later."""
        Operation(self._library.known, owner=self).success(self._show).failure(self._show_error).run(self._queue)

    def pause(self) -> None:
        """Nobody looks."""
        self._look.stop()
        self._partner.stop()

    def show_model(self, model_id: str) -> None:
        """Go to a model as soon as it is in the list."""
        self._wanted_id = model_id
        self._view.search.clear()
        self.refresh()

    def sort_by_size(self) -> None:
        self._view.list.sortByColumn(Column.SIZE, Qt.SortOrder.DescendingOrder)

    def _show(self, entries: list[ModelEntry]) -> None:
        view = self._view
        current = view.list.current_entry()
        wanted = self._wanted_id or (current.id if current is not None else None)
        view.table.show_entries(entries)
        self.counted.emit(len(entries))
        self._select(wanted)
        if not entries:
            view.note.say(
                "library",
                "There is no model on this machine yet.",
                "Get one in Discover, or import what other apps have here.",
                "Import",
                view.import_models.click,
            )
        view.show_count()
        self._look.start()

    def _select(self, wanted: str | None) -> None:
        """A reset of the table forgets what was selected."""
        shown = self._view.table.shown
        row = next((row for row, entry in enumerate(shown) if entry.id == wanted), None)
        if row is None:
            self._open(None)
            return
        self._wanted_id = None
        if self._view.list.currentIndex().row() != row:
            self._view.list.select(row)
        self._open(shown[row])

    def _filter(self, text: str) -> None:
        current = self._view.list.current_entry()
        self._view.table.look_for(text)
        self._select(current.id if current is not None else None)
        self._view.show_count()
        self._look.start()

    def _go_down(self) -> None:
        if self._view.table.shown:
            self._view.list.setFocus()
            self._view.list.select(max(0, self._view.list.currentIndex().row()))

    def _open(self, entry: ModelEntry | None) -> None:
        pane = self._view.details
        is_new = entry is not None and (pane.entry is None or pane.entry.id != entry.id)
        pane.show_entry(entry)
        if entry is not None:
            pane.show_badge(self._view.table.badge_of(entry.id))
        if is_new:
            self._partner.start()

    # -- verdicts of what can be seen

    def _rate_next(self) -> None:
        table = self._view.table
        if self._is_rating or not self._view.isVisible():
            return
        unrated = (e for e in self._view.list.visible_entries() if table.badge_of(e.id) is None)
        entry = next((e for e in unrated if e.problem is None and e.state is EntryState.READY), None)
        if entry is None:
            return
        self._is_rating = True

        def work() -> Badge:
            try:
                return badge(self._planner.plan_for(entry))
            except KnownError as error:
                return Badge("", Tone.DIM, error.text)

        def done(found: Badge) -> None:
            self._is_rating = False
            table.show_badge(entry.id, found)
            if self._view.details.entry is not None and self._view.details.entry.id == entry.id:
                self._view.details.show_badge(found)
            self._rate_next()

        Operation(work, owner=self).success(done).run(self._plans)

    def _look_for_partner(self) -> None:
        entry = self._view.details.entry
        if entry is None or entry.problem is not None:
            return

        def done(partner: ModelEntry | None) -> None:
            shown = self._view.details.entry
            if partner is not None and shown is not None and shown.id == entry.id:
                self._view.details.show_partner(f"Pairs with {partner.name} as draft, which makes it faster.")

        Operation(lambda: partner_of(self._library, entry), owner=self).success(done).run(self._plans)

    # -- what can be done with a model

    def _load(self) -> None:
        entry = self._view.list.current_entry()
        if entry is not None and entry.problem is None:
            self.load_wanted.emit(entry.id)

    def _verify(self) -> None:
        entry = self._view.details.entry
        if entry is None:
            return
        self._verifying = token = CancelToken()
        self._view.details.show_progress(0.0)
        self._view.details.say_outcome("")

        def work() -> Verification:
            return self._upkeep.verify(entry.id, self._progress.told.emit, token)

        def done(found: Verification) -> None:
            self._end_verifying()
            shown = self._view.details.entry
            if shown is not None and shown.id == entry.id:
                tone = "bad" if found.outcome is Outcome.DIFFERS else "ok"
                self._view.details.say_outcome(f"{found.text} {found.hint}".strip(), tone)

        def failed(error: BaseException) -> None:
            self._end_verifying()
            self._show_error(error)

        Operation(work, owner=self).success(done).failure(failed).run(self._queue)

    def _end_verifying(self) -> None:
        self._verifying.cancel()
        self._view.details.show_progress(None)

    def _on_progress(self, done: int, total: int) -> None:
        if total and not self._verifying.cancelled:
            self._view.details.show_progress(done / total)

    def _ask_to_delete(self) -> None:
        entry = self._view.details.entry
        if entry is None:
            return
        if entry.source is Source.LINKED:
            text = f"{entry.name} leaves the list. The file stays at {entry.path}."
            self._ask(f"Remove {entry.name}?", text, "Remove", lambda: self._remove(entry))
            return
        files = "its file" if len(entry.parts) <= 1 else f"its {len(entry.parts)} files"
        text = f"This moves {files} to the recycle bin: {size_text(entry.size_bytes)} are free once it is emptied."
        self._ask(f"Delete {entry.name}?", text, "Delete", lambda: self._delete(entry, forever=False))

    def _ask(self, title: str, text: str, word: str, action: Callable[[], None]) -> None:
        sheet = Sheet(self._view.window(), title, text)
        sheet.add_button("Cancel")
        sheet.add_button(word, action, "primary")
        sheet.open()

    def _remove(self, entry: ModelEntry) -> None:
        work = Operation(lambda: self._library.remove(entry.id), owner=self)
        work.success(lambda _: self.refresh()).failure(self._show_error).run(self._queue)

    def _delete(self, entry: ModelEntry, *, forever: bool) -> None:
        def failed(error: BaseException) -> None:
            if isinstance(error, StorageError) and not forever:
                text = f"{error} Delete it for good instead? {size_text(entry.size_bytes)} are free at once."
                self._ask(f"Delete {entry.name} for good?", text, "Delete", lambda: self._delete(entry, forever=True))
            else:
                self._show_error(error)

        work = Operation(lambda: self._upkeep.delete(entry.id, forever=forever), owner=self)
        work.success(lambda done: self._on_deleted(entry, done)).failure(failed).run(self._queue)

    def _on_deleted(self, entry: ModelEntry, done: Deleted) -> None:
        where = "is in the recycle bin; empty it to free" if done.in_trash else "is gone. Freed:"
        content = BannerText(f"{entry.name} {where} {size_text(done.freed_bytes)}.", tone=BannerTone.WARN)
        self._view.banners.show_banner(_TOPIC, content)
        self.refresh()

    def _show_template(self) -> None:
        self._show_text("Template", lambda details: details.template or "")

    def _show_metadata(self) -> None:
        self._show_text("What the file says", header_text)

    def _show_text(self, title: str, text_of: Callable[[ModelDetails], str]) -> None:
        entry = self._view.details.entry
        if entry is None:
            return

        def done(text: str) -> None:
            sheet = Sheet(self._view.window(), f"{title}: {entry.name}")
            sheet.add_detail(text)
            sheet.add_button("Close")
            sheet.open()

        work = Operation(lambda: text_of(self._library.details(entry.id)), owner=self)
        work.success(done).failure(self._show_error).run(self._queue)

    # -- duplicates

    def _find_duplicates(self) -> None:
        self._comparing = token = CancelToken()
        self._view.show_busy("Comparing files ...")

        def done(groups: tuple[DuplicateGroup, ...]) -> None:
            self._view.show_busy("")
            self._show_duplicates(groups)

        def failed(error: BaseException) -> None:
            self._view.show_busy("")
            self._show_error(error)

        work = Operation(lambda: self._upkeep.duplicates(None, token), owner=self)
        work.success(done).failure(failed).run(self._queue)

    def _comparing_ends(self) -> None:
        self._comparing.cancel()
        self._view.show_busy("")

    def _show_duplicates(self, groups: tuple[DuplicateGroup, ...]) -> None:
        if not groups:
            content = BannerText("No model is here twice.", tone=BannerTone.WARN)
            self._view.banners.show_banner(_TOPIC, content)
            return
        freed = sum(group.freed_bytes for group in groups)
        sheet = Sheet(self._view.window(), "Duplicates", f"Deleting all but one of each frees {size_text(freed)}.")
        sheet.add_detail("\n\n".join(_duplicate_words(group) for group in groups))
        sheet.add_button("Close")
        sheet.open()

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        content = BannerText(info.text, info.hint)
        self._view.banners.show_banner(_TOPIC, content, *details_action(self._view.window(), info))


def _duplicate_words(group: DuplicateGroup) -> str:
    lines = [f"{size_text(group.size_bytes)}, sha256 {group.sha256[0][:16]}"]
    return "\n".join(lines + [f"  {entry.path}" for entry in group.entries])
