"""Decides what the controls of the settings page do."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, QUrl
from PySide6.QtGui import QDesktopServices

import resources
from app.paths import Paths
from app.session import EngineSession
from app.settings import SettingsStore, Theme
from engine.config import DraftMode
from ui.errors import describe
from ui.preferences.view import PreferencesView
from ui.tasks import Operation
from ui.theme import theme
from ui.widgets.banner import BannerText
from ui.widgets.overlay import Sheet

_DRAFT_MODES = (DraftMode.AUTOMATIC, DraftMode.OFF, DraftMode.FIXED)
_THEMES = (Theme.SYSTEM, Theme.LIGHT, Theme.DARK)
_FIRST_FIXED_N_CTX = 4096
_PROBLEM = "settings"
_PROBLEM_DELAY_MS = 1000
"""Settings are written in the background; by then it is known whether that went well."""

_LIBRARIES = """\
PySide6 and Qt (LGPL-3.0)
llama.cpp and ggml (MIT)
llama-cpp-python (MIT)
NumPy (BSD-3-Clause)
Jinja2 and MarkupSafe (BSD-3-Clause)
msgspec (BSD-3-Clause)
markdown-it-py and mdit-py-plugins (MIT)
Pygments (BSD-2-Clause)
ziamath, ziafont and latex2mathml (MIT)
platformdirs (MIT)
psutil (BSD-3-Clause)"""


class PreferencesPage(QObject):
    """``queue`` runs what the session does with the library's files."""

    def __init__(
        self, view: PreferencesView, settings: SettingsStore, session: EngineSession, paths: Paths, queue: Executor
    ) -> None:
        super().__init__(view)
        self._view = view
        self._settings = settings
        self._session = session
        self._queue = queue
        self._problem_timer = QTimer(self, singleShot=True, interval=_PROBLEM_DELAY_MS)
        self._problem_timer.timeout.connect(self._show_problem)
        self._show_settings()
        self._list_files(paths)
        self._list_licences()
        self._connect()

    def _update(self, **changes: object) -> None:
        self._settings.update(**changes)
        self._problem_timer.start()

    def _show_problem(self) -> None:
        """Say that the settings cannot be kept, for as long as it is so."""
        problem = self._settings.problem
        if problem is None:
            self._view.banners.clear(_PROBLEM)
        else:
            self._view.banners.show_banner(_PROBLEM, BannerText(problem.text, problem.hint))

    def _show_settings(self) -> None:
        current = self._settings.current
        self._view.appearance.choose(_THEMES.index(current.theme))
        self._view.context_choice.choose(0 if current.n_ctx is None else 1)
        self._view.context_length.setValue(current.n_ctx or _FIRST_FIXED_N_CTX)
        self._view.context_length.setVisible(current.n_ctx is not None)
        self._view.temperature.set_value(current.temperature)
        self._view.drafting.choose(_DRAFT_MODES.index(current.drafting))
        self._view.n_drafted.setValue(current.n_drafted)
        self._view.n_drafted.setVisible(current.drafting is DraftMode.FIXED)
        self._view.system_prompt.setPlainText(current.system_prompt)

    def _connect(self) -> None:
        view = self._view
        view.appearance.chosen.connect(self._choose_appearance)
        view.context_choice.chosen.connect(self._choose_context)
        view.context_length.valueChanged.connect(self._set_context)
        view.temperature.changed.connect(lambda value: self._update(temperature=value))
        view.drafting.chosen.connect(self._choose_drafting)
        view.n_drafted.valueChanged.connect(self._set_n_drafted)
        view.system_prompt.textChanged.connect(self._set_system_prompt)
        view.load_again.clicked.connect(self._load_again)

    def _choose_appearance(self, index: int) -> None:
        chosen = _THEMES[index]
        self._update(theme=chosen)
        theme.choose(chosen)

    def _choose_context(self, index: int) -> None:
        is_fixed = index == 1
        self._view.context_length.setVisible(is_fixed)
        self._set_context(self._view.context_length.value() if is_fixed else None)

    def _set_context(self, n_ctx: int | None) -> None:
        """The engine takes it with the next load, so the row offers one."""
        if n_ctx != self._settings.current.n_ctx:
            self._update(n_ctx=n_ctx)
            self._view.load_again.setVisible(self._session.model is not None)

    def _choose_drafting(self, index: int) -> None:
        """The engine takes it with the next load, so the card offers one."""
        mode = _DRAFT_MODES[index]
        self._view.n_drafted.setVisible(mode is DraftMode.FIXED)
        if mode is not self._settings.current.drafting:
            self._update(drafting=mode)
            self._view.load_again.setVisible(self._session.model is not None)

    def _set_n_drafted(self, n_drafted: int) -> None:
        if n_drafted != self._settings.current.n_drafted:
            self._update(n_drafted=n_drafted)
            self._view.load_again.setVisible(self._session.model is not None)

    def _set_system_prompt(self) -> None:
        self._update(system_prompt=self._view.system_prompt.toPlainText())

    def _load_again(self) -> None:
        self._view.load_again.hide()
        Operation(self._session.reload, owner=self).failure(self._show_error).run(self._queue)

    def _show_error(self, error: BaseException) -> None:
        info = describe(error)
        self._view.banners.show_banner("error", BannerText(info.text, info.hint))

    def _list_files(self, paths: Paths) -> None:
        for title, path in (
            ("Conversations", paths.database),
            ("Models", paths.models),
            ("Settings", paths.settings_file),
            ("Log", paths.log_file),
        ):
            button = self._view.add_place(title, path)
            folder = path if path == paths.models else path.parent
            button.setToolTip(f"Open the folder {folder}")
            button.clicked.connect(lambda _checked=False, folder=folder: _open_folder(folder))

    def _list_licences(self) -> None:
        for title, explanation, text in (
            ("Fonts", "Inter and JetBrains Mono, SIL Open Font License 1.1", resources.licences("fonts")),
            ("Icons", "Lucide, ISC licence", resources.licences("icons")),
            ("Libraries", "Qt, llama.cpp and others", _LIBRARIES),
        ):
            button = self._view.add_fact(title, explanation, "Licences")
            button.clicked.connect(lambda _checked=False, title=title, text=text: self._show_licences(title, text))

    def _show_licences(self, title: str, text: str) -> None:
        sheet = Sheet(self._view.window(), title)
        sheet.add_detail(text)
        sheet.add_button("Close")
        sheet.open()


def _open_folder(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
