"""What the library shows of a model file, read from its header once and remembered as long as the file is the same."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.files import write_atomically
from engine.errors import ErrorInfo, ModelFileError
from engine.gguf.summary import HeaderSummary
from engine.probe.parent import Examiner

_logger = logging.getLogger(__name__)

_MAX_NAME_LENGTH = 80
_FILE_ENDINGS = re.compile(
    r"([-_.]\d{5}-of-\d{5})?([-_.]((UD|i1)[-_])?(I?Q\d(_[A-Z0-9]+)*|TQ\d_\d|B?F(16|32)|FP16|MXFP4(_MOE)?))?([-_.]\d{5}-of-\d{5})?$",
    re.IGNORECASE,
)
_EMPTY_NAMES = {"", "model", "ggml model", "ggml", "gguf"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A file changed when any of these did. ``changed_ns`` also tells of permissions, but not after a copy."""

    size_bytes: int
    modified_ns: int
    changed_ns: int

    @property
    def modified_s(self) -> float:
        return self.modified_ns / 1e9


class _Remembered(msgspec.Struct, frozen=True):
    """What a file of that size said, last changed at that time. ``is_part``: it was not checked for loading."""

    size_bytes: int
    modified_ns: int
    is_part: bool
    summary: HeaderSummary

    def is_of(self, identity: Identity) -> bool:
        return (self.size_bytes, self.modified_ns) == (identity.size_bytes, identity.modified_ns)


class FactsCache:
    """Facts by path; a header is read again when size or time of its file have changed. Thread: any.

    Good news is kept on disk. Bad news is remembered only here: what this version cannot load, the next one may.
    """

    def __init__(self, path: Path, examine: Examiner) -> None:
        """``path`` is where the facts are kept. It may be deleted at any time."""
        self._path = path
        self._examine = examine
        self._lock = threading.Lock()
        self._good = _load(path)
        self._kept = dict(self._good)
        self._bad: dict[str, tuple[Identity | None, ErrorInfo]] = {}

    def known(self, path: Path, identity: Identity | None, *, is_part: bool) -> HeaderSummary | ErrorInfo | None:
        """Without reading anything: what the file says, why it is of no use, or None for what is not known yet."""
        with self._lock:
            good, bad = self._good.get(str(path)), self._bad.get(str(path))
        if good is not None and identity is not None and good.is_of(identity):
            return good.summary if is_part or not good.is_part else None
        return bad[1] if bad is not None and bad[0] == identity else None

    def read(self, path: Path, name: str, *, is_part: bool, by_llama: bool = False) -> HeaderSummary | ErrorInfo:
        """Read it now. Blocks."""
        identity = identity_of(path)
        try:
            summary = self._examine(path, name, is_part=is_part, by_llama=by_llama)
        except ModelFileError as error:
            problem = ErrorInfo.of(error)
            with self._lock:
                self._good.pop(str(path), None)
                self._bad[str(path)] = (identity, problem)
            return problem
        if identity is not None:
            with self._lock:
                self._bad.pop(str(path), None)
                self._good[str(path)] = _Remembered(identity.size_bytes, identity.modified_ns, is_part, summary)
        return summary

    def save(self, in_use: set[Path]) -> None:
        """Keep what is known of these files and forget the rest. A disk that refuses costs time only."""
        names = {str(path) for path in in_use}
        with self._lock:
            self._good = {key: known for key, known in self._good.items() if key in names}
            self._bad = {key: known for key, known in self._bad.items() if key in names}
            if self._kept == self._good:
                return
            kept = dict(self._good)
        try:
            write_atomically(self._path, msgspec.json.encode(kept))
        except OSError as error:
            _logger.info("facts about models are not kept: %s", error)
        else:
            self._kept = kept


def identity_of(path: Path) -> Identity | None:
    """None for a file that cannot be looked at, for which reading its header has the words."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return Identity(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def display_name(stem: str, name_inside: str) -> str:
    """The file's name in words, without its type: what its publisher chose and its user knows.

    The name inside is often left over from training ("Mix1 Ep2"), and is used where the file's says nothing.
    """
    bare = _FILE_ENDINGS.sub("", stem)
    words = " ".join(re.split(r"[-_ ]+", bare)).strip()
    return name_inside if words.casefold() in _EMPTY_NAMES and name_inside else words or stem


def one_line(text: str) -> str:
    """Names are a stranger's text: no control characters, and not endless."""
    if text.isprintable() and len(text) <= _MAX_NAME_LENGTH and "  " not in text and text == text.strip():
        return text
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_MAX_NAME_LENGTH]


def _load(path: Path) -> dict[str, _Remembered]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Remembered])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _logger.info("facts about models are read again: %s", error)
        return {}
