"""How a worker died, in a sentence for a person."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from engine.backend import ABORT_MARK
from engine.errors import ErrorInfo

_SIGNAL_MEANINGS = {
    "SIGKILL": "It was ended from outside, often by the system when memory runs out.",
    "SIGSEGV": "It read memory that is not its own.",
    "SIGBUS": "The model file shrank or its drive went away while it was in use.",
    "SIGILL": "It used an instruction that this processor does not have.",
    "SIGABRT": "It gave up over something it did not expect.",
    "SIGTERM": "It was ended from outside.",
}


def obituary(
    model_path: str, *, exit_code: int | None, stderr_tail: str, hang: str | None, was_loading: bool
) -> ErrorInfo:
    """Describe a death. ``exit_code`` is negative for signals, as subprocess has it; ``hang`` is why we ended it."""
    name = Path(model_path).name
    assertion = _assertion(stderr_tail)
    reason = hang or _reason(exit_code, assertion)
    if was_loading:
        text = f"The engine stopped while it loaded {name}. {reason}"
        hint = "The file is probably damaged or made for another version. Get it again, or pick another model."
    else:
        text = f"The engine stopped while it ran {name}. {reason}"
        hint = "What was said so far is kept."
    detail = "\n".join(filter(None, (f"exit code {exit_code}", assertion, stderr_tail[-4_000:])))
    return ErrorInfo("EngineStopped", text, hint, detail)


def _reason(exit_code: int | None, assertion: str) -> str:
    if assertion:
        return f"Its last words: {assertion}."
    if exit_code is None or exit_code >= 0:
        return f"It ended with code {exit_code}."
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"{_SIGNAL_MEANINGS.get(name, 'It was ended from outside.')} ({name})"


def _assertion(stderr_tail: str) -> str:
    """The text of the last ggml assert, without the build machine's folders in front of the file name."""
    lines = [line for line in stderr_tail.splitlines() if line.startswith(ABORT_MARK)]
    if not lines:
        return ""
    message = lines[-1].removeprefix(ABORT_MARK).strip()
    return re.sub(r"^\S*[/\\](?=[^/\\\s]+:\d+:)", "", message)
