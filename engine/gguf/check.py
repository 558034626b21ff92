"""Refuses the headers with which llama.cpp would abort the process, and says why in words.

llama.cpp answers most damage with an error, but some values reach an assertion, an uncaught exception or a division,
which end the process that loads. Every rule here stands for one of those, or for a model that loads and then cannot
speak. Where llama.cpp copes, there is no rule: a valid model must never be refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from engine.errors import ModelFileError, ModelNotSupported
from engine.gguf.cursor import DOWNLOAD_AGAIN
from engine.gguf.facts import (
    INTEGER_TENSORS,
    KNOWN_ARCHITECTURES,
    MAX_EXPERTS,
    MAX_LAYERS,
    ROPE_SCALING_TYPES,
    TOKENIZER_MODELS,
)
from engine.gguf.header import GgufArray, GgufHeader, GgufTensor, ValueKind
from engine.gguf.reader import NEWER_ENGINE
from engine.gguf.sniff import quote

MAX_TOKENS = 400_000
"""Half as many again as the largest vocabularies have."""
MIN_CONTEXT = 32
MIN_ALIGNMENT = 32
"""ggml asserts that the mapped weights are aligned to this."""

_BYTE_TOKEN_TYPE = 6
_NEWLINE_TOKENS_OF_RWKV = (b"\n", b"\\n", b"\\x0a")
_DRAFT_ARCHITECTURES = frozenset({"eagle3", "dflash"})
"""Drafts for another model, whose vocabulary may differ from their own embeddings."""
_ADDED_OR_SCALED = ("norm.weight", ".bias")
"""Tensors that ggml adds or multiplies element by element; on the CPU it asserts that they are F32."""
_NOT_NEGATIVE = re.compile(
    r"\.(layer_norm_epsilon|layer_norm_rms_epsilon|group_norm_epsilon|hyper_connection\.epsilon"
    r"|rope\.scaling\.factor|rope\.scaling\.attn_factor|rope\.scale_linear)$"
)
_POSITIVE = re.compile(r"\.(rope\.freq_base|rope\.freq_base_swa|attention\.compress_rope_freq_base)$")
_SMALLEST = 2.0**-126
"""The smallest normal F32: what divides by less gets infinity."""


def check_loadable(header: GgufHeader, *, is_here: bool = True) -> None:
    """Raise ModelFileError for a model that llama.cpp would not survive, and ModelNotSupported for one that is whole
    and that it does not know. Any thread; some 0.1 s.

    ``is_here`` is False for a header without its file: then the other parts of a model are not looked for.
    """
    for check in _CHECKS:
        check(header)
    if is_here:
        _check_parts(header)


def check_adapter(header: GgufHeader) -> None:
    """The same for an adapter, of which llama.cpp checks the shapes, and not whether it can multiply with them."""
    kind = header.metadata.get("adapter.type", "lora")
    if kind != "lora":
        raise ModelNotSupported(
            f"{header.file_name} is an adapter of the kind {quote(str(kind))}, which this version cannot use.",
            NEWER_ENGINE,
        )
    if not header.tensors:
        raise _damaged(header, "it has no weights")
    for tensor in header.tensors:
        if not tensor.type.multiplies:
            raise _damaged(header, f"the tensor {quote(tensor.name)} cannot have the type {tensor.type.name}")
    alpha = header.metadata.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise _damaged(header, "its strength is no number")


def _check_kind_of_file(header: GgufHeader) -> None:
    """Parts and companions of models are GGUF files too."""
    kind = header.metadata.get("general.type")
    if header.architecture == "clip" or kind == "mmproj":
        what = "the part of a model that sees images or hears sound, not the model itself"
    elif kind == "adapter":
        what = "an adapter (LoRA) for a model, not the model itself"
    elif kind == "imatrix" or header.architecture == "imatrix":
        what = "a table of measurements for quantizing, not a model"
    elif not header.tensors:
        what = "a GGUF file without weights"
    else:
        return
    raise ModelNotSupported(f"{header.file_name} is {what}.", "Pick the model's own file.")


def _check_split(header: GgufHeader) -> None:
    """A model in several files is loaded by its first one."""
    number, count = header.metadata.get("split.no", 0), header.metadata.get("split.count", 0)
    if not isinstance(number, int) or not isinstance(count, int) or count <= 1:
        return
    if number != 0:
        raise ModelFileError(
            f"{header.file_name} is part {number + 1} of {count} of a model.", "Pick the first part; it finds the rest."
        )


def _check_parts(header: GgufHeader) -> None:
    """llama.cpp finds the other parts by name."""
    count = header.metadata.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return
    prefix = header.path.name.removesuffix(f"-{1:05d}-of-{count:05d}.gguf")
    names = (f"{prefix}-{part:05d}-of-{count:05d}.gguf" for part in range(2, min(count, 2**16) + 1))
    missing = next((name for name in names if not header.path.with_name(name).is_file()), None)
    if missing:
        raise ModelFileError(
            f"{header.file_name} is the first of {count} parts, and {missing} is not beside it.",
            "Put all parts into one folder under their original names.",
        )


def _check_architecture(header: GgufHeader) -> None:
    if not header.architecture:
        raise _damaged(header, "it does not say which architecture it has")
    if header.architecture not in KNOWN_ARCHITECTURES:
        raise ModelNotSupported(
            f"{header.file_name} has the architecture {quote(header.architecture)}, which this version cannot run.",
            NEWER_ENGINE,
        )


def _check_layers(header: GgufHeader) -> None:
    n_layers = _integer(header, "block_count")
    if n_layers is None:
        raise _damaged(header, "it does not say how many layers it has")
    if not 1 <= n_layers <= MAX_LAYERS:
        raise _damaged(header, f"it claims {n_layers:,} layers, but a model has between 1 and {MAX_LAYERS}")
    n_extra = _integer(header, "nextn_predict_layers") or 0
    if not 0 <= n_extra <= n_layers:
        raise _damaged(header, f"{n_extra:,} of its {n_layers} layers are said to predict further tokens")


def _check_context(header: GgufHeader) -> None:
    """The engine gives a context no more room than the model was trained for, and batches must fit into it."""
    n_ctx = _integer(header, "context_length")
    if n_ctx is not None and 0 < n_ctx < MIN_CONTEXT:
        raise _damaged(header, f"it claims a context of {n_ctx} tokens, and the shortest are some hundreds long")


def _check_experts(header: GgufHeader) -> None:
    n_experts = _integer(header, "expert_count") or 0
    n_used = _most_used_experts(header)
    if header.architecture in {"hunyuan_vl", "hunyuan-dense"} and n_experts <= 1:
        return  # llama.cpp takes these for models without experts
    if not 0 <= n_experts <= MAX_EXPERTS:
        raise _damaged(header, f"it claims {n_experts:,} experts, and {MAX_EXPERTS:,} is the most there can be")
    if n_used > n_experts or (n_experts > 0 and n_used < 1):
        raise _damaged(header, f"it claims to use {n_used:,} of {n_experts:,} experts")
    _check_expert_groups(header, n_experts)


def _check_expert_groups(header: GgufHeader, n_experts: int) -> None:
    n_groups = _integer(header, "expert_group_count") or 0
    if n_groups < 0 or n_groups >= max(n_experts, 1):
        raise _damaged(header, f"it claims {n_groups:,} groups of {n_experts:,} experts")
    if n_groups > 1:
        n_used = _integer(header, "expert_group_used_count") or 0
        if n_experts % n_groups or not 0 < n_used < n_groups:
            raise _damaged(header, f"it claims to use {n_used:,} of {n_groups:,} groups of {n_experts:,} experts")


def _most_used_experts(header: GgufHeader) -> int:
    """``expert_used_count`` is a number, or a list with one for each layer."""
    value = header.metadata.get(f"{header.architecture}.expert_used_count", 0)
    if isinstance(value, GgufArray):
        return max((number for number in value if isinstance(number, int)), default=0)
    return _integer(header, "expert_used_count") or 0


def _check_numbers(header: GgufHeader) -> None:
    """Values that make every later number NaN, or that ggml asserts on at the first token."""
    for key, value in header.metadata.items():
        if not isinstance(value, float):
            continue
        if _NOT_NEGATIVE.search(key) and not (math.isfinite(value) and (value == 0 or value >= _SMALLEST)):
            raise _damaged(header, f"{quote(key)} is {value:g}, which is no possible value")
        if _POSITIVE.search(key) and not (math.isfinite(value) and value >= _SMALLEST):
            raise _damaged(header, f"{quote(key)} is {value:g}, which is no possible value")
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "none")
    if isinstance(scaling, str) and scaling not in ROPE_SCALING_TYPES:
        raise ModelNotSupported(
            f"{header.file_name} stretches its context in the way {quote(scaling)}, which this version does not know.",
            NEWER_ENGINE,
        )


def _check_tensors(header: GgufHeader) -> None:
    alignment = header.metadata.get("general.alignment", MIN_ALIGNMENT)
    if isinstance(alignment, int) and alignment < MIN_ALIGNMENT:
        raise _damaged(header, f"its weights are aligned to {alignment} bytes, and {MIN_ALIGNMENT} are needed")
    for tensor in header.tensors:
        if not _has_usable_type(tensor):
            raise _damaged(header, f"the tensor {quote(tensor.name)} cannot have the type {tensor.type.name}")


def _has_usable_type(tensor: GgufTensor) -> bool:
    if tensor.name.endswith(_ADDED_OR_SCALED):
        return tensor.type.name == "F32"
    return tensor.type.multiplies or any(name in tensor.name for name in INTEGER_TENSORS)


def _check_vocabulary(header: GgufHeader) -> None:
    model = header.metadata.get("tokenizer.ggml.model")
    if model in (None, "none", "no_vocab"):
        raise ModelFileError(
            f"{header.file_name} has no vocabulary, so it can neither read nor write text.", "Pick another model."
        )
    if model not in TOKENIZER_MODELS:
        raise ModelNotSupported(
            f"{header.file_name} has a tokenizer of the unknown kind {quote(str(model))}.", NEWER_ENGINE
        )
    array = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(array, GgufArray) or array.kind is not ValueKind.STRING:
        raise _damaged(header, "its vocabulary is missing")
    if not 1 <= len(array) <= MAX_TOKENS:
        raise _damaged(header, f"its vocabulary has {len(array):,} tokens")
    tokens = _distinct_tokens(header, array)
    _check_embedding_rows(header, len(array))
    _check_tokens(header, str(model), tokens)


def _distinct_tokens(header: GgufHeader, array: GgufArray) -> set[bytes]:
    """The texts of the tokens. llama.cpp asserts that no two are alike.

    It reads them as far as a zero byte, and gives empty ones a name of their own.
    """
    seen: set[bytes] = set()
    for number, written in enumerate(array.raw_strings()):
        text = written.partition(b"\0")[0] or b"[EMPTY_%d]" % number
        if text in seen:
            raise _damaged(header, f"the token {quote(text.decode('utf-8', 'replace'))} comes twice in its vocabulary")
        seen.add(text)
    return seen


def _check_embedding_rows(header: GgufHeader, n_tokens: int) -> None:
    embeddings = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embeddings is None or len(embeddings.shape) != 2 or header.architecture in _DRAFT_ARCHITECTURES:
        return
    if embeddings.shape[1] != n_tokens:
        raise _damaged(header, f"it has {n_tokens:,} tokens, but its weights are for {embeddings.shape[1]:,}")


def _check_tokens(header: GgufHeader, model: str, tokens: set[bytes]) -> None:
    """What each tokenizer looks up without asking whether it is there."""
    if model in ("llama", "plamo2"):
        missing = _missing_byte(tokens, allow_plain=model == "llama")
        if missing is not None:
            raise _damaged(header, f"its vocabulary has no token for the byte 0x{missing:02X}")
    if model == "rwkv" and not any(text in tokens for text in _NEWLINE_TOKENS_OF_RWKV):
        raise _damaged(header, "its vocabulary has no token for the end of a line")
    if model == "bert":
        types = header.metadata.get("tokenizer.ggml.token_type")
        if isinstance(types, GgufArray) and _BYTE_TOKEN_TYPE in types:
            raise _damaged(header, "its vocabulary has tokens for bytes, which its tokenizer cannot have")
        _check_special_token(header, "bos_token_id", 101, len(tokens))
        _check_special_token(header, "seperator_token_id", 102, len(tokens))  # spelled so in the format


def _missing_byte(tokens: set[bytes], *, allow_plain: bool) -> int | None:
    for byte in range(256):
        if b"<0x%02X>" % byte not in tokens and not (allow_plain and bytes([byte]) in tokens):
            return byte
    return None


def _check_special_token(header: GgufHeader, key: str, default: int, n_tokens: int) -> None:
    value = header.metadata.get(f"tokenizer.ggml.{key}", default)
    if isinstance(value, int) and value >= n_tokens and default >= n_tokens:
        raise _damaged(header, f"it has {n_tokens:,} tokens, and the special token {value:,} is not among them")


def _integer(header: GgufHeader, key: str) -> int | None:
    """The architecture's setting ``key``, which must be a whole number if it is there."""
    value = header.metadata.get(f"{header.architecture}.{key}")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _damaged(header, f"its {key} is not a whole number")
    return value


def _damaged(header: GgufHeader, what: str) -> ModelFileError:
    return ModelFileError(f"{header.file_name} is damaged: {what}.", DOWNLOAD_AGAIN)


_CHECKS: tuple[Callable[[GgufHeader], None], ...] = (
    _check_kind_of_file,
    _check_split,
    _check_architecture,
    _check_layers,
    _check_context,
    _check_experts,
    _check_numbers,
    _check_tensors,
    _check_vocabulary,
)
