"""``chat``: a conversation in the terminal. It lives as long as the command and is not saved."""

from __future__ import annotations

import argparse

from app.cli.dialogue import Dialogue, EngineError
from app.cli.terminal import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, Terminal
from app.library import ModelEntry
from app.services import Services
from app.session import first_usable
from app.settings import Settings
from engine.config import EngineConfig, LoadSpec
from engine.events import RequestFinished
from engine.types import ChatMessage, FinishReason, Role, SamplingParams

_PROMPT = "> "
_ENDINGS = {
    FinishReason.CANCELLED: ", stopped",
    FinishReason.CONTEXT_FULL: ", the context is full",
    FinishReason.MAX_TOKENS: ", the longest answer allowed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a model's id or a GGUF file; the last one if left out"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="answer this once on the standard output, and end")


def run(arguments: argparse.Namespace, services: Services, terminal: Terminal) -> int:
    """Chat until the input ends. Raises KnownError where no model can be loaded, or a single answer fails."""
    model = _choose(services, arguments.model)
    settings = services.settings.current
    dialogue = Dialogue(
        services.engine,
        LoadSpec(str(model.path), EngineConfig(n_ctx=settings.n_ctx)),
        SamplingParams(temperature=settings.temperature),
        _Screen(terminal, model.name),
        _system_messages(settings),
    )
    if arguments.prompt is None and terminal.is_interactive:
        with dialogue.opened():
            return _converse(dialogue, terminal, model.name)
    question = terminal.stdin.read() if arguments.prompt is None else arguments.prompt
    if not question.strip():
        terminal.note("Nothing was asked: the prompt is empty.")
        return EXIT_FAILED
    with dialogue.opened():
        return _answer_once(dialogue, terminal, question)


def _choose(services: Services, wished: str | None) -> ModelEntry:
    """Raises KnownError where there is no such model, or it cannot be used, or there is none at all."""
    if wished is None:
        last = services.settings.current.last_model
        for entry in services.library.entries():
            if entry.id == last and entry.problem is None:
                return entry
    entry = first_usable(services.library, wished)
    if entry.problem is not None:
        raise EngineError(entry.problem)
    return entry


def _system_messages(settings: Settings) -> list[ChatMessage]:
    return [ChatMessage(Role.SYSTEM, settings.system_prompt)] if settings.system_prompt.strip() else []


def _answer_once(dialogue: Dialogue, terminal: Terminal, question: str) -> int:
    finished = dialogue.ask(question)
    terminal.write("\n")
    return EXIT_INTERRUPTED if finished.reason is FinishReason.CANCELLED else EXIT_DONE


def _converse(dialogue: Dialogue, terminal: Terminal, model_name: str) -> int:
    terminal.note(f"{model_name}. Ctrl+C stops an answer, Ctrl+D ends the chat.")
    while (question := _next_question(terminal)) is not None:
        if not question.strip():
            continue
        try:
            finished = dialogue.ask(question)
        except EngineError as error:
            terminal.note(f"\n{error}")
        else:
            terminal.write("\n")
            terminal.note(f"[{_summary(finished)}]")
    terminal.write("\n")
    return EXIT_DONE


def _next_question(terminal: Terminal) -> str | None:
    """Ctrl+C drops the line that is being typed, as in a shell."""
    while True:
        try:
            return terminal.ask(_PROMPT)
        except KeyboardInterrupt:
            terminal.note("")


def _summary(finished: RequestFinished) -> str:
    usage = finished.usage
    speed = finished.timings.decode_tokens_per_s(usage.n_output)
    spoken = f"{usage.n_output} tokens" + (f", {speed:.1f} tokens/s" if speed is not None else "")
    return f"{spoken}, context {usage.n_context_used:,} of {usage.n_ctx:,}{_ENDINGS.get(finished.reason, '')}"


class _Screen:
    """Shows a dialogue on a terminal; how a load goes on only where somebody looks."""

    def __init__(self, terminal: Terminal, model_name: str) -> None:
        self._terminal = terminal
        self._model_name = model_name
        self._shows_progress = terminal.stderr.isatty()

    def loading(self, progress: float) -> None:
        if self._shows_progress:
            self._terminal.note(f"\rLoading {self._model_name}: {progress:.0%} ", end="")

    def loaded(self) -> None:
        if self._shows_progress:
            self._terminal.note("\r\033[K", end="")

    def text(self, text: str) -> None:
        self._terminal.write(text)
