"""Shows what goes through the API, some times a second and only while somebody can see it."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer

from app.api.service import ApiPhase
from app.api.traffic import LoggedRequest
from ui.api.view import ApiView
from ui.bridge import ApiBridge

REFRESH_INTERVAL_MS = 333


class ActivityControl(QObject):
    def __init__(self, view: ApiView, api: ApiBridge) -> None:
        super().__init__(view)
        self._view = view
        self._activity = view.activity
        self._api = api
        self._timer = QTimer(self, interval=REFRESH_INTERVAL_MS)
        self._timer.timeout.connect(self.refresh)
        view.shown.connect(self._on_shown)
        api.state_changed.connect(lambda _state: self._on_state())
        self._activity.live.stop_wanted.connect(api.service.cancel)
        self._activity.live.stop_wanted.connect(lambda _id: self.refresh())
        self._activity.log.picked.connect(self._show_details)
        self._activity.details.closed.connect(self._activity.log.unpick)
        self._activity.keeps_bodies.clicked.connect(self._keep_bodies)

    def refresh(self) -> None:
        traffic = self._api.service.traffic()
        is_on = self._api.state.phase in (ApiPhase.ON, ApiPhase.STOPPING)
        self._view.show_n_live(len(traffic.live))
        self._activity.show_traffic(traffic, is_on=is_on)

    def _on_shown(self, is_shown: bool) -> None:
        if is_shown:
            self.refresh()
            self._timer.start()
        else:
            self._timer.stop()

    def _on_state(self) -> None:
        if self._view.isVisible():
            self.refresh()

    def _keep_bodies(self, keeps: bool) -> None:
        self._api.service.keep_bodies(keeps)
        self.refresh()

    def _show_details(self, request: LoggedRequest | None) -> None:
        self._activity.show_details(request)
