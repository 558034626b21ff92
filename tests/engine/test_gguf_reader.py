"""read_header on whole, foreign, cut and lying files."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest
from gguf import GGUFReader

from engine.errors import ModelFileError
from engine.gguf import GgufArray, ValueKind, read_header
from tests.doubles.gguf import (
    CHATML,
    RawTensor,
    Typed,
    Value,
    encode_gguf,
    encode_string,
    make_tiny_gguf,
    tiny_vocabulary,
)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def head(n_tensors: int, n_pairs: int, rest: bytes = b"", version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_pairs) + rest


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert path.name in caught.value.text
    assert caught.value.text.endswith(".")
    assert "\n" not in caught.value.text
    assert caught.value.hint
    return caught.value


class TestWholeFiles:
    def test_tells_what_the_model_is(self, tmp_path: Path) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf")
        header = read_header(path)
        assert (header.version, header.architecture, header.name, header.quantization) == (3, "llama", "Tiny", "F32")
        assert (header.n_layers, header.n_ctx_train, header.n_params) == (2, 4096, 107_712)
        assert header.chat_template == CHATML
        assert header.size_bytes == path.stat().st_size
        assert header.path == path

    @pytest.mark.parametrize("version", [2, 3])
    @pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
    def test_agrees_with_the_gguf_package(self, tmp_path: Path, version: int, tokenizer: str) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf", version=version, tokenizer=tokenizer)
        ours, theirs = read_header(path), GGUFReader(path)
        fields = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
        assert list(ours.metadata) == list(fields)
        for name, field in fields.items():
            value = ours.metadata[name]
            assert (list(value) if isinstance(value, GgufArray) else value) == field.contents()
        assert ours.data_offset == theirs.data_offset
        assert [
            (t.name, t.shape, t.type.name, ours.data_offset + t.offset, t.n_elements, t.size_bytes)
            for t in ours.tensors
        ] == [
            (t.name, tuple(t.shape.tolist()), t.tensor_type.name, t.data_offset, t.n_elements, t.n_bytes)
            for t in theirs.tensors
        ]

    def test_every_kind_of_value_keeps_its_type(self, tmp_path: Path) -> None:
        values: dict[str, object] = {
            "u8": 255,
            "i8": -128,
            "u16": 65535,
            "i16": -32768,
            "u32": 2**32 - 1,
            "i32": -(2**31),
        }
        values |= {"u64": 2**64 - 1, "i64": -(2**63), "f32": 0.5, "f64": 0.1, "bool": True, "str": "ä\0b"}
        scalars = {kind: Typed(kind, value) for kind, value in values.items()}
        arrays = {f"arr:{kind}": Typed(f"arr:{kind}", [value, value]) for kind, value in values.items()}
        header = read_header(write(tmp_path / "kinds.gguf", encode_gguf({**scalars, **arrays}, {})))
        assert {kind: header.metadata[kind] for kind in values} == values
        assert {kind: list(as_array(header.metadata[f"arr:{kind}"])) for kind in values} == {
            kind: [value, value] for kind, value in values.items()
        }
        assert type(header.metadata["bool"]) is bool
        assert as_array(header.metadata["arr:i16"]).kind is ValueKind.INT16

    def test_name_falls_back_to_the_file_name(self, tmp_path: Path) -> None:
        path = make_tiny_gguf(tmp_path / "my-model.gguf", metadata={"general.name": None})
        assert read_header(path).name == "my-model"

    def test_quantization_falls_back_to_the_type_of_most_bytes(self, tmp_path: Path) -> None:
        rows = RawTensor((256, 64), 12, bytes(64 * 144))
        path = tmp_path / "q.gguf"
        path.write_bytes(encode_gguf({}, {"a": rows, "b": RawTensor((8,), 0, bytes(32))}))
        assert read_header(path).quantization == "Q4_K"

    def test_quantization_reads_the_declared_file_type(self, tmp_path: Path) -> None:
        path = make_tiny_gguf(tmp_path / "q.gguf", metadata={"general.file_type": 15})
        assert read_header(path).quantization == "Q4_K_M"
        path = make_tiny_gguf(tmp_path / "q.gguf", metadata={"general.file_type": 1024 + 7})
        assert read_header(path).quantization == "Q8_0"

    def test_what_is_not_said_is_empty(self, tmp_path: Path) -> None:
        header = read_header(write(tmp_path / "bare.gguf", encode_gguf({}, {})))
        assert (header.architecture, header.quantization, header.n_layers, header.n_ctx_train) == ("", "", 0, 0)
        assert header.chat_template is None
        assert header.n_params == 0

    def test_token_texts_can_be_counted_and_listed(self, tmp_path: Path) -> None:
        header = read_header(make_tiny_gguf(tmp_path / "tiny.gguf"))
        tokens = as_array(header.metadata["tokenizer.ggml.tokens"])
        assert len(tokens) == 263
        assert list(tokens) == tiny_vocabulary()[0]
        assert next(iter(tokens.raw_strings())) == b"<|endoftext|>"

    def test_text_that_is_not_utf8_is_kept_readable(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.gguf", encode_gguf({"general.name": Typed("str", b"caf\xe9")}, {}))
        assert read_header(path).name == "caf\ufffd"

    def test_an_alignment_of_its_own_moves_the_weights(self, tmp_path: Path) -> None:
        header = read_header(make_tiny_gguf(tmp_path / "a.gguf", metadata={"general.alignment": 4096}))
        assert header.data_offset % 4096 == 0

    def test_missing_padding_after_the_last_tensor_is_no_loss(self, tmp_path: Path) -> None:
        data = encode_gguf({}, {"a": RawTensor((1,), 0, bytes(4))})
        assert read_header(write(tmp_path / "a.gguf", data[:-28])).tensors[0].size_bytes == 4

    def test_the_starter_model(self, starter_model: Path) -> None:
        header = read_header(starter_model)
        assert (header.architecture, header.quantization, header.n_layers) == ("llama", "Q4_1", 30)
        assert (header.n_params, header.n_ctx_train) == (134_515_008, 8192)
        assert header.chat_template is not None


class TestForeignFiles:
    def test_missing(self, tmp_path: Path) -> None:
        assert "not there" in refusal(tmp_path / "gone.gguf").text

    def test_folder(self, tmp_path: Path) -> None:
        assert "folder" in refusal(tmp_path).text

    def test_empty(self, tmp_path: Path) -> None:
        assert "empty" in refusal(write(tmp_path / "x.gguf", b"")).text

    def test_path_that_no_file_can_have(self) -> None:
        with pytest.raises(ModelFileError, match="path is not valid"):
            read_header(Path("a\0b.gguf"))
        with pytest.raises(ModelFileError, match="cannot be read"):
            read_header(Path("x" * 5000))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_named_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.gguf")
        assert "not a regular file" in refusal(tmp_path / "pipe.gguf").text

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make_tiny_gguf(tmp_path / "secret.gguf")

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so chmod would prove nothing
        assert "permission" in refusal(path).text

    def test_disk_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make_tiny_gguf(tmp_path / "x.gguf")

        def fail(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "open", fail)
        assert "Input/output error" in refusal(path).text

    @pytest.mark.parametrize(
        ("start", "expected"),
        [
            (b"<!DOCTYPE html><html>", "web page"),
            (b"\xef\xbb\xbf\n <HTML>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 98362432\n", "Git LFS"),
            (b"PK\x03\x04\x14\x00", "ZIP archive"),
            (b"\x80\x02}q\x00.", "pickle"),
            (b"\x1f\x8b\x08\x00", "compressed"),
            (b"tjgg\x03\x00\x00\x00", "old GGML"),
            (struct.pack("<Q", 300) + b'{"__metadata__":{}}', "safetensors"),
            (b'{"error": "not found"}', "JSON"),
            ("Grüße, this is my shopping list.\n".encode(), "text file"),
            (bytes(5000), "zeros"),
            (b"\xde\xad\xbe\xef" * 50, "not a GGUF file"),
            (b"GG", "incomplete"),
        ],
    )
    def test_is_told_what_it_is(self, tmp_path: Path, start: bytes, expected: str) -> None:
        assert expected in refusal(write(tmp_path / "x.gguf", start)).text

    def test_text_cut_within_a_character_is_still_text(self, tmp_path: Path) -> None:
        assert "text file" in refusal(write(tmp_path / "x.gguf", b"a" + "ü".encode() * 4000)).text

    @pytest.mark.parametrize(("version", "expected"), [(1, "version 1"), (0, "version 0"), (4, "version 4")])
    def test_other_versions(self, tmp_path: Path, version: int, expected: str) -> None:
        assert expected in refusal(write(tmp_path / "x.gguf", head(0, 0, version=version))).text

    def test_big_endian(self, tmp_path: Path) -> None:
        data = struct.pack(">4sIQQ", b"GGUF", 3, 0, 0)
        assert "big-endian" in refusal(write(tmp_path / "x.gguf", data)).text


class TestCutFiles:
    def test_every_cut_within_the_header_says_incomplete(self, tmp_path: Path) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf")
        for length in range(read_header(path).data_offset - 1, 0, -1):
            os.truncate(path, length)
            assert "incomplete" in refusal(path).text

    def test_every_cut_of_a_small_header_says_incomplete(self, tmp_path: Path) -> None:
        metadata: dict[str, Value] = {"a": 1, "b": "text", "c": ["x", "yy"], "d": Typed("arr:u64", [1, 2])}
        path = write(tmp_path / "x.gguf", encode_gguf(metadata, {"t": RawTensor((2, 3), 0, bytes(24))}))
        for length in range(read_header(path).data_offset + 23, 0, -1):
            os.truncate(path, length)
            assert "incomplete" in refusal(path).text

    def test_cuts_within_the_data_say_incomplete(self, tmp_path: Path) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf")
        header = read_header(path)
        for length in range(header.size_bytes - 33, header.data_offset, -9973):
            os.truncate(path, length)
            assert "incomplete" in refusal(path).text

    def test_says_how_much_is_here(self, tmp_path: Path) -> None:
        data = encode_gguf({}, {"t": RawTensor((24_500_000,), 0, b"")})
        path = write(tmp_path / "x.gguf", data)
        os.truncate(path, 61_000_000)
        assert "61 of 98 MB are here" in refusal(path).text
        os.truncate(path, 98_000_050)
        assert "98,000,050 of 98,000,064 bytes are here" in refusal(path).text

    def test_a_file_that_shrinks_while_it_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make_tiny_gguf(tmp_path / "tiny.gguf", truncate_to=5000)
        real = os.fstat

        def before_the_cut(descriptor: int) -> os.stat_result:
            fields = list(real(descriptor))
            fields[6] = 436_800
            return os.stat_result(fields)

        monkeypatch.setattr(os, "fstat", before_the_cut)
        assert "became shorter" in refusal(path).text


class TestLyingFiles:
    """Numbers that would cost minutes or gigabytes if they were believed."""

    @pytest.mark.parametrize(
        "data",
        [
            head(2**63, 0),
            head(0, 2**64 - 1),
            head(131_073, 0),
            head(0, 65_537),
            head(0, 1, struct.pack("<Q", 2**63)),
            head(0, 1, encode_string("")),
            head(0, 1, encode_string(b"\xff\xfe") + struct.pack("<IB", 0, 1)),
            head(0, 1, encode_string("k") + struct.pack("<I", 13)),
            head(0, 1, encode_string("k") + struct.pack("<I", 2**32 - 1)),
            head(0, 1, encode_string("k") + struct.pack("<IQ", 8, 2**62)),
            head(0, 1, encode_string("k") + struct.pack("<IIQ", 9, 9, 1)),
            head(0, 1, encode_string("k") + struct.pack("<IIQ", 9, 8, 2**61)),
            head(0, 1, encode_string("k") + struct.pack("<IIQ", 9, 0, 2**40)),
            head(0, 1, encode_string("k") + struct.pack("<IIQ", 9, 8, 1) + struct.pack("<Q", 2**63)),
            head(0, 2, (encode_string("k") + struct.pack("<IB", 0, 1)) * 2),
            head(1, 0, encode_string("t" * 64)),
            head(1, 0, encode_string("t") + struct.pack("<I", 5)),
            head(1, 0, encode_string("t") + struct.pack("<IQQQIQ", 3, 2**40, 2**40, 2**40, 0, 0)),
            head(1, 0, encode_string("t") + struct.pack("<IQQIQ", 2, 2**63, 0, 0, 0)),
            head(1, 0, encode_string("t") + struct.pack("<IQIQ", 1, 33, 2, 0)),
            head(1, 0, encode_string("t") + struct.pack("<IQIQ", 1, 0, 0, 7)),
            head(1, 0, encode_string("t") + struct.pack("<IQIQ", 1, 0, 99, 0)),
            head(1, 0, encode_string("t") + struct.pack("<IQIQ", 1, 32, 31, 0)),
            head(2, 0, (encode_string("t") + struct.pack("<IQIQ", 1, 0, 0, 0)) * 2),
            head(0, 1, encode_string("general.alignment") + struct.pack("<II", 4, 48)),
            head(0, 1, encode_string("general.alignment") + struct.pack("<II", 4, 2**31)),
            head(0, 1, encode_string("general.alignment") + struct.pack("<I", 8) + encode_string("32")),
        ],
        ids=str,
    )
    def test_refused_with_a_sentence(self, tmp_path: Path, data: bytes) -> None:
        refusal(write(tmp_path / "x.gguf", data))

    def test_a_header_beyond_the_limit_is_refused(self, tmp_path: Path) -> None:
        n_items = 4 * 2**20
        array = struct.pack("<IIQ", 9, 12, n_items) + bytes(8 * n_items)
        path = tmp_path / "big.gguf"
        with path.open("wb") as file:
            file.write(head(0, 9))
            for number in range(9):
                file.write(encode_string(str(number)) + array[:16])
                file.seek(8 * n_items, os.SEEK_CUR)  # a hole: nothing is written
            file.truncate(file.tell())
        assert "header is larger" in refusal(path).text

    def test_a_flood_of_empty_texts_is_refused(self, tmp_path: Path) -> None:
        n_items = 3 * 2**20
        path = tmp_path / "flood.gguf"
        with path.open("wb") as file:
            file.write(head(0, 2))
            for number in range(2):
                file.write(encode_string(str(number)) + struct.pack("<IIQ", 9, 8, n_items))
                file.seek(8 * n_items, os.SEEK_CUR)
            file.truncate(file.tell())
        assert "texts" in refusal(path).text

    def test_nan_is_a_value(self, tmp_path: Path) -> None:
        header = read_header(write(tmp_path / "x.gguf", encode_gguf({"k": math.nan}, {})))
        value = header.metadata["k"]
        assert isinstance(value, float)
        assert math.isnan(value)


def as_array(value: object) -> GgufArray:
    assert isinstance(value, GgufArray)
    return value
