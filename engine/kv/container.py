"""The file of a page: our own format, which is either exactly right or refused.

::

    prefix    magic, version, size of the header, CRC-32 of the header
    header    fingerprint digest, key, parent's key, position, CRC-32 and size of the payload, size of the name
              the conversation's name, the tokens
    payload   the saved range, as the backend gave it

CRC-32 finds every burst of up to 32 wrong bits, and costs a fifth of a cryptographic hash: these files are as private
and as trusted as the program's own.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO
from zlib import crc32

from engine.cells import Blob
from engine.errors import StorageError
from engine.kv.keys import TOKEN_BYTES, n_tokens_of, page_key

_MAGIC = b"HearthKV"
_VERSION = 1
_PREFIX = struct.Struct("<8sIII")
_FIELDS = struct.Struct("<32s16s16sQQII")
_MAX_HEADER_BYTES = 16 * 2**20


class DamagedPage(StorageError):
    """A file is no page, not whole, or not of this model."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"A saved page is damaged ({reason}).", "It is removed and computed again.")


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a file tells of its page. ``begin`` counts tokens, ``tokens`` are packed."""

    key: bytes
    parent: bytes
    begin: int
    tokens: bytes
    conversation: str

    @property
    def end(self) -> int:
        return self.begin + n_tokens_of(self.tokens)


@dataclass(frozen=True, slots=True)
class PageHeader:
    """``digest`` is :func:`digest_of` the fingerprint."""

    digest: bytes
    page: PageContent
    payload_bytes: int
    payload_crc: int


def digest_of(fingerprint: str) -> bytes:
    return sha256(fingerprint.encode()).digest()


def file_bytes(page: PageContent, payload_bytes: int) -> int:
    """How long the file of a page is."""
    return _PREFIX.size + _FIELDS.size + len(_name_of(page)) + len(page.tokens) + payload_bytes


def encode_header(digest: bytes, page: PageContent, payload: Blob) -> bytes:
    """All of the file that comes before the payload."""
    name = _name_of(page)
    sizes = (len(payload), crc32(payload), len(name))
    header = _FIELDS.pack(digest, page.key, page.parent, page.begin, *sizes) + name + page.tokens
    return _PREFIX.pack(_MAGIC, _VERSION, len(header), crc32(header)) + header


def read_header(file: BinaryIO) -> PageHeader:
    """Read and verify all but the payload. Raises DamagedPage, OSError."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        raise DamagedPage("it is cut off")
    magic, version, n_bytes, crc = _PREFIX.unpack(prefix)
    if magic != _MAGIC or version != _VERSION or not _FIELDS.size < n_bytes <= _MAX_HEADER_BYTES:
        raise DamagedPage("it is of another format")
    raw = file.read(n_bytes)
    if len(raw) < n_bytes or crc32(raw) != crc:
        raise DamagedPage("its header does not match its checksum")
    header = _decode(raw)
    if os.fstat(file.fileno()).st_size != file_bytes(header.page, header.payload_bytes):
        raise DamagedPage("it has a wrong length")
    return header


def read_payload(file: BinaryIO, header: PageHeader) -> bytes:
    """Read and verify what follows the header. Raises DamagedPage, OSError."""
    payload = file.read(header.payload_bytes)
    if len(payload) < header.payload_bytes or crc32(payload) != header.payload_crc:
        raise DamagedPage("its content does not match its checksum")
    return payload


def _name_of(page: PageContent) -> bytes:
    return page.conversation.encode(errors="replace")


def _decode(raw: bytes) -> PageHeader:
    digest, key, parent, begin, payload_bytes, payload_crc, n_name = _FIELDS.unpack_from(raw)
    name, tokens = raw[_FIELDS.size : _FIELDS.size + n_name], raw[_FIELDS.size + n_name :]
    if len(name) < n_name or not tokens or len(tokens) % TOKEN_BYTES or page_key(parent, tokens) != key:
        raise DamagedPage("its header contradicts itself")
    page = PageContent(key, parent, begin, tokens, name.decode(errors="replace"))
    return PageHeader(digest, page, payload_bytes, payload_crc)
