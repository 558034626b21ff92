"""A header from wherever its bytes come, in bounded memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import ModelFileError
from engine.gguf import GgufHeader, NeedMore, PrefixSource, check_loadable, joined, read_header, read_header_from
from tests.doubles.gguf import KINDS, RawTensor, Typed, encode_gguf, encode_string, make_tiny_gguf

MB = 2**20


def fetched(data: bytes, first: int = 0) -> tuple[GgufHeader, list[int]]:
    """Read as one would over a network; also how long the beginning had to be, try by try."""
    source, asked = PrefixSource("far.gguf", len(data), data[:first]), []
    while True:
        try:
            return read_header_from(source), asked
        except NeedMore as more:
            asked.append(more.n_bytes)
            source.extend(data[len(source) : more.n_bytes])


class TestPrefixes:
    @pytest.mark.parametrize("first", [0, 1, 4, 500, 9_000])
    def test_the_same_as_from_the_file(self, tmp_path: Path, first: int) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf")
        here, (far, _) = read_header(path), fetched(path.read_bytes(), first)
        assert far.path == Path("far.gguf")
        assert (far.metadata, far.tensors, far.data_offset) == (here.metadata, here.tensors, here.data_offset)

    def test_a_long_header_takes_few_tries(self) -> None:
        texts = ["x" * 100] * 100_000
        data = encode_gguf({"long": texts, "after": 7}, {"t": RawTensor((2,), 0, bytes(8))})
        header, asked = fetched(data)
        assert header.metadata["after"] == 7
        assert len(asked) <= 6
        assert asked == sorted(set(asked))
        assert asked[-1] <= len(data)

    def test_the_weights_are_not_asked_for(self) -> None:
        data = encode_gguf({"a": 1}, {"t": RawTensor((4 * MB,), 0, b"")})
        header, asked = fetched(data + bytes(16 * MB))
        assert header.n_params == 4 * MB
        assert asked == [MB]

    def test_a_file_that_is_shorter_than_its_weights_is_incomplete(self) -> None:
        with pytest.raises(ModelFileError, match="incomplete"):
            fetched(encode_gguf({"a": 1}, {"t": RawTensor((4 * MB,), 0, b"")}))

    def test_what_is_no_model_is_told_by_its_first_bytes(self) -> None:
        with pytest.raises(ModelFileError, match=r"far\.gguf is a web page"):
            fetched(b"<!doctype html>" + bytes(20_000))

    def test_parts_elsewhere_are_not_looked_for(self, tmp_path: Path) -> None:
        split = {"split.no": Typed("u16", 0), "split.count": Typed("u16", 3)}
        path = make_tiny_gguf(tmp_path / "big-00001-of-00003.gguf", metadata=split)
        header, _ = fetched(path.read_bytes())
        check_loadable(header, is_here=False)
        with pytest.raises(ModelFileError, match="beside it"):
            check_loadable(header)


def test_the_parts_of_a_model_as_one(tmp_path: Path) -> None:
    parts = [make_tiny_gguf(tmp_path / f"{number}.gguf") for number in range(3)]
    one = read_header(parts[0])
    whole = joined([read_header(part) for part in parts])
    assert (whole.architecture, whole.n_params, whole.size_bytes) == ("llama", 3 * one.n_params, 3 * one.size_bytes)


def test_a_file_may_be_called_something_else_in_sentences(tmp_path: Path) -> None:
    path = tmp_path / "sha256-0123"
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="llama3:8b is empty"):
        read_header(path, "llama3:8b")


def head(n_tensors: int, n_pairs: int) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", 3, n_tensors, n_pairs)


def wide_texts() -> Iterator[bytes]:
    """Text that takes four times as much once it is decoded, and a list besides."""
    text = b"x" * (2 * MB - 8) + "😀".encode()
    yield head(0, 4)
    for number in range(3):
        yield encode_string(f"text{number}") + struct.pack("<I", KINDS["str"]) + encode_string(text[: 2 * MB - 64])
    yield encode_string("list") + struct.pack("<IIQ", KINDS["arr"], KINDS["f32"], 4 * MB) + bytes(16 * MB)


def many_tensors() -> Iterator[bytes]:
    yield head(32_768, 1)
    yield encode_string("list") + struct.pack("<IIQ", KINDS["arr"], KINDS["f64"], 2 * MB) + bytes(16 * MB)
    for number in range(32_768):
        yield encode_string(f"tensor.{number:056d}") + struct.pack("<IQQQQIQ", 4, 1, 1, 1, 1, 0, 32 * number)


def many_settings() -> Iterator[bytes]:
    yield head(0, 16_384)
    for number in range(16_384):
        yield encode_string(f"{number:0300d}") + struct.pack("<IQ", KINDS["u64"], 2**63 + number)


def one_long_list_of_texts() -> Iterator[bytes]:
    yield head(0, 1)
    yield encode_string("list") + struct.pack("<IIQ", KINDS["arr"], KINDS["str"], 2 * MB)
    for _ in range(8):
        yield (struct.pack("<Q", 2) + b"ab") * (MB // 4)


def vocabulary() -> Iterator[bytes]:
    yield head(1, 6)
    for key, value in (("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2")):
        yield encode_string(key) + struct.pack("<I", KINDS["str"]) + encode_string(value)
    for key in ("llama.block_count", "llama.context_length"):
        yield encode_string(key) + struct.pack("<II", KINDS["u32"], 1)
    yield encode_string("llama.expert_used_count") + struct.pack("<IIQ", KINDS["arr"], KINDS["i8"], 4 * MB)
    yield bytes(4 * MB)
    yield encode_string("tokenizer.ggml.tokens") + struct.pack("<IIQ", KINDS["arr"], KINDS["str"], 400_000)
    for number in range(400_000):
        yield struct.pack("<QI", 24, number) + b"x" * 20
    yield encode_string("output.weight") + struct.pack("<IQIQ", 1, 1, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [wide_texts, many_tensors, many_settings, one_long_list_of_texts, vocabulary],
    ids=lambda make: make.__name__,
)
def test_no_header_takes_more_than_64_megabytes(tmp_path: Path, make: Callable[[], Iterator[bytes]]) -> None:
    path = tmp_path / "large.gguf"
    with path.open("wb") as file:
        file.writelines(make())
    os.truncate(path, path.stat().st_size + 32 * 32_768)
    tracemalloc.start()
    try:
        check_loadable(read_header(path))
    except ModelFileError as error:
        assert error.text.endswith(".")  # noqa: PT017 - refused or not, it must be cheap
    finally:
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 64 * MB
