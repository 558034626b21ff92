"""Has a long conversation summarised, one part after the other, and shows how far that is."""

from __future__ import annotations

from concurrent.futures import Executor

from PySide6.QtCore import QObject, Signal

from app.chats.summary import Summariser
from engine.errors import ErrorInfo, KnownError
from engine.events import RequestFinished
from engine.types import FinishReason, RequestId
from ui.bridge import EngineBridge
from ui.chat.overflow_offer import OverflowOffer
from ui.errors import describe
from ui.tasks import Operation


class SummaryControl(QObject):
    """One summary at a time. ``done`` carries its text, ``failed`` an ErrorInfo; stopping tells neither."""

    done = Signal(str)
    failed = Signal(object)

    def __init__(self, offer: OverflowOffer, summariser: Summariser, bridge: EngineBridge, queue: Executor) -> None:
        super().__init__(offer)
        self._offer = offer
        self._summariser = summariser
        self._queue = queue
        self._run_number = 0
        self._n_ctx = 0
        self._parts: list[str] = []
        self._n_done = 0
        self._so_far = ""
        self._text = ""
        self._request_id: RequestId | None = None
        offer.cancelled.connect(self.stop)
        bridge.text_arrived.connect(self._on_text)
        bridge.request_finished.connect(self._on_finished)
        bridge.request_failed.connect(self._on_failed)

    def start(self, conversation_id: int, n_tokens: int, n_ctx: int) -> None:
        """``n_tokens`` is how long the conversation is, and ``n_ctx`` what fits."""
        self.stop()
        run_number, self._n_ctx = self._run_number, n_ctx
        self._parts, self._n_done, self._so_far = [], 0, ""
        self._offer.show_progress("Summarising the conversation.")

        def begin(parts: list[str]) -> None:
            if run_number == self._run_number:
                self._parts = parts
                self._ask_next()

        def give_up(error: BaseException) -> None:
            if run_number == self._run_number:
                self._fail(describe(error))

        operation = Operation(lambda: self._summariser.parts(conversation_id, n_tokens, n_ctx), owner=self)
        operation.success(begin).failure(give_up).run(self._queue)

    def stop(self) -> None:
        request_id = self._request_id
        self._end()
        if request_id is not None:
            self._summariser.cancel(request_id)

    def _ask_next(self) -> None:
        if self._n_done == len(self._parts):
            self._end()
            self.done.emit(self._so_far)
            return
        self._offer.show_progress(f"Summarising the conversation, part {self._n_done + 1} of {len(self._parts)}.")
        self._text = ""
        try:
            self._request_id = self._summariser.ask(self._parts[self._n_done], self._so_far, self._n_ctx)
        except KnownError as error:
            self._fail(ErrorInfo.of(error))

    def _on_text(self, request_id: RequestId, text: str) -> None:
        if request_id == self._request_id:
            self._text += text

    def _on_finished(self, event: RequestFinished) -> None:
        if event.request_id != self._request_id:
            return
        if event.reason is FinishReason.CANCELLED:
            self._end()
            return
        self._so_far = self._text.strip() or self._so_far
        self._n_done += 1
        self._ask_next()

    def _on_failed(self, request_id: RequestId, error: ErrorInfo) -> None:
        if request_id == self._request_id:
            self._fail(error)

    def _fail(self, error: ErrorInfo) -> None:
        self._end()
        self.failed.emit(error)

    def _end(self) -> None:
        self._run_number += 1
        self._request_id = None
        self._offer.end_progress()
