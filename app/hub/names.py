"""Names that come from the network and become paths here: the one place that says which may."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from engine.errors import KnownError

MAX_NAME_BYTES = 200
"""Of one file or folder; file systems take 255, and endings are appended while it downloads."""

MAX_DEPTH = 8
SUFFIXES = frozenset({".gguf", ".safetensors", ".json", ".txt", ".model", ".jinja"})
"""What is downloaded at all: weights and what describes them; nothing that a program runs or unpickles."""

_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_REPO_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


class UnsafeName(KnownError):
    def __init__(self, name: str, why: str) -> None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:80])
        super().__init__(f"The name {shown!r} is refused: {why}.", "Such a name could harm other files.")


def checked_repo_id(repo_id: str) -> str:
    """``owner/name`` as the hub allows it. Raises UnsafeName."""
    owner, slash, name = repo_id.partition("/")
    if not slash or not (_REPO_PART.fullmatch(owner) and _REPO_PART.fullmatch(name)):
        raise UnsafeName(repo_id, "a repository is called owner/name")
    for part in (owner, name):
        _check_part(part, repo_id)
    return repo_id


def checked_file(path: str) -> str:
    """A file's path within a repository, with forward slashes. Raises UnsafeName."""
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise UnsafeName(path, "it lies in too many folders")
    for part in parts:
        _check_part(part, path)
    if Path(parts[-1]).suffix.lower() not in SUFFIXES:
        raise UnsafeName(path, "it is not a kind of file that Hearth downloads")
    return path


def safe_child(root: Path, repo_id: str, path: str) -> Path:
    """Where a file of a repository belongs below ``root``. Reads the disk. Raises UnsafeName.

    No folder on the way may be a link: what it points to would be outside.
    """
    target = root.joinpath(*checked_repo_id(repo_id).split("/"), *checked_file(path).split("/"))
    place = root
    for part in target.relative_to(root).parts:
        place = place / part
        if place.is_symlink():
            raise UnsafeName(path, f"{place} is a link to somewhere else")
    if os.path.commonpath([os.path.realpath(target), os.path.realpath(root)]) != os.path.realpath(root):
        raise UnsafeName(path, "it leads out of the models folder")
    return target


def _check_part(part: str, whole: str) -> None:
    """Raises UnsafeName for what some system reads as something else than a plain name."""
    if not part or part in (".", ".."):
        raise UnsafeName(whole, "it leads to another folder")
    if part.startswith("."):
        raise UnsafeName(whole, "it would be hidden")
    if _FORBIDDEN.search(part):
        raise UnsafeName(whole, "it holds signs that a file's name cannot have")
    if part != part.strip() or part.endswith("."):
        raise UnsafeName(whole, "it ends in a space or a full stop")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in part):
        raise UnsafeName(whole, "it holds signs that cannot be seen")
    if unicodedata.normalize("NFC", part) != part:
        raise UnsafeName(whole, "its letters are written in an unusual way")
    if len(part.encode()) > MAX_NAME_BYTES:
        raise UnsafeName(whole, "it is too long")
    if _DEVICES.fullmatch(part.split(".")[0].strip()):
        raise UnsafeName(whole, "Windows has a device of that name")
