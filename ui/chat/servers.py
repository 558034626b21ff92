"""Decides what the dialog for a server does: asking for its models, keeping it and its key, and removing both."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

from PySide6.QtCore import QObject, Signal

from app.remote import KeyPlace, RemoteServer, RemoteServers
from app.remote.address import host_of, is_readable_on_the_way, server_address
from app.remote.keys import KeyringUnavailable, checked_key
from app.remote.servers import connection_to
from app.remote.types import OfferedModel
from app.session import EngineSession
from engine.errors import KnownError
from ui.chat.server_sheet import ServerSheet
from ui.chat.view import ChatView
from ui.errors import describe
from ui.tasks import Operation, follow
from ui.widgets.overlay import Sheet

_OPEN_LINE = (
    "This connection is not encrypted: others on the way can read the key and all that you write. "
    "Use https:// where the server has it."
)


class ServersControl(QObject):
    """``queue`` runs what waits for the disk or the keyring; the network is waited for elsewhere."""

    saved = Signal(object)  # RemoteServer
    removed = Signal(str)  # its id
    failed = Signal(object)  # the exception

    def __init__(self, view: ChatView, session: EngineSession, queue: Executor) -> None:
        super().__init__(view)
        self._view = view
        self._session = session
        self._queue = queue

    def add(self) -> None:
        servers = self._session.servers
        if servers is not None:
            _Editing(self, servers, RemoteServer("", "", ""), self._view, self._queue).open()

    def edit(self, model_id: str) -> None:
        """Open the dialog for the server of a model."""
        servers = self._session.servers
        server = self._server_of(model_id)
        if servers is not None and server is not None:
            _Editing(self, servers, server, self._view, self._queue).open()

    def confirm_removal(self, model_id: str) -> None:
        """Ask before the server of a model goes, with all its models."""
        server = self._server_of(model_id)
        if server is not None:
            self.confirm_removal_of(server, lambda: None)

    def confirm_removal_of(self, server: RemoteServer, done: Callable[[], None]) -> None:
        n_models = len(server.models)
        models = "Its model leaves" if n_models == 1 else f"Its {n_models} models leave"
        key = "" if server.key_place is KeyPlace.NONE else " Its key is deleted."
        sheet = Sheet(self._view.window(), f"Remove {server.name}?", f"{models} the list.{key} Conversations stay.")
        sheet.add_button("Cancel")

        def remove() -> None:
            done()
            self._remove(server)

        sheet.add_button("Remove", remove, "primary")
        sheet.open()

    def _remove(self, server: RemoteServer) -> None:
        servers = self._session.servers
        if servers is not None:
            operation = Operation(lambda: servers.remove(server.id), owner=self)
            operation.success(lambda _nothing: self.removed.emit(server.id)).failure(self.failed.emit).run(self._queue)

    def _server_of(self, model_id: str) -> RemoteServer | None:
        known = [] if self._session.servers is None else self._session.servers.models()
        return next((model.server for model in known if model.id == model_id), None)


class _Editing(QObject):
    """One dialog, from when it opens until it closes; it belongs to its sheet and goes with it."""

    def __init__(
        self, control: ServersControl, servers: RemoteServers, server: RemoteServer, view: ChatView, queue: Executor
    ) -> None:
        is_new = not server.id
        sheet = ServerSheet(view.window(), "Add a server" if is_new else "Edit the server", can_remove=not is_new)
        super().__init__(sheet)
        self._control = control
        self._servers = servers
        self._server = server
        self._sheet = sheet
        self._queue = queue
        self._question: Future[tuple[OfferedModel, ...]] | None = None
        self._unread_key: BaseException | None = None
        sheet.asked.connect(self._ask)
        sheet.hung_up.connect(self._on_hung_up)
        sheet.saved.connect(self._save)
        sheet.typed.connect(self._on_typed)
        sheet.closed.connect(self._hang_up)
        sheet.removal_wanted.connect(lambda: control.confirm_removal_of(server, sheet.dismiss))

    def open(self) -> None:
        server, sheet = self._server, self._sheet
        sheet.address.setText(server.address)
        sheet.name.setText(server.name)
        sheet.show_models(server.models, server.models)
        if server.key_place is not KeyPlace.NONE:
            operation = Operation(lambda: self._servers.key_of(server), owner=self)
            operation.success(lambda key: sheet.key.line.setText(key or "")).failure(self._on_key_unread)
            operation.run(self._queue)
        sheet.open()

    def _ask(self) -> None:
        """Which models it has. A question that is still open is given up."""
        self._hang_up()
        sheet = self._sheet
        try:
            to = connection_to(sheet.address.text(), sheet.key.line.text(), sheet.name.text())
        except KnownError as error:
            self._on_failed(error)
            return
        if to.address != sheet.address.text():
            sheet.address.setText(to.address)
        sheet.show_asking(f"Asking {to.server_name}.")
        self._question = self._servers.ask(to)
        follow(self._question, self, self._on_offered, self._on_failed)

    def _on_offered(self, models: tuple[OfferedModel, ...]) -> None:
        names = [model.name for model in models]
        chosen = [name for name in self._sheet.models.chosen() if name in names]
        self._sheet.show_models(names, names if len(names) == 1 else chosen)
        n = len(names)
        words = "It has no models." if n == 0 else "It has 1 model." if n == 1 else f"It has {n} models. Choose."
        self._sheet.show_answer(words)

    def _on_failed(self, error: BaseException) -> None:
        self._sheet.show_problem(describe(error))

    def _on_key_unread(self, error: BaseException) -> None:
        """Saving now must not delete the key that is only out of reach."""
        self._unread_key = error
        self._on_failed(error)

    def _on_hung_up(self) -> None:
        self._hang_up()
        self._sheet.show_answer("")

    def _hang_up(self) -> None:
        question, self._question = self._question, None
        if question is not None:
            question.cancel()

    def _on_typed(self) -> None:
        sheet = self._sheet
        sheet.withdraw_places()
        sheet.show_warning(_OPEN_LINE if _is_exposed(sheet.address.text(), sheet.key.line.text()) else "")

    def _save(self, place: KeyPlace) -> None:
        sheet = self._sheet
        try:
            address, key = server_address(sheet.address.text()), checked_key(sheet.key.line.text())
        except KnownError as error:
            self._on_failed(error)
            return
        if key is None and self._unread_key is not None:
            self._on_failed(self._unread_key)
            return
        name = sheet.name.text().strip() or host_of(address)
        draft = RemoteServer(self._server.id, name, address, sheet.models.chosen())
        kept_in = self._server.key_place
        if place is KeyPlace.KEYRING and kept_in is not KeyPlace.NONE:
            place = kept_in  # where the user put it
        sheet.show_saving(True)
        operation = Operation(lambda: self._servers.save(draft, key, place), owner=self)
        operation.success(self._on_saved).failure(self._on_not_saved).run(self._queue)

    def _on_saved(self, server: RemoteServer) -> None:
        self._sheet.dismiss()
        self._control.saved.emit(server)

    def _on_not_saved(self, error: BaseException) -> None:
        if isinstance(error, KeyringUnavailable):
            self._sheet.offer_places(describe(error))
        else:
            self._sheet.show_saving(False)
            self._on_failed(error)


def _is_exposed(address: str, key: str) -> bool:
    """Whether a key would go where strangers can read it. What is not typed to its end is no address yet."""
    try:
        return bool(key.strip()) and is_readable_on_the_way(server_address(address))
    except KnownError:
        return False
