"""Whatever the bytes are, only ModelFileError comes out, soon and with little memory."""

from __future__ import annotations

import struct
import tempfile
import tracemalloc
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import ModelFileError
from engine.gguf import GgufArray, GgufHeader, check_loadable, read_header
from tests.doubles.gguf import RawTensor, Typed, Value, encode_gguf, make_tiny_gguf

NASTY = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
LIMITS = {"u8": (0, 2**8 - 1), "i8": (-(2**7), 2**7 - 1), "u16": (0, 2**16 - 1), "i16": (-(2**15), 2**15 - 1)}
LIMITS |= {"u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1), "u64": (0, 2**64 - 1), "i64": (-(2**63), 2**63 - 1)}

examples = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tiny_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_tiny_gguf(Path(folder, "tiny.gguf")).read_bytes()


TINY = tiny_bytes()
TINY_HEADER = 10_000
"""About where the weights begin."""


def read(data: bytes) -> GgufHeader:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzzed.gguf")
        path.write_bytes(data)
        return read_header(path)


def survive(data: bytes) -> None:
    """Read and check; the only way out is a value or a ModelFileError with a sentence."""
    tracemalloc.start()
    try:
        sentence = outcome(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sentence.endswith(".")
    assert len(sentence) < 300
    assert peak_bytes < 16 * 2**20 + 30 * len(data)


def outcome(data: bytes) -> str:
    try:
        check_loadable(read(data))
    except ModelFileError as error:
        return error.text
    return "It loads."


def kinds() -> st.SearchStrategy[tuple[str, st.SearchStrategy[object]]]:
    choices: list[tuple[str, st.SearchStrategy[object]]] = [(k, st.integers(*bounds)) for k, bounds in LIMITS.items()]
    choices += [("f32", st.floats(width=32)), ("f64", st.floats()), ("bool", st.booleans()), ("str", st.text())]
    return st.sampled_from(choices)


def scalars() -> st.SearchStrategy[Value]:
    return kinds().flatmap(lambda kind: kind[1].map(lambda value: Typed(kind[0], value)))


def arrays() -> st.SearchStrategy[Value]:
    return kinds().flatmap(
        lambda kind: st.lists(kind[1], max_size=20).map(lambda values: Typed(f"arr:{kind[0]}", values))
    )


def keys() -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=40).filter(lambda key: key != "general.alignment")


def as_written(value: object) -> bytes:
    """Compares bit by bit, so that NaN equals itself."""
    return repr(value).encode()


def tensors() -> st.SearchStrategy[RawTensor]:
    shapes = st.lists(st.integers(0, 5), max_size=3).map(lambda rest: (32, *rest))

    def of_shape(shape: tuple[int, ...]) -> RawTensor:
        n_blocks = 1
        for extent in shape[1:]:
            n_blocks *= extent
        return RawTensor(shape, 3, bytes(20 * n_blocks))

    return shapes.map(of_shape)


class TestRoundTrip:
    @examples
    @given(
        metadata=st.dictionaries(keys(), scalars() | arrays(), max_size=12),
        weights=st.dictionaries(st.text(min_size=1, max_size=15), tensors(), max_size=5),
        version=st.sampled_from([2, 3]),
    )
    def test_what_was_written_is_read(
        self, metadata: dict[str, Typed], weights: dict[str, RawTensor], version: int
    ) -> None:
        header = read(encode_gguf(metadata, weights, version=version))
        assert header.version == version
        assert list(header.metadata) == list(metadata)
        for key, typed in metadata.items():
            value = header.metadata[key]
            assert as_written(list(value) if isinstance(value, GgufArray) else value) == as_written(typed.value)
        assert {t.name: (t.shape, t.size_bytes) for t in header.tensors} == {
            name: (raw.shape, len(raw.data)) for name, raw in weights.items()
        }


class TestMutations:
    @examples
    @given(st.binary(max_size=300))
    def test_arbitrary_bytes(self, data: bytes) -> None:
        survive(data)

    @examples
    @given(st.binary(max_size=300), st.integers(0, 4), st.integers(0, 4))
    def test_arbitrary_bytes_after_a_good_start(self, data: bytes, n_tensors: int, n_pairs: int) -> None:
        survive(struct.pack("<4sIQQ", b"GGUF", 3, n_tensors, n_pairs) + data)

    @examples
    @given(st.lists(st.tuples(st.integers(0, TINY_HEADER), st.integers(0, 255)), min_size=1, max_size=4))
    def test_changed_bytes(self, changes: list[tuple[int, int]]) -> None:
        data = bytearray(TINY)
        for position, value in changes:
            data[position] = value
        survive(bytes(data))

    @examples
    @given(st.integers(0, TINY_HEADER), st.sampled_from(NASTY), st.sampled_from(["<I", "<Q"]))
    def test_nasty_numbers_anywhere(self, position: int, number: int, code: str) -> None:
        data = bytearray(TINY)
        struct.pack_into(code, data, position, number % 2 ** (8 * struct.calcsize(code)))
        survive(bytes(data))

    @examples
    @given(st.integers(0, TINY_HEADER), st.integers(0, 200), st.binary(max_size=50))
    def test_bytes_cut_out_and_put_in(self, position: int, n_removed: int, added: bytes) -> None:
        survive(TINY[:position] + added + TINY[position + n_removed :])

    @examples
    @given(st.sampled_from(list(read(TINY).metadata)), scalars() | arrays())
    def test_settings_of_any_kind_and_value(self, key: str, value: Value) -> None:

        with tempfile.TemporaryDirectory() as folder:
            data = make_tiny_gguf(Path(folder, "tiny.gguf"), metadata={key: value}).read_bytes()
        survive(data)
