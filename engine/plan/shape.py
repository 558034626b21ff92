"""What a model takes, from its header alone: bytes of each layer's parts, what a token leaves in the cache."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Self

from engine.gguf import GgufHeader
from engine.gguf.facts import MAX_LAYERS
from engine.gguf.header import GgufTensor
from engine.plan.attention import LayerCache, read_caches
from engine.plan.metadata import Metadata

EXPERT_TENSORS = r"ffn_(up|down|gate|gate_up)_(ch|)exps"
"""As llama.cpp's own ``--n-cpu-moe`` matches them."""
FEED_FORWARD_TENSORS = r"ffn_(up|down|gate)\.weight"

_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
_EXPERTS = re.compile(EXPERT_TENSORS)
_FEED_FORWARD = re.compile(FEED_FORWARD_TENSORS)
_INPUT = ("token_embd.weight", "position_embd.", "token_types.", "per_layer_token_embd.")
_FIRST_LAYER = ("token_embd_norm.", "per_layer_model_proj.", "per_layer_proj_norm.", "rope_freqs.", "rope_factors_")
_GPU_ALIGNMENT = 128
_PADDED_ROW = 512


@dataclass(frozen=True, slots=True)
class Part:
    """Tensors that stay together. ``gpu_bytes`` is what they take on a GPU, with its alignment and padding."""

    size_bytes: int = 0
    gpu_bytes: int = 0
    n_elements: int = 0
    largest_bytes: int = 0
    """Of its largest tensor."""

    def __add__(self, other: Part) -> Part:
        return Part(
            self.size_bytes + other.size_bytes,
            self.gpu_bytes + other.gpu_bytes,
            self.n_elements + other.n_elements,
            max(self.largest_bytes, other.largest_bytes),
        )

    @classmethod
    def of(cls, tensors: list[GgufTensor]) -> Self:
        return cls(
            sum(tensor.size_bytes for tensor in tensors),
            sum(map(_gpu_bytes, tensors)),
            sum(tensor.n_elements for tensor in tensors),
            max((tensor.size_bytes for tensor in tensors), default=0),
        )


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One layer. ``feed_forward``: the matrices of a dense one. ``rest`` is what is neither that nor ``experts``."""

    index: int
    rest: Part
    feed_forward: Part
    experts: Part
    cache: LayerCache

    @property
    def weights(self) -> Part:
        return self.rest + self.feed_forward + self.experts


@dataclass(frozen=True, slots=True)
class Widths:
    """How many numbers a token is in the middle of a layer; the largest of all layers. 0 for what there is not.

    ``latent_key`` is that of a head before it is compressed (MLA); ``inner`` is a state space's.
    """

    embedding: int
    n_heads: int
    key: int
    value: int
    latent_key: int
    feed_forward: int
    expert: int
    inner: int

    @classmethod
    def of(cls, metadata: Metadata) -> Self:
        n_heads = metadata.count("attention.head_count")
        embedding = metadata.count("embedding_length")
        head = embedding // n_heads if n_heads else 0
        return cls(
            embedding=embedding,
            n_heads=n_heads,
            key=metadata.count("attention.key_length", head),
            value=metadata.count("attention.value_length", head),
            latent_key=metadata.count("attention.key_length_mla"),
            feed_forward=metadata.count("feed_forward_length"),
            expert=metadata.count("expert_feed_forward_length", metadata.count("feed_forward_length")),
            inner=metadata.count("ssm.inner_size"),
        )


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Everything that a plan needs of a model.

    ``input`` lies with the CPU always; ``output`` goes to a GPU first of all, and counts as one more layer.
    ``n_ctx_train`` is 0 where the header does not say, ``window`` where there is none. ``is_tied``: the output is the
    input's matrix once more, of which a device that has both needs only one.
    """

    architecture: str
    name: str
    quantization: str
    n_ctx_train: int
    n_vocab: int
    n_params: int
    widths: Widths
    size_bytes: int
    input: Part
    output: Part
    layers: tuple[LayerShape, ...]
    n_experts: int
    n_experts_used: int
    window: int
    is_latent: bool
    is_tied: bool

    @classmethod
    def of(cls, header: GgufHeader, *more_parts: GgufHeader) -> Self:
        """Of a model's first part and, where it is split, the others. Any thread; some milliseconds."""
        metadata = Metadata(header)
        tensors = [tensor for part in (header, *more_parts) for tensor in part.tensors]
        n_layers = min(MAX_LAYERS, metadata.count("block_count"))
        n_trunk = n_layers - min(n_layers, metadata.count("nextn_predict_layers"))
        caches = read_caches(metadata, n_layers, n_trunk)
        sorted_tensors = _SortedTensors(tensors, n_trunk)
        return cls(
            architecture=metadata.architecture,
            name=header.name,
            quantization=header.quantization,
            n_ctx_train=header.n_ctx_train,
            n_vocab=sorted_tensors.n_vocab or metadata.length("tokenizer.ggml.tokens"),
            n_params=sum(tensor.n_elements for tensor in tensors),
            widths=Widths.of(metadata),
            size_bytes=sum(tensor.size_bytes for tensor in tensors),
            input=Part.of(sorted_tensors.input),
            output=Part.of(sorted_tensors.output),
            layers=tuple(sorted_tensors.layer(index, cache) for index, cache in enumerate(caches.layers)),
            n_experts=metadata.count("expert_count"),
            n_experts_used=metadata.count("expert_used_count"),
            window=caches.window,
            is_latent=caches.is_latent,
            is_tied=sorted_tensors.is_tied,
        )

    @property
    def n_layers(self) -> int:
        """Without the output."""
        return len(self.layers)

    @property
    def has_experts(self) -> bool:
        return self.n_expert_layers > 0

    @property
    def n_expert_layers(self) -> int:
        return sum(1 for layer in self.layers if layer.experts.size_bytes)

    @property
    def has_state(self) -> bool:
        """Whether it is recurrent or hybrid."""
        return any(layer.cache.state_bytes for layer in self.layers)

    @property
    def weights(self) -> Part:
        """All of them, each once."""
        return reduce(add, (layer.weights for layer in self.layers), self.input + self.output)


