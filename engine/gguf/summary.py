"""What a list of models shows of a file, small enough to be kept and to cross a pipe."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

import msgspec

from engine.gguf.header import GgufArray, GgufHeader

_INTO_LAYER = re.compile(r"\.(attn_q|attn_k|attn_v|attn_qkv|ffn_gate|ffn_up)\.weight\.lora_a$")
_OUT_OF_LAYER = re.compile(r"\.(attn_output|ffn_down)\.weight\.lora_b$")
_LAYER = re.compile(r"blk\.(\d+)\.")
_MAX_TEXT = 200
_FINGERPRINT_BYTES = 16


class FileKind(StrEnum):
    """MODEL also stands for what only its architecture tells apart, such as models for embeddings. OTHER is a GGUF file
    that is neither a model nor a part of one: a vocabulary, measurements for quantizing."""

    MODEL = "model"
    PROJECTOR = "projector"
    ADAPTER = "adapter"
    OTHER = "other"


class HeaderSummary(msgspec.Struct, frozen=True):
    """Texts are those of the file, a stranger's, cut to a bearable length. Numbers are 0 where the file does not say.

    ``width`` is the model's embedding length, also in a companion: what a projector gives out, what an adapter expects.
    Of an adapter, ``n_layers`` is how many layers it needs. ``base_name`` is what the file says that it was made from
    or for. ``fingerprint`` is the same for files with the same header and size, wherever they are.
    """

    kind: FileKind
    name: str
    architecture: str
    quantization: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_layers: int
    width: int
    n_vocab: int
    has_template: bool
    licence: str
    base_name: str
    split_number: int
    split_count: int
    fingerprint: str


def summary_of(header: GgufHeader) -> HeaderSummary:
    """Any thread; some 10 ms for the longest headers."""
    kind = file_kind(header)
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return HeaderSummary(
        kind,
        header.name[:_MAX_TEXT],
        header.architecture[:_MAX_TEXT],
        header.quantization,
        header.n_params,
        header.size_bytes,
        header.n_ctx_train,
        _adapted_layers(header) if kind is FileKind.ADAPTER else header.n_layers,
        _width(header, kind),
        len(tokens) if isinstance(tokens, GgufArray) else 0,
        header.chat_template is not None,
        _text(header, "general.license"),
        _text(header, "general.base_model.0.name") or _text(header, "general.basename"),
        _number(header, "split.no"),
        _number(header, "split.count"),
        fingerprint(header),
    )


def file_kind(header: GgufHeader) -> FileKind:
    declared = header.metadata.get("general.type")
    if declared == "mmproj" or header.architecture == "clip":
        return FileKind.PROJECTOR
    if declared == "adapter":
        return FileKind.ADAPTER
    if declared == "imatrix" or header.architecture == "imatrix" or not header.tensors:
        return FileKind.OTHER
    return FileKind.MODEL


def fingerprint(header: GgufHeader) -> str:
    """A hash of everything before the weights, and of the size. Weights alone do not change it."""
    digest = hashlib.blake2b(digest_size=_FINGERPRINT_BYTES)
    digest.update(f"{header.version} {header.size_bytes}".encode())
    for key, value in header.metadata.items():
        digest.update(f"\0{key}\0".encode())
        if isinstance(value, GgufArray):
            digest.update(f"{value.kind} {value.count}".encode())
            digest.update(value.data)
        else:
            digest.update(repr(value).encode())
    for tensor in header.tensors:
        digest.update(f"\0{tensor.name} {tensor.shape} {tensor.type.name}".encode())
    return digest.hexdigest()


def _width(header: GgufHeader, kind: FileKind) -> int:
    if kind is FileKind.PROJECTOR:
        return _number(header, "clip.vision.projection_dim") or _number(header, "clip.audio.projection_dim")
    if kind is FileKind.ADAPTER:
        return _adapted_width(header)
    return _number(header, f"{header.architecture}.embedding_length")


def _adapted_width(header: GgufHeader) -> int:
    """llama.cpp wants of each pair that A takes in, and B gives out, what the tensor does that they change."""
    for tensor in header.tensors:
        if len(tensor.shape) == 2 and _INTO_LAYER.search(tensor.name):
            return tensor.shape[0]
        if len(tensor.shape) == 2 and _OUT_OF_LAYER.search(tensor.name):
            return tensor.shape[1]
    return 0


def _adapted_layers(header: GgufHeader) -> int:
    numbers = [int(found[1]) for tensor in header.tensors if (found := _LAYER.match(tensor.name))]
    return max(numbers) + 1 if numbers else 0


def _text(header: GgufHeader, key: str) -> str:
    value = header.metadata.get(key)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _number(header: GgufHeader, key: str) -> int:
    value = header.metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0
