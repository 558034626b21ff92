"""The files of a repository as a person sees them: by quantization, split files as one, with what each is for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.hub.names import checked_file
from app.hub.types import FileGroup, FileKind, RemoteFile
from engine.errors import ErrorInfo, KnownError

_SUFFIX = ".gguf"
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})$")
_MAX_PARTS = 2000
_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])(?P<label>(?:UD-|i1-)?"
    r"(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32|FP8))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PROJECTOR = re.compile(r"(?<![a-z])(mmproj|mm-proj|projector|clip-vision)(?![a-z])", re.IGNORECASE)
_DRAFT = re.compile(r"(?<![a-z])(draft|drafter|mtp|eagle3?|medusa)(?![a-z])", re.IGNORECASE)
_ADAPTER = re.compile(r"(?<![a-z])(lora|adapter|dora)(?![a-z])", re.IGNORECASE)
_NOT_MODELS = re.compile(r"(?<![a-z])(imatrix|vocab|control-?vector)(?![a-z])", re.IGNORECASE)
_ORDER = {kind: number for number, kind in enumerate(FileKind)}


@dataclass(frozen=True, slots=True)
class _Part:
    """``number`` and ``count`` are 1 for a file that is whole."""

    stem: str
    number: int
    count: int
    file: RemoteFile


def group_files(files: Iterable[RemoteFile], repo_name: str = "") -> tuple[FileGroup, ...]:
    """Every GGUF file but those that are no models; models first, each kind by size.

    ``repo_name`` tells an adapter by its repository where its file does not.
    """
    parts: dict[tuple[str, int], list[_Part]] = {}
    for file in files:
        if file.path.lower().endswith(_SUFFIX) and not _NOT_MODELS.search(file.path):
            part = _part(file)
            parts.setdefault((part.stem, part.count), []).append(part)
    groups = [_group(stem, count, found, repo_name) for (stem, count), found in parts.items()]
    return tuple(sorted(groups, key=lambda group: (_ORDER[group.kind], group.size_bytes, group.stem)))


def label_of(stem: str) -> str:
    """The quantization as the file's name tells it ("Q4_K_M", "UD-IQ2_XXS"), or an empty text.

    The file's own name goes before that of its folder, and what stands last before what stands first.
    """
    for text in (stem.rpartition("/")[2], stem):
        found = [hit["label"] for hit in _QUANTIZATION.finditer(text)]
        if found:
            return _written_as_usual(found[-1])
    return ""


def _part(file: RemoteFile) -> _Part:
    stem = file.path[: -len(_SUFFIX)]
    found = _PART.fullmatch(stem)
    if found is None or not 1 <= int(found["number"]) <= int(found["count"]) <= _MAX_PARTS:
        return _Part(stem, 1, 1, file)
    return _Part(found["stem"], int(found["number"]), int(found["count"]), file)


def _group(stem: str, count: int, parts: Sequence[_Part], repo_name: str) -> FileGroup:
    ordered = sorted(parts, key=lambda part: part.number)
    files = tuple(part.file for part in ordered)
    kind = _kind(stem, sum(file.size_bytes for file in files), repo_name)
    return FileGroup(kind, label_of(stem), stem, files, _problem(files, count))


def _kind(stem: str, size_bytes: int, repo_name: str) -> FileKind:
    name = stem.rpartition("/")[2]
    if _PROJECTOR.search(name):
        return FileKind.PROJECTOR
    if _DRAFT.search(name):
        return FileKind.DRAFT
    is_small = size_bytes < _MAX_ADAPTER_BYTES
    if _ADAPTER.search(name) or (is_small and _ADAPTER.search(repo_name)):
        return FileKind.ADAPTER
    return FileKind.MODEL


_MAX_ADAPTER_BYTES = 2 * 10**9
"""A larger file of a repository with "lora" in its name is a model into which one was merged."""


def _problem(files: Sequence[RemoteFile], count: int) -> ErrorInfo | None:
    try:
        for file in files:
            checked_file(file.path)
    except KnownError as error:
        return ErrorInfo.of(error)
    if len(files) != count:
        text = f"Only {len(files)} of its {count} parts are there."
        return ErrorInfo("HubError", text, "It may still be uploading. Look again later.")
    if any(file.size_bytes <= 0 for file in files):
        return ErrorInfo("HubError", "The hub does not tell how large this file is.", "Look again later.")
    return None


def _written_as_usual(label: str) -> str:
    upper = label.upper().replace("FP16", "F16").replace("FP32", "F32")
    return upper.replace("I1-", "i1-") if upper.startswith("I1-") else upper