class _SortedTensors:
    """A model's tensors by where they go."""

    def __init__(self, tensors: list[GgufTensor], n_trunk_layers: int) -> None:
        """Layers that predict further tokens are not loaded."""
        self.input: list[GgufTensor] = []
        self.output: list[GgufTensor] = []
        self._layers: defaultdict[int, list[GgufTensor]] = defaultdict(list)
        for tensor in tensors:
            if match := _LAYER.match(tensor.name):
                if int(match[1]) < n_trunk_layers:
                    self._layers[int(match[1])].append(tensor)
            elif tensor.name.startswith(_INPUT):
                self.input.append(tensor)
            elif tensor.name.startswith(_FIRST_LAYER):
                self._layers[0].append(tensor)
            else:
                self.output.append(tensor)
        self.n_vocab = next((t.shape[-1] for t in self.input if t.name == "token_embd.weight"), 0)
        self.is_tied = not any(tensor.name == "output.weight" for tensor in self.output)
        if self.is_tied:
            self.output += [tensor for tensor in self.input if tensor.name == "token_embd.weight"]

    def layer(self, index: int, cache: LayerCache) -> LayerShape:
        tensors = self._layers.get(index, [])
        experts = [tensor for tensor in tensors if _EXPERTS.search(tensor.name)]
        dense = [tensor for tensor in tensors if _FEED_FORWARD.search(tensor.name)]
        others = {*map(id, experts), *map(id, dense)}
        rest = [tensor for tensor in tensors if id(tensor) not in others]
        return LayerShape(index, Part.of(rest), Part.of(dense), Part.of(experts), cache)


def _gpu_bytes(tensor: GgufTensor) -> int:
    """As ``ggml_backend_cuda_buffer_type_get_alloc_size``: the last row of a quantized matrix is padded."""
    size = tensor.size_bytes
    overhang = tensor.shape[0] % _PADDED_ROW if tensor.shape else 0
    if tensor.type.block_size > 1 and overhang:
        size += -(-(_PADDED_ROW - overhang) // tensor.type.block_size) * tensor.type.block_bytes
    return size + -size % _GPU_ALIGNMENT
