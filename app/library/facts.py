"""What the library shows of a model file, read from its header once and remembered as long as the file is the same."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import msgspec

from app.files import write_atomically
from engine.gguf import GgufHeader, check_loadable, read_header

_logger = logging.getLogger(__name__)

_MAX_NAME_LENGTH = 80
_FILE_ENDINGS = re.compile(
    r"([-_.]\d{5}-of-\d{5})?([-_.]((UD|i1)[-_])?(I?Q\d(_[A-Z0-9]+)*|TQ\d_\d|B?F(16|32)|FP16|MXFP4(_MOE)?))?([-_.]\d{5}-of-\d{5})?$",
    re.IGNORECASE,
)
_EMPTY_NAMES = {"", "model", "ggml model", "ggml", "gguf"}


class ModelFacts(msgspec.Struct, frozen=True):
    name: str
    architecture: str
    quantization: str
    n_params: int
    n_ctx_train: int


class _Remembered(msgspec.Struct, frozen=True):
    """The facts of a file of that size, last changed at that time. ``loadable``: it was checked for loading, too."""

    size_bytes: int
    modified_ns: int
    loadable: bool
    facts: ModelFacts


class FactsCache:
    """Facts by path; a header is read again when size or time of its file have changed. Thread: one at a time.

    Only good news is remembered: what this version cannot load, the next one may.
    """

    def __init__(self, path: Path) -> None:
        """``path`` is where the facts are kept. It may be deleted at any time."""
        self._path = path
        self._remembered = _load(path)
        self._kept = set(self._remembered)
        self._used: set[str] = set()

    def facts_of(self, path: Path, *, to_load: bool) -> ModelFacts:
        """``to_load`` is for what llama.cpp opens first, and not for later parts of a model. Raises ModelFileError."""
        key = str(path)
        self._used.add(key)
        size_bytes, modified_ns = _identity(path)
        known = self._remembered.get(key)
        same = known is not None and (known.size_bytes, known.modified_ns) == (size_bytes, modified_ns)
        if known is not None and same and known.loadable >= to_load:
            return known.facts
        header = read_header(path)
        if to_load:
            check_loadable(header)
        facts = _facts(header)
        self._remembered[key] = _Remembered(size_bytes, modified_ns, to_load, facts)
        self._kept.discard(key)
        return facts

    def save(self) -> None:
        """Keep what was asked for since the last time and forget the rest. A disk that refuses costs time only."""
        self._remembered = {key: self._remembered[key] for key in self._used if key in self._remembered}
        self._used = set()
        if self._kept == self._remembered.keys():
            return
        try:
            write_atomically(self._path, msgspec.json.encode(self._remembered))
        except OSError as error:
            _logger.info("facts about models are not kept: %s", error)
        else:
            self._kept = set(self._remembered)


def _identity(path: Path) -> tuple[int, int]:
    """Size and time of change; zeros where they cannot be had, for which reading the header has the words."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _facts(header: GgufHeader) -> ModelFacts:
    return ModelFacts(
        _one_line(display_name(header.path.stem, header.name)),
        _one_line(header.architecture),
        header.quantization,
        header.n_params,
        header.n_ctx_train,
    )


def display_name(stem: str, name_inside: str) -> str:
    """The file's name in words, without its type: what its publisher chose and its user knows.

    The name inside is often left over from training ("Mix1 Ep2"), and is used where the file's says nothing.
    """
    bare = _FILE_ENDINGS.sub("", stem)
    words = " ".join(re.split(r"[-_ ]+", bare)).strip()
    return name_inside if words.casefold() in _EMPTY_NAMES and name_inside else words or stem


def _one_line(text: str) -> str:
    """Names are a stranger's text: no control characters, and not endless."""
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
