"""Words for what is in a file: above all, what it is when it is called a model but is not GGUF."""

from __future__ import annotations

from engine.errors import ModelFileError

PICK_GGUF = "Hearth loads GGUF files. Look for one of this model that ends in .gguf."

_STARTS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    (
        (b"version https://git-lfs",),
        "only a pointer to a file in Git LFS, not the model itself",
        "Run git lfs pull, or download the file from the model's page.",
    ),
    (
        (b"<!doctype html", b"<html", b"<head", b"<?xml"),
        "a web page, not a model",
        "The download link led to a page. Sign in there if it asks for it, and download the file again.",
    ),
    ((b"pk\x03\x04", b"pk\x05\x06"), "a ZIP archive or a PyTorch checkpoint, not a GGUF file", PICK_GGUF),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle, not a GGUF file", PICK_GGUF),
    ((b"\x1f\x8b", b"7z\xbc\xaf", b"rar!", b"\xfd7zxz", b"\x28\xb5\x2f\xfd"), "a compressed file", "Unpack it first."),
    ((b"lmgg", b"tjgg", b"fmgg", b"algg"), "an old GGML file from before GGUF", PICK_GGUF),
    ((b"{", b"["), "a JSON file, not a model", PICK_GGUF),
)


def quote(text: str) -> str:
    """A text out of a file, fit for a sentence: in quotes, without line breaks, and not endless."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def describe_foreign_file(name: str, start: bytes) -> ModelFileError:
    """The error for a file called ``name`` that begins with ``start`` (up to 4 kB) and not with "GGUF"."""
    lowered = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    for beginnings, what, hint in _STARTS:
        if lowered.startswith(beginnings):
            return ModelFileError(f"{name} is {what}.", hint)
    if start[8:10] == b'{"' and int.from_bytes(start[:8], "little") < 2**32:
        return ModelFileError(f"{name} is a safetensors file, not a GGUF file.", PICK_GGUF)
    if not start.strip(b"\x00"):
        return ModelFileError(f"{name} holds only zeros.", "Its download broke off. Download it again.")
    if b"GGUF".startswith(start):
        return ModelFileError(f"{name} is incomplete: {len(start)} bytes are here.", "Download it again.")
    if _is_text(start):
        return ModelFileError(f"{name} is a text file, not a model.", PICK_GGUF)
    return ModelFileError(f"{name} is not a GGUF file.", PICK_GGUF)


def _is_text(start: bytes) -> bool:
    """Whether this looks like text in UTF-8; a character that is cut at the end does not matter."""
    text = start.decode("utf-8", "ignore")
    return len(text.encode()) >= len(start) - 3 and all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)
