"""The file of a page is exactly right or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kv.container import (
    DamagedPage,
    PageContent,
    PageHeader,
    encode_header,
    file_bytes,
    read_header,
    read_payload,
)
from engine.kv.keys import pack, page_key, root_key
from tests.engine.kv.ledger import text

DIGEST = bytes(range(32))
PAYLOAD = bytes(range(100))


def page(conversation: str = "a") -> PageContent:
    tokens, parent = pack(text(0, 4)), root_key("model")
    return PageContent(page_key(parent, tokens), parent, 0, tokens, conversation)


def whole_file() -> bytes:
    return encode_header(DIGEST, page(), PAYLOAD) + PAYLOAD


def read(path: Path, content: bytes) -> tuple[PageHeader, bytes]:
    path.write_bytes(content)
    with path.open("rb") as file:
        header = read_header(file)
        return header, read_payload(file, header)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    header, payload = read(tmp_path / "page", whole_file())

    assert (header.digest, header.page, payload) == (DIGEST, page(), PAYLOAD)
    assert len(whole_file()) == file_bytes(page(), len(PAYLOAD))


def test_a_file_cut_at_any_length_is_refused(tmp_path: Path) -> None:
    for length in range(len(whole_file())):
        with pytest.raises(DamagedPage):
            read(tmp_path / "page", whole_file()[:length])


def test_a_file_with_more_at_its_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedPage):
        read(tmp_path / "page", whole_file() + b"\0")


def test_a_flipped_bit_in_any_byte_is_found(tmp_path: Path) -> None:
    content = bytearray(whole_file())
    for position in range(len(content)):
        content[position] ^= 1 << position % 8
        with pytest.raises(DamagedPage):
            read(tmp_path / "page", bytes(content))
        content[position] ^= 1 << position % 8


def test_a_header_that_claims_too_much_is_not_read(tmp_path: Path) -> None:
    content = bytearray(whole_file())
    content[12:16] = (2**32 - 1).to_bytes(4, "little")

    with pytest.raises(DamagedPage, match="another format"):
        read(tmp_path / "page", bytes(content))


def test_a_name_that_is_no_text_is_kept_in_some_form() -> None:
    odd = page("\ud800")

    assert len(encode_header(DIGEST, odd, PAYLOAD)) + len(PAYLOAD) == file_bytes(odd, len(PAYLOAD))
