"""``chat``: a conversation in the terminal. It lives as long as the command and is not saved."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from app.cli.dialogue import Dialogue, EngineError
from app.cli.terminal import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, Terminal
from app.library import Library, ModelEntry
from app.partners import draft_config
from app.paths import Paths
from app.session import cache_config, first_usable
from app.settings import Settings, SettingsStore
from engine.client import EngineClient
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


def run(
    arguments: argparse.Namespace, paths: Paths, make_engine: Callable[[], EngineClient], terminal: Terminal
) -> int:
    """Chat until the input ends. Raises KnownError where no model can be loaded, or a single answer fails."""
    settings = SettingsStore(paths.settings_file).current
    library = Library(paths)
    model = _choose(library, arguments.model, settings.last_model)
    is_dialogue = arguments.prompt is None and terminal.is_interactive
    question = "" if is_dialogue else _single_question(arguments.prompt, terminal)
    if not is_dialogue and not question.strip():
        terminal.note("Nothing was asked: the prompt is empty.")
        return EXIT_FAILED
    engine = make_engine()
    dialogue = Dialogue(
        engine,
        LoadSpec(
            str(model.path),
            EngineConfig(n_ctx=settings.n_ctx),
            cache_config(settings, paths.kv_pages),
            draft_config(settings, library, model),
        ),
        SamplingParams(temperature=settings.temperature),
        _Screen(terminal, model.name),
        _system_messages(settings),
    )
    try:
        with dialogue.opened():
            return (
                _converse(dialogue, terminal, model.name) if is_dialogue else _answer_once(dialogue, terminal, question)
            )
    finally:
        engine.close()


def _single_question(prompt: str | None, terminal: Terminal) -> str:
    return terminal.stdin.read() if prompt is None else prompt


def _choose(library: Library, wished: str | None, last: str | None) -> ModelEntry:
    """Raises KnownError where there is no such model, or it cannot be used, or there is none at all."""
    if wished is None:
        for entry in library.entries():
            if entry.id == last and entry.problem is None:
                return entry
    entry = first_usable(library, wished)
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
