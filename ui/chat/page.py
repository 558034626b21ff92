"""Decides about the open conversation: what is shown, sent, stopped, asked again and edited."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from PySide6.QtCore import QObject, QRect, QUrl
from PySide6.QtGui import QDesktopServices

from app.chats.summary import Summariser
from app.chats.types import Message, MessageState, Thread, message_id_of, request_id_of
from app.services import Services
from engine.errors import ContextTooLong, ErrorInfo
from engine.events import RequestFinished, RequestStarted
from engine.types import RequestId
from ui.bridge import EngineBridge
from ui.chat.answers import context_used, reading_text, view_of
from ui.chat.conversations import ConversationsControl
from ui.chat.drafts import Drafts
from ui.chat.explanation import show_explanation
from ui.chat.length import LengthControl, Subject
from ui.chat.model_control import ModelControl, ModelState
from ui.chat.summary import SummaryControl
from ui.chat.view import ChatView
from ui.errors import describe
from ui.tasks import Operation
from ui.widgets.banner import BannerText, Tone, details_action
from ui.widgets.overlay import Sheet
from ui.widgets.transcript import MessageView, Transcript

_NEW_TITLE = "New conversation"
_SUMMARY_WORDS = "This is a summary of our conversation so far:"
_SAVING = "saving"
_CONVERSATION = "conversation"


class ChatPage(QObject):
    """Work on conversations runs in order on ``queue``; an outcome for a conversation that is not open any more
    changes nothing on the page."""

    def __init__(
        self,
        view: ChatView,
        transcript: Transcript,
        services: Services,
        bridge: EngineBridge,
        conversations: ConversationsControl,
        models: ModelControl,
        queue: Executor,
    ) -> None:
        super().__init__(view)
        self._view = view
        self._composer = view.composer
        self._transcript = transcript
        self._chats = services.chats
        self._bridge = bridge
        self._conversations = conversations
        self._models = models
        self._queue = queue
        self._length = LengthControl(view.composer, services.chats, services.settings, models, bridge, queue)
        self._open_id: int | None = None
        self._has_opened = False
        self._thread: Thread | None = None
        self._shown: tuple[MessageView, ...] = ()
        self._drafts = Drafts()
        self._editing: int | None = None
        self._saving_problem: ErrorInfo | None = None
        summariser = Summariser(services.chats, services.engine, services.settings)
        self._summary = SummaryControl(view.composer.offer, summariser, bridge, queue)
        view.add_transcript(transcript)
        self._connect_view()
        self._connect_transcript()
        self._connect_bridge()
        conversations.opened.connect(self.open)
        conversations.renamed.connect(self._on_renamed)
        conversations.failed.connect(self._show_error)
        models.changed.connect(self._on_model_changed)
        self._length.roll_chosen.connect(self._go_on_rolling)
        self._length.summary_chosen.connect(self._summary.start)
        self._summary.done.connect(self._go_on_from_summary)
        self._summary.failed.connect(self._on_not_summarised)

    def open(self, conversation_id: int | None) -> None:
        """Show a conversation, or with None an empty page that becomes one with the first message."""
        self._leave_edit()
        self._summary.stop()
        self._length.look_at(None)
        self._drafts.keep(self._open_id if self._has_opened else conversation_id, self._composer.text)
        self._has_opened = True  # what was typed before the first conversation was open belongs to that one
        self._open_id = conversation_id
        self._view.banners.clear(_CONVERSATION)
        self._composer.set_busy(False)
        self._composer.set_text(self._drafts.of(conversation_id))
        if conversation_id is None:
            self._show_empty()
        else:
            self._run(lambda: self._chats.thread(conversation_id), self._show)

    def submit(self, text: str) -> None:
        """Send what the composer holds. The text stays there until it is saved."""
        at, editing, model_name = self._open_id, self._editing, self._models.name
        overflow = self._length.take_overflow()
        self._composer.set_busy(True)

        def send() -> Thread:
            if editing is not None:
                return self._chats.edit(editing, text, model_name, overflow)
            return self._chats.send(at, text, model_name, overflow)

        Operation(send, owner=self).success(lambda thread: self._on_sent(at, thread)).failure(
            lambda error: self._on_not_sent(at, error)
        ).run(self._queue)

    def stop(self) -> None:
        """Stop the answer that is being written here."""
        answer_id = self._streaming_id()
        if answer_id is not None:
            self._chats.stop(answer_id)

    def _connect_view(self) -> None:
        self._view.escape_pressed.connect(self._on_escape)
        self._view.title.renamed.connect(self._on_title_edited)
        self._view.welcome.example_picked.connect(self._on_example_picked)
        self._view.sidebar.list.confirmed.connect(self._composer.focus)
        self._view.sidebar.new_button.clicked.connect(self._composer.focus)
        self._composer.submitted.connect(self.submit)
        self._composer.stop_requested.connect(self.stop)
        self._composer.edit_cancelled.connect(self._leave_edit)

    def _connect_transcript(self) -> None:
        self._transcript.regenerate_requested.connect(self._regenerate)
        self._transcript.retry_requested.connect(self._regenerate)
        self._transcript.edit_requested.connect(self._edit)
        self._transcript.sibling_requested.connect(self._show_sibling)
        self._transcript.explanation_requested.connect(self._explain)
        self._transcript.link_activated.connect(self._confirm_link)

    def _connect_bridge(self) -> None:
        self._bridge.request_started.connect(self._on_started)
        self._bridge.prefill_progressed.connect(self._on_prefill)
        self._bridge.reasoning_arrived.connect(self._on_reasoning)
        self._bridge.text_arrived.connect(self._on_text)
        self._bridge.request_finished.connect(self._on_finished)
        self._bridge.request_failed.connect(self._on_failed)

    # -- showing

    def _show_empty(self) -> None:
        self._thread = None
        self._shown = ()
        self._transcript.clear()
        self._view.title.set_title(_NEW_TITLE, editable=False)
        self._view.show_welcome()
        self._composer.gauge.hide()
        self._refresh_composer()
        self._refresh_welcome()
        self._show_saving_problem()
        self._measure()

    def _show(self, thread: Thread) -> None:
        if thread.conversation.id != self._open_id:
            return
        views = self._views_of(thread)
        self._thread = thread
        self._fill_transcript(views)
        self._view.title.set_title(thread.conversation.title, editable=True)
        self._view.show_transcript()
        self._show_usage()
        self._refresh_composer()
        self._refresh_progress()
        self._show_saving_problem()
        self._measure()
        self._settle_what_ended()

    def _settle_what_ended(self) -> None:
        """An answer may have ended after it was read as streaming and before it was shown."""
        answer_id = self._streaming_id()
        if answer_id is not None and self._bridge.has_ended(request_id_of(answer_id)):
            self._settle(request_id_of(answer_id))

    def _fill_transcript(self, views: tuple[MessageView, ...]) -> None:
        """Only what is new, where the rest stands already: the transcript keeps its place then."""
        n_shown = len(self._shown)
        if n_shown and views[:n_shown] == self._shown:
            for view in views[n_shown:]:
                self._transcript.append_message(view)
        else:
            self._transcript.set_messages(views)
        self._shown = views

    def _views_of(self, thread: Thread) -> tuple[MessageView, ...]:
        """What was told of an answer that streams goes before what is stored: later signals continue exactly that."""
        views = []
        for row, message in enumerate(thread.messages):
            request_id = request_id_of(message.id)
            live = self._bridge.live_text(request_id) if self._bridge.is_live(request_id) else None
            views.append(view_of(message, live, is_first_seen=row == thread.n_unseen > 0))
        return tuple(views)

    def _show_usage(self) -> None:
        stats = next((m.stats for m in reversed(self._messages()) if m.stats is not None), None)
        if stats is not None and stats.n_prompt and stats.n_ctx:
            self._composer.gauge.show_usage(context_used(stats), stats.n_ctx, stats.n_dropped)
        else:
            self._composer.gauge.hide()

    def _measure(self) -> None:
        """Have it read ahead, which tells how long it is."""
        overlong = _overlong_answer(self._messages())
        problem = overlong.error.text if overlong is not None and overlong.error is not None else None
        is_answered = self._streaming_id() is not None
        self._length.look_at(Subject(self._open_id, self._editing, is_answered, problem))

    def _refresh_composer(self) -> None:
        self._composer.block(self._models.blocks_sending)
        self._composer.set_streaming(self._streaming_id() is not None)

    def _refresh_progress(self) -> None:
        """An answer that has not started says what it waits for."""
        answer_id = self._streaming_id()
        if answer_id is None or self._bridge.is_live(request_id_of(answer_id)):
            return
        loading = self._models.state is ModelState.LOADING
        self._transcript.set_progress(answer_id, "Waiting for the model" if loading else "Waiting")

    def _refresh_welcome(self) -> None:
        if self._models.is_bare:
            self._view.welcome.show_no_model()
        elif self._models.state is ModelState.UNKNOWN:
            self._view.welcome.show_nothing()
        else:
            self._view.welcome.show_invitation(self._models.server_name)

    def _on_model_changed(self) -> None:
        self._refresh_composer()
        self._refresh_progress()
        self._refresh_welcome()

    # -- sending

    def _on_sent(self, at: int | None, thread: Thread) -> None:
        self._drafts.drop(at)
        self._conversations.refresh()
        if self._open_id != at:
            return
        self._composer.set_busy(False)
        self._composer.clear()
        self._end_edit()
        self._open_id = thread.conversation.id
        self._conversations.select(thread.conversation.id)
        self._view.banners.clear(_CONVERSATION)
        self._models.acknowledge()
        self._show(thread)

    def _on_not_sent(self, at: int | None, error: BaseException) -> None:
        """The text is still in the composer, or with its conversation's drafts."""
        if self._open_id == at:
            self._composer.set_busy(False)
        self._show_error(error)

    def _regenerate(self, answer_id: int) -> None:
        model_name = self._models.name
        if self._models.blocks_sending is not None:
            self._models.open_picker()
        else:
            overflow = self._length.take_overflow()
            self._run(lambda: self._chats.regenerate(answer_id, model_name, overflow), self._show)

    def _go_on_rolling(self) -> None:
        """Send what is written; else ask again for what was too long. With neither, the next message goes so."""
        failed = _overlong_answer(self._messages())
        if self._composer.text.strip():
            self._composer.send()
        elif failed is not None:
            self._regenerate(failed.id)

    def _go_on_from_summary(self, summary: str) -> None:
        """A new conversation, with the summary and what was to be sent in the composer."""
        parts = (_SUMMARY_WORDS, summary, self._composer.text, self._drafts.of(None))
        if self._editing is None:
            self._composer.clear()
        self._drafts.keep(None, "\n\n".join(part for part in parts if part.strip()))
        self._conversations.open(None)
        self._composer.focus()

    def _on_not_summarised(self, error: ErrorInfo) -> None:
        self._show_problem(error)
        self._measure()

    def _show_sibling(self, message_id: int, step: int) -> None:
        self._run(lambda: self._chats.show_sibling(message_id, step), self._show)

    # -- editing an earlier message

    def _edit(self, message_id: int) -> None:
        message = next((message for message in self._messages() if message.id == message_id), None)
        if message is None:
            return
        if self._editing is None:
            self._drafts.keep(self._open_id, self._composer.text)
        self._editing = message_id
        self._composer.set_editing(True)
        self._composer.set_text(message.content)
        self._measure()
        self._composer.focus()

    def _leave_edit(self) -> None:
        if self._editing is not None:
            self._end_edit()
            self._composer.set_text(self._drafts.of(self._open_id))
            self._measure()

    def _end_edit(self) -> None:
        self._editing = None
        self._composer.set_editing(False)

    # -- what the engine tells

    def _on_started(self, event: RequestStarted) -> None:
        message_id = self._shown_message(event.request_id)
        if message_id is not None:
            self._transcript.set_progress(message_id, reading_text(event))
            self._show_what_is_unseen(event.n_dropped)

    def _show_what_is_unseen(self, n_dropped: int) -> None:
        """Ask again which messages the model sees, where that may be others than before."""
        thread = self._thread
        if thread is not None and (n_dropped or thread.n_unseen):
            self._run(lambda: self._chats.thread(thread.conversation.id), self._show)

    def _on_prefill(self, request_id: RequestId, n_done: int, n_prompt: int) -> None:
        message_id = self._shown_message(request_id)
        if message_id is not None:
            self._transcript.set_progress(message_id, f"Reading {n_done:,} of {n_prompt:,} tokens")

    def _on_reasoning(self, request_id: RequestId, text: str) -> None:
        message_id = self._shown_message(request_id)
        if message_id is not None:
            self._transcript.append_thought(message_id, text)

    def _on_text(self, request_id: RequestId, text: str) -> None:
        message_id = self._shown_message(request_id)
        if message_id is not None:
            self._transcript.append_text(message_id, text)

    def _on_finished(self, event: RequestFinished) -> None:
        self._settle(event.request_id)

    def _on_failed(self, request_id: RequestId, _error: ErrorInfo) -> None:
        self._settle(request_id)

    def _settle(self, request_id: RequestId) -> None:
        """An answer ended: ask how it is kept."""
        message_id = self._shown_message(request_id)
        open_id = self._open_id
        if message_id is not None and open_id is not None:
            self._run(lambda: self._chats.thread(open_id), lambda thread: self._on_settled(message_id, thread))

    def _on_settled(self, message_id: int, thread: Thread) -> None:
        if thread.conversation.id != self._open_id:
            return
        views = self._views_of(thread)
        if _places(views) != _places(self._shown):
            self._show(thread)
            return
        self._thread = thread
        self._shown = views
        self._transcript.finish_message(next(view for view in views if view.id == message_id))
        self._show_usage()
        self._refresh_composer()
        self._show_saving_problem()
        self._measure()

    # -- the rest

    def _on_escape(self) -> None:
        if self._streaming_id() is not None:
            self.stop()
        else:
            self._leave_edit()

    def _on_example_picked(self, text: str) -> None:
        self._composer.set_text(text)
        self._composer.focus()

    def _on_title_edited(self, title: str) -> None:
        if self._open_id is not None:
            self._conversations.rename(self._open_id, title)

    def _on_renamed(self, conversation_id: int, title: str) -> None:
        if conversation_id == self._open_id:
            self._view.title.set_title(title, editable=True)

    def _explain(self, message_id: int, place: QRect) -> None:
        stats = next((message.stats for message in self._messages() if message.id == message_id), None)
        if stats is not None:
            show_explanation(self._view.window(), stats, place)

    def _confirm_link(self, url: QUrl) -> None:
        sheet = Sheet(self._view.window(), "Open this link?", url.toDisplayString())
        sheet.add_button("Cancel")
        sheet.add_button("Open", lambda: QDesktopServices.openUrl(url), "primary")
        sheet.open()

    def _show_error(self, error: BaseException) -> None:
        self._show_problem(describe(error))

    def _show_problem(self, info: ErrorInfo) -> None:
        details = details_action(self._view.window(), info)
        self._view.banners.show_banner(_CONVERSATION, BannerText(info.text, info.hint), *details)

    def _show_saving_problem(self) -> None:
        """The disk may be full or read-only: said once, and taken back when it is so no more."""
        problem = self._chats.problem
        if problem == self._saving_problem:
            return
        self._saving_problem = problem
        if problem is None:
            self._view.banners.clear(_SAVING)
        else:
            content = BannerText(problem.text, problem.hint, Tone.WARN)
            self._view.banners.show_banner(_SAVING, content, *details_action(self._view.window(), problem))

    def _messages(self) -> tuple[Message, ...]:
        return self._thread.messages if self._thread is not None else ()

    def _streaming_id(self) -> int | None:
        return next((message.id for message in self._messages() if message.state is MessageState.STREAMING), None)

    def _shown_message(self, request_id: RequestId) -> int | None:
        message_id = message_id_of(request_id)
        return message_id if any(message.id == message_id for message in self._messages()) else None

    def _run(self, fn: Callable[[], Thread], done: Callable[[Thread], None]) -> None:
        Operation(fn, owner=self).success(done).failure(self._show_error).run(self._queue)


def _places(views: tuple[MessageView, ...]) -> list[tuple[int, bool]]:
    """Which messages stand there, and from where the model sees them."""
    return [(view.id, view.is_first_seen) for view in views]


def _overlong_answer(messages: tuple[Message, ...]) -> Message | None:
    """The last answer, if there is none because the conversation was too long."""
    last = next(reversed(messages), None)
    is_overlong = last is not None and last.error is not None and last.error.kind == ContextTooLong.__name__
    return last if is_overlong else None
