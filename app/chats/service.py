"""Conversations that are answered: the store and the engine together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from app.chats.live import LiveAnswers
from app.chats.request import build_messages, build_request, n_rows_dropped
from app.chats.store import ChatStore
from app.chats.types import (
    AnswerStats,
    ConversationSummary,
    Message,
    MessageState,
    Thread,
    message_id_of,
    request_id_of,
)
from app.jobs import IoPool
from app.settings import SettingsStore
from engine.client import EngineClient
from engine.errors import EngineStopped, ErrorInfo, InvalidRequest, KnownError, StorageError
from engine.events import (
    EngineFailed,
    Event,
    ModelLoaded,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.types import AdapterUse, FinishReason, Overflow

_logger = logging.getLogger(__name__)


class ChatService:
    """Thread: any. Every public method but :meth:`stop` waits for the disk and may raise StorageError.

    Text that streams is kept in memory and saved once a second on a queue of ``io`` (on a thread of its own without
    one); the end of an answer is saved at once. What cannot be saved stays in memory and is tried again, and
    :attr:`problem` tells meanwhile. The service owns ``store`` and closes it.
    """

    def __init__(
        self,
        store: ChatStore,
        engine: EngineClient,
        settings: SettingsStore,
        io: IoPool | None = None,
        clock: Callable[[], float] = time.monotonic,
        fits: Callable[[AdapterUse], bool] = lambda _use: True,
    ) -> None:
        """``fits`` tells whether an adapter belongs to the model that answers now; others are left out."""
        self._store = store
        self._fits = fits
        self._engine = engine
        self._settings = settings
        self._io = IoPool(n_threads=1) if io is None else io
        self._owns_io = io is None
        self._saver = self._io.serial("chats")
        self._live = LiveAnswers(clock)
        self._save_lock = threading.Lock()
        self._is_remote = False
        self._save_problem: ErrorInfo | None = None
        self._purged: tuple[int, ...] = ()
        self._interrupt_left_over()
        for conversation_id in settings.current.pinned_conversations:
            engine.pin(str(conversation_id), True)
        self._unsubscribe = engine.subscribe(self._on_event)

    @property
    def problem(self) -> ErrorInfo | None:
        """Why answers are not saved at the moment; else what was wrong with the file at the start."""
        return self._save_problem or self._store.problem

    def conversations(self) -> list[ConversationSummary]:
        """Last used first."""
        return self._store.conversations()

    def search(self, text: str) -> list[ConversationSummary]:
        """Conversations with every word of ``text`` in the title or in one message; all of them for no word."""
        return self._store.search(_clean(text))

    def create(self) -> ConversationSummary:
        return self._store.create_conversation()

    def rename(self, conversation_id: int, title: str) -> None:
        """Raises InvalidRequest for an empty title."""
        self._store.rename(conversation_id, _clean(title))

    def delete(self, conversation_id: int) -> None:
        """Hide it, stopping what is written in it. :meth:`restore` brings it back until :meth:`purge_deleted`."""
        self._store.delete(conversation_id)
        self._stop_all(conversation_id)

    def restore(self, conversation_id: int) -> None:
        self._store.restore(conversation_id)

    def purge_deleted(self) -> None:
        """Remove for good what was deleted, and what models remember of it."""
        purged = self._store.purge_deleted()
        self._purged = (*self._purged, *purged)
        pinned = self._settings.current.pinned_conversations
        self._settings.update(pinned_conversations=tuple(known for known in pinned if known not in purged))
        self._drop_purged()

    def adapters(self, conversation_id: int) -> tuple[AdapterUse, ...]:
        """The LoRA adapters that a conversation is answered with, where they belong to the model."""
        return self._store.adapters(conversation_id)

    def set_adapters(self, conversation_id: int, uses: Sequence[AdapterUse]) -> None:
        """From the next answer on. Raises InvalidRequest where there is no such conversation."""
        self._store.set_adapters(conversation_id, uses)

    def pin(self, conversation_id: int, is_pinned: bool) -> None:
        """Keep what the model has read of a conversation longest, or no longer. Returns at once."""
        others = [known for known in self._settings.current.pinned_conversations if known != conversation_id]
        self._settings.update(pinned_conversations=(*others, conversation_id) if is_pinned else tuple(others))
        self._engine.pin(str(conversation_id), is_pinned)

    def forget(self, conversation_id: int) -> None:
        """Drop what the model has read of a conversation; its text stays. Returns at once."""
        self._engine.drop(str(conversation_id))
        if conversation_id in self._settings.current.pinned_conversations:  # the engine forgets that as well
            self._engine.pin(str(conversation_id), True)

    def read_ahead(
        self,
        conversation_id: int | None,
        draft: str,
        *,
        editing: int | None = None,
        overflow: Overflow | None = None,
    ) -> None:
        """Let the engine read what will probably be sent next; PromptMeasured tells how long that is.

        ``editing`` is the user's message in whose place ``draft`` would stand. Replaces what was asked before, also
        where there is nothing to read: nothing was said or typed yet, or the conversation is being answered.
        """
        is_answered = conversation_id is not None and bool(self._live.expected(conversation_id))
        path = () if is_answered else self._path_before(conversation_id, editing)
        if not is_answered and (draft.strip() or any(message.content.strip() for message in path)):
            settings = self._settings.current
            messages = build_messages(path, settings, _clean(draft))
            conversation = None if conversation_id is None else str(conversation_id)
            self._engine.read_ahead(conversation, messages, overflow or settings.overflow)
        else:
            self._engine.read_ahead(None, ())

    def thread(self, conversation_id: int) -> Thread:
        """The active path, with the text that has arrived until now. Raises InvalidRequest where it is gone."""
        if self._save_problem is not None:
            self._queue_save()
        thread = self._with_live(self._store.thread(conversation_id))
        if self._has_stale(thread):  # an answer ended and was saved between the two looks
            thread = self._with_live(self._store.thread(conversation_id))
        return replace(
            thread, messages=tuple(map(self._without_stale, thread.messages)), n_unseen=self._n_unseen(thread)
        )

    def send(
        self, conversation_id: int | None, text: str, model_name: str | None, overflow: Overflow | None = None
    ) -> Thread:
        """Add a question to a conversation (a new one for None), and ask the engine for its answer.

        The question is on the disk before the engine sees it. ``overflow`` is for this answer only; None is what the
        settings say, here and below. Raises InvalidRequest for an empty text, and while the conversation is being
        answered.
        """
        text = _question(text)
        if conversation_id is not None and self._live.expected(conversation_id):
            raise InvalidRequest("This conversation is still being answered.", "Wait for the end, or stop it.")
        return self._submit(self._store.add_question(conversation_id, text), model_name, overflow)

    def regenerate(self, answer_id: int, model_name: str | None, overflow: Overflow | None = None) -> Thread:
        """Ask for another answer to the same question, and show that one. Stops one that is being written."""
        answer = self._store.add_answer_beside(answer_id)
        self._stop_all(answer.conversation_id)
        return self._submit(answer, model_name, overflow)

    def edit(self, user_message_id: int, text: str, model_name: str | None, overflow: Overflow | None = None) -> Thread:
        """Ask another question in place of an earlier one, in a branch of its own. Stops what is being written."""
        answer = self._store.add_edit(user_message_id, _question(text))
        self._stop_all(answer.conversation_id)
        return self._submit(answer, model_name, overflow)

    def show_sibling(self, message_id: int, step: int) -> Thread:
        """Show the branch of the sibling ``step`` places further; beyond the ends nothing changes."""
        return self.thread(self._store.show_sibling(message_id, step))

    def stop(self, answer_id: int) -> None:
        """Returns at once; the answer ends when the engine says so. Nothing happens to one that has ended."""
        if self._live.stop(answer_id):
            self._engine.cancel(request_id_of(answer_id))

    def close(self) -> None:
        """Save what is not saved; what still streams is kept as interrupted. Then nothing may be called any more."""
        self._unsubscribe()
        self._live.end_all(MessageState.INTERRUPTED)
        self._save()
        self._store.close()
        if self._owns_io:
            self._io.close()

    def _submit(self, answer: Message, model_name: str | None, overflow: Overflow | None) -> Thread:
        question_path = [self._live_message(message) for message in self._store.path_to(answer.id)[:-1]]
        uses = tuple(filter(self._fits, self._store.adapters(answer.conversation_id)))
        request = build_request(answer, question_path, self._settings.current, overflow, uses)
        self._live.begin(answer.id, answer.conversation_id, model_name)
        try:
            self._engine.submit(request)
        except KnownError as error:
            self._end(answer.id, MessageState.FAILED, error=ErrorInfo.of(error))
        return self.thread(answer.conversation_id)

    def _stop_all(self, conversation_id: int) -> None:
        for answer_id in self._live.expected(conversation_id):
            self.stop(answer_id)

    def _path_before(self, conversation_id: int | None, editing: int | None) -> tuple[Message, ...]:
        """What has been said before the user's next message."""
        if editing is not None:
            return self._store.path_to(editing)[:-1]
        return () if conversation_id is None else self._with_live(self._store.thread(conversation_id)).messages

    def _drop_purged(self) -> None:
        for conversation_id in self._purged:
            self._engine.drop(str(conversation_id))

    def _on_event(self, event: Event) -> None:
        """Thread: the engine client's, so nothing here waits."""
        match event:
            case ModelLoaded(info):
                self._is_remote = info.is_remote
                self._drop_purged()  # before it was loaded nobody could look at what is on the disk
            case RequestStarted(request_id=request_id, n_dropped=n_dropped):
                answer_id = message_id_of(request_id)
                if answer_id is not None:
                    self._live.start(answer_id, n_dropped)
            case TokensEmitted(request_id, text, reasoning=reasoning):
                answer_id = message_id_of(request_id)
                if answer_id is not None and self._live.append(answer_id, text, reasoning):
                    self._queue_save()
            case RequestFinished():
                self._on_finished(event)
            case RequestFailed(request_id, error):
                died = error.kind == EngineStopped.__name__
                self._end(
                    message_id_of(request_id), MessageState.INTERRUPTED if died else MessageState.FAILED, error=error
                )
            case EngineFailed():
                self._queue_save()

    def _on_finished(self, event: RequestFinished) -> None:
        answer_id = message_id_of(event.request_id)
        if answer_id is not None:
            stopped = event.reason is FinishReason.CANCELLED
            live = self._live.get(answer_id)
            n_dropped = live.n_dropped if live is not None else None
            stats = _stats(event, self._live.model_name(answer_id), n_dropped or 0, self._is_remote)
            self._end(answer_id, MessageState.STOPPED if stopped else MessageState.COMPLETE, stats)

    def _end(
        self,
        answer_id: int | None,
        state: MessageState,
        stats: AnswerStats | None = None,
        error: ErrorInfo | None = None,
    ) -> None:
        if answer_id is not None and self._live.end(answer_id, state, stats, error):
            self._queue_save()

    def _queue_save(self) -> None:
        try:
            self._saver.submit(self._save).add_done_callback(_log_failure)
        except RuntimeError:  # the pool is closed; close() saves what is left
            _logger.warning("an answer waits to be saved at the end")

    def _save(self) -> None:
        with self._save_lock:
            unsaved = self._live.unsaved()
            if not unsaved.updates:
                return
            try:
                self._store.save_answers(unsaved.updates)
            except StorageError as error:
                _logger.error("%d answers are not saved: %s", len(unsaved.updates), error)
                self._save_problem = ErrorInfo.of(error)
                return
            self._save_problem = None
            self._live.saved(unsaved)

    def _interrupt_left_over(self) -> None:
        """Where the disk refuses, :meth:`thread` still shows them as interrupted."""
        try:
            n_answers = self._store.interrupt_streaming()
        except StorageError as error:
            _logger.warning("answers of the last run stay open: %s", error)
            return
        if n_answers:
            _logger.info("%d answers were interrupted by the end of the last run", n_answers)

    def _with_live(self, thread: Thread) -> Thread:
        return replace(thread, messages=tuple(map(self._live_message, thread.messages)))

    def _live_message(self, message: Message) -> Message:
        live = self._live.get(message.id)
        if live is None:
            return message
        return replace(
            message,
            content=live.content,
            state=live.state,
            stats=live.stats,
            error=live.error,
            reasoning=live.reasoning,
        )

    def _n_unseen(self, thread: Thread) -> int:
        """As the newest answer that tells of it found them."""
        for row in range(len(thread.messages) - 1, -1, -1):
            n_dropped = self._n_dropped(thread.messages[row])
            if n_dropped is not None:
                return n_rows_dropped(thread.messages[:row], n_dropped)
        return 0

    def _n_dropped(self, message: Message) -> int | None:
        live = self._live.get(message.id)
        if live is not None and live.state is MessageState.STREAMING:
            return live.n_dropped
        return message.stats.n_dropped if message.stats is not None else None

    def _has_stale(self, thread: Thread) -> bool:
        return any(self._is_stale(message) for message in thread.messages)

    def _is_stale(self, message: Message) -> bool:
        """The database calls it streaming, but nobody writes it."""
        return message.state is MessageState.STREAMING and self._live.get(message.id) is None

    def _without_stale(self, message: Message) -> Message:
        return replace(message, state=MessageState.INTERRUPTED) if self._is_stale(message) else message


def _stats(event: RequestFinished, model_name: str | None, n_dropped: int, is_remote: bool) -> AnswerStats:
    usage, timings = event.usage, event.timings
    return AnswerStats(
        model_name,
        usage.n_prompt,
        usage.n_cached,
        usage.n_output,
        usage.n_ctx,
        timings.first_token_s,
        timings.decode_tokens_per_s(usage.n_output),
        event.reason,
        n_dropped,
        event.reuse,
        timings.queued_s,
        is_remote,
        event.drafting,
    )


def _question(text: str) -> str:
    if not text.strip():
        raise InvalidRequest("There is nothing to send.", "Type a message first.")
    return _clean(text)


def _clean(text: str) -> str:
    """Pasted text may hold halves of characters, which are not Unicode: they become replacement characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _log_failure(future: Future[None]) -> None:
    if error := future.exception():
        _logger.critical("saving answers failed", exc_info=error)
