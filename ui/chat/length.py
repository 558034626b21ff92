"""How long the conversation is with what is being typed: measured, read ahead, and what to do if it is too long."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal

from app.chats import ChatService
from app.settings import SettingsStore
from engine.errors import KnownError
from engine.events import PromptMeasured
from engine.types import Overflow
from ui.bridge import EngineBridge
from ui.chat.composer import Composer
from ui.chat.model_control import ModelControl, ModelState
from ui.tasks import Operation

READ_DELAY_MS = 250
"""After the last key: a pause in typing, and not every letter."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is open. ``editing`` is the message that is being written anew; ``problem`` says that it was too long."""

    conversation_id: int | None
    editing: int | None = None
    is_answered: bool = False
    problem: str | None = None


class LengthControl(QObject):
    """One request at a time runs on ``queue``; of those that wait only the newest counts."""

    roll_chosen = Signal()  # go on and leave the oldest turns out
    summary_chosen = Signal(int, int, int)  # conversation, tokens that it has, tokens that fit

    def __init__(
        self,
        composer: Composer,
        chats: ChatService,
        settings: SettingsStore,
        models: ModelControl,
        bridge: EngineBridge,
        queue: Executor,
    ) -> None:
        super().__init__(composer)
        self._composer = composer
        self._chats = chats
        self._settings = settings
        self._models = models
        self._queue = queue
        self._subject: Subject | None = None
        self._overflow: Overflow | None = None
        self._measured: PromptMeasured | None = None
        self._is_asking = False
        self._asks_again = False
        self._was_ready = False
        self._timer = QTimer(self, singleShot=True, interval=READ_DELAY_MS)
        self._timer.timeout.connect(self._ask)
        composer.edited.connect(self._timer.start)
        composer.offer.roll_chosen.connect(self._on_roll_chosen)
        composer.offer.summary_chosen.connect(self._on_summary_chosen)
        composer.offer.cancelled.connect(self._ask)
        models.changed.connect(self._on_model_changed)
        bridge.prompt_measured.connect(self._on_measured)

    def look_at(self, subject: Subject | None) -> None:
        """Something is open, or for a moment nothing: forget what was measured, and read it ahead."""
        if self._subject is None or subject is None or self._subject.conversation_id != subject.conversation_id:
            self._overflow = None
        self._subject = subject
        self._measured = None
        self._withdraw_offer()
        if subject is not None and subject.problem is not None and self._policy is Overflow.STOP:
            self._make_offer(subject.problem)
        self._ask()

    def take_overflow(self) -> Overflow | None:
        """What was chosen for the next answer only, which is being asked for now."""
        overflow, self._overflow = self._overflow, None
        self._timer.stop()
        return overflow

    @property
    def _policy(self) -> Overflow:
        return self._overflow or self._settings.current.overflow

    @property
    def _has_draft(self) -> bool:
        return bool(self._composer.text.strip())

    @property
    def _is_ready(self) -> bool:
        return self._models.state is ModelState.READY

    def _on_model_changed(self) -> None:
        if self._is_ready and not self._was_ready:
            self._ask()
        if not self._is_ready:
            self._withdraw_offer()
        self._was_ready = self._is_ready

    def _ask(self) -> None:
        """Have the engine read it, unless a request is on its way: then once more after that one."""
        self._timer.stop()
        subject, draft, overflow = self._subject, self._composer.text, self._overflow
        is_closed = not self._composer.window().isVisible()  # a key may have come just before
        if subject is None or not self._is_ready or is_closed:
            return
        if self._is_asking:
            self._asks_again = True
            return
        self._is_asking = True

        def read_ahead() -> None:
            self._chats.read_ahead(subject.conversation_id, draft, editing=subject.editing, overflow=overflow)

        operation = Operation(read_ahead, owner=self)
        operation.success(lambda _nothing: self._on_asked()).failure(self._on_not_asked).run(self._queue)

    def _on_asked(self) -> None:
        self._is_asking = False
        if self._asks_again:
            self._asks_again = False
            self._ask()

    def _on_not_asked(self, error: BaseException) -> None:
        """Nobody asked for it, so nobody is bothered; what is wrong with the disk comes up when it matters."""
        self._on_asked()
        if not isinstance(error, KnownError):
            raise error
        _logger.info("nothing is read ahead: %s", error)

    def _on_measured(self, event: PromptMeasured) -> None:
        subject = self._subject
        if subject is None or subject.is_answered or event.conversation != _name(subject.conversation_id):
            return
        self._measured = event
        self._composer.gauge.show_usage(event.n_tokens, event.n_ctx, event.n_dropped)
        if event.n_tokens < event.n_ctx:
            self._withdraw_offer()
        else:
            subject_words = "With this, the conversation" if self._has_draft else "This conversation"
            self._make_offer(f"{subject_words} is {event.n_tokens:,} tokens long. {event.n_ctx:,} fit.")

    def _make_offer(self, words: str) -> None:
        """Where leaving turns out was tried already, only the message can be made shorter; without one there is no
        need, because the next message lets more turns be left out.
        """
        can_roll = self._policy is Overflow.STOP
        if not can_roll and not self._has_draft:
            self._withdraw_offer()
            return
        self._composer.offer.show_offer(
            words if can_roll else f"{words} Make your message shorter.",
            can_roll=can_roll,
            can_summarise=can_roll and self._measured is not None and self._measured.conversation is not None,
        )
        self._composer.set_overlong(True)

    def _withdraw_offer(self) -> None:
        self._composer.offer.withdraw()
        self._composer.set_overlong(False)

    def _on_roll_chosen(self, is_for_always: bool) -> None:
        if is_for_always:
            self._settings.update(overflow=Overflow.ROLL)
        self._overflow = Overflow.ROLL
        self._withdraw_offer()
        self._composer.focus()
        self._ask()
        self.roll_chosen.emit()

    def _on_summary_chosen(self) -> None:
        subject, measured = self._subject, self._measured
        if subject is not None and subject.conversation_id is not None and measured is not None:
            self.summary_chosen.emit(subject.conversation_id, measured.n_tokens, measured.n_ctx)


def _name(conversation_id: int | None) -> str | None:
    return None if conversation_id is None else str(conversation_id)
