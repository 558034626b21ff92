"""What a GGUF file says about the model in it, read without trusting the file.

``read_header`` is the only code of ours that parses a model file, and it never touches the weights. It is bounded in
time and memory whatever the file holds. ``check_loadable`` refuses the headers with which llama.cpp would abort the
process. Both raise :class:`engine.errors.ModelFileError` and nothing else, with a sentence that names the file.
A file elsewhere is read by ``read_header_from`` from as much of its beginning as has arrived.

Format: the GGUF specification in the ggml repository (docs/gguf.md), versions 2 and 3, little endian.
"""

from __future__ import annotations

from engine.gguf.check import check_adapter, check_loadable
from engine.gguf.facts import GGML_TYPES, KNOWN_ARCHITECTURES, GgmlType
from engine.gguf.header import GgufArray, GgufHeader, GgufTensor, GgufValue, ValueKind
from engine.gguf.reader import joined, read_header, read_header_from
from engine.gguf.source import HeaderSource, NeedMore, PrefixSource

__all__ = [
    "GGML_TYPES",
    "KNOWN_ARCHITECTURES",
    "GgmlType",
    "GgufArray",
    "GgufHeader",
    "GgufTensor",
    "GgufValue",
    "HeaderSource",
    "NeedMore",
    "PrefixSource",
    "ValueKind",
    "check_adapter",
    "check_loadable",
    "joined",
    "read_header",
    "read_header_from",
]
