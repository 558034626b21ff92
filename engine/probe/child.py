"""The process that reads one file after the other."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from engine.errors import ErrorInfo, ModelFileError
from engine.gguf import check_adapter, check_loadable, read_header
from engine.gguf.summary import FileKind, HeaderSummary, summary_of
from engine.probe.messages import Answer, Question, read_message, write_message

_HEADER_MEMORY_BYTES = 512 * 2**20
_LLAMA_MEMORY_BYTES = 3 * 2**30
"""Graphs and vocabularies; the weights are not read."""
_CPU_S = 600
"""For thousands of headers, in case that the other side is gone and a file never ends."""


def main() -> None:
    questions, answers = _take_pipes()
    _limit_memory(_HEADER_MEMORY_BYTES)
    while (question := read_message(questions, Question)) is not None:
        try:
            answer = Answer(summary=summarise(question))
        except ModelFileError as error:
            answer = Answer(problem=ErrorInfo.of(error))
        except MemoryError:
            answer = Answer(problem=too_large(question.name))
        write_message(answers, answer)


def summarise(question: Question) -> HeaderSummary:
    """Read and check one file. Raises ModelFileError."""
    path = Path(question.path)
    header = read_header(path, question.name)
    summary = summary_of(header)
    if summary.kind is FileKind.ADAPTER:
        check_adapter(header)
    if summary.kind in (FileKind.PROJECTOR, FileKind.ADAPTER) or question.is_part:
        return summary
    check_loadable(header)
    if question.by_llama:
        _limit_memory(_LLAMA_MEMORY_BYTES)
        from engine.backend.examine import examine  # here, since most files are read without llama.cpp

        examine(path, question.name)
    return summary


def too_large(name: str) -> ErrorInfo:
    return ErrorInfo.of(ModelFileError(f"{name} asks for more memory than any header needs.", "Download it again."))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for messages alone: whatever a library prints goes to stderr."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return questions, answers


def _limit_memory(n_bytes: int) -> None:
    """Of data, not of addresses: libraries map far more than they use. Where there is no such limit, time is one."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > n_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, hard))
