"""What a token, or a sequence, leaves in the cache of each layer, for every architecture that llama.cpp knows.

Taken from the llama.cpp that llama-cpp-python 0.3.36 builds: ``load_arch_hparams`` of its models, llama-hparams.cpp,
``llama_model::create_memory`` and the constructors of its caches.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.metadata import Metadata

_NO_CACHE = frozenset(
    {
        "bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "eurobert",
        "wavtokenizer-dec",
        "modern-bert",
        "gemma-embedding",
        "dream",
        "llada",
        "llada-moe",
        "rnd1",
    }
)
RECURRENT = frozenset(["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"])
_STATE_WITHOUT_KV_HEADS = frozenset(
    {
        "jamba",
        "plamo2",
        "granitehybrid",
        "lfm2",
        "lfm2moe",
        "kimi-linear",
        "bailingmoe3",
        "kimi-k3",
        "glm5-next",
        "nemotron_h",
        "nemotron_h_moe",
    }
)
"""Hybrids that say by ``head_count_kv`` 0 which layers are recurrent."""
_FULL_ATTENTION_EVERY = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
"""Hybrids in which each so many layers' last one attends, where the header does not say otherwise."""
_INDEXED = frozenset(["deepseek32", "glm-dsa", "hy_v4", "dots3note", "glm5-next", "qwen4exp", "minimax-m3"])
"""Those with a second cache of keys, by which the tokens to attend to are picked."""

_F32_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Windows:
    """Each ``every`` layers have one that sees all: the last one, or the first. ``default`` is in tokens."""

    every: int
    full_first: bool = False
    default: int = 0


_WINDOWS = {
    "afmoe": _Windows(4),
    "cohere2": _Windows(4),
    "cohere2moe": _Windows(4, full_first=True),
    "exaone-moe": _Windows(4, default=128),
    "exaone4": _Windows(4, default=4096),
    "gemma2": _Windows(2, default=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "laguna": _Windows(4, full_first=True),
    "llama4": _Windows(4, default=8192),
    "mellum": _Windows(4),
    "muse-glimmer": _Windows(4),
    "olmo2": _Windows(4),
    "gpt-oss": _Windows(2),
    "plamo3": _Windows(8),
    "smallthinker": _Windows(4, full_first=True),
    "deepseek4": _Windows(0),
}
_LISTED_WINDOWS = frozenset(
    {"gemma4", "gemma4-assistant", "granite_swa", "maple", "mimo2", "spark2_5", "step35", "dots3note", "dflash"}
)
"""Those whose header always lists which layers have one."""
_FIXED_WINDOW = {"llama4": 8192, "smallthinker": 4096}
_EXAONE4_LAYERS_WITH_WINDOWS = 64
_GEMMA3N_LAYERS_WITH_CACHE = 20


@dataclass(frozen=True, slots=True)
class LayerCache:
    """``key_width`` and ``value_width`` are numbers a token; ``index_width`` those of a second cache, of keys alone."""

    key_width: int = 0
    value_width: int = 0
    index_width: int = 0
    state_bytes: int = 0
    has_window: bool = False


@dataclass(frozen=True, slots=True)
class Caches:
    """``window`` is in tokens, 0 where no layer has one. ``is_latent``: keys and values are kept as one (MLA)."""

    layers: tuple[LayerCache, ...]
    window: int
    is_latent: bool


def read_caches(metadata: Metadata, n_layers: int, n_trunk_layers: int) -> Caches:
    """``n_layers`` counts those that predict further tokens too, which come after the trunk and keep nothing."""
    if metadata.architecture in _NO_CACHE:
        return Caches((LayerCache(),) * n_layers, 0, is_latent=False)
    window, windows = _read_windows(metadata, n_layers)
    is_latent = metadata.count("attention.key_length_mla") > 0
    recurrent = _recurrent(metadata, n_layers, n_trunk_layers)
    kv = _kv_widths(metadata, n_layers, windows, is_latent=is_latent)
    index = metadata.count("attention.indexer.key_length") if metadata.architecture in _INDEXED else 0
    state_bytes = _state_bytes(metadata)
    attends = _attending(metadata, recurrent, n_layers)
    layers = []
    for layer in range(n_layers):
        if layer >= n_trunk_layers:
            layers.append(LayerCache())
            continue
        key, value = kv[layer] if attends[layer] else (0, 0)
        state = state_bytes if recurrent[layer] else 0
        layers.append(LayerCache(key, value, index if key else 0, state, has_window=windows[layer]))
    return Caches(tuple(layers), window, is_latent)


def _read_windows(metadata: Metadata, n_layers: int) -> tuple[int, tuple[bool, ...]]:
    """The window's length, and which layers have it."""
    architecture, none = metadata.architecture, (0, (False,) * n_layers)
    wished = metadata.count("attention.sliding_window")
    said = metadata.has("attention.sliding_window")
    if architecture in ("lfm2", "lfm2moe") and wished:
        return wished, tuple(heads > 0 for heads in _kv_heads(metadata, n_layers))
    listed = metadata.flags("attention.sliding_window_pattern", n_layers)
    if architecture in _LISTED_WINDOWS and wished and listed:
        return wished, listed
    rule = _WINDOWS.get(architecture)
    size = wished if said else (rule.default if rule else 0)
    if rule is None or not size or (architecture == "exaone4" and n_layers != _EXAONE4_LAYERS_WITH_WINDOWS):
        return none
    every = metadata.count("attention.sliding_window_pattern", rule.every)
    return _FIXED_WINDOW.get(architecture, size), listed or _pattern(n_layers, every, full_first=rule.full_first)


def _pattern(n_layers: int, every: int, *, full_first: bool) -> tuple[bool, ...]:
    """``llama_hparams::set_swa_pattern``."""
    full = 0 if full_first else every - 1
    return tuple(every == 0 or layer % every != full for layer in range(n_layers))


def _kv_heads(metadata: Metadata, n_layers: int) -> tuple[int, ...]:
    if metadata.has("attention.head_count_kv"):
        return metadata.per_layer("attention.head_count_kv", n_layers)
    return metadata.per_layer("attention.head_count", n_layers)


def _kv_widths(
    metadata: Metadata, n_layers: int, windows: tuple[bool, ...], *, is_latent: bool
) -> list[tuple[int, int]]:
    """Of keys and of values. Of the latent kind there are keys alone (``has_v`` in llama_kv_cache)."""
    n_heads = metadata.per_layer("attention.head_count", max(1, n_layers))
    if n_heads[0] == 0 and metadata.architecture != "plamo2":
        return [(0, 0)] * n_layers
    usual = metadata.count("embedding_length") // max(1, n_heads[0])
    key, value = metadata.count("attention.key_length", usual), metadata.count("attention.value_length", usual)
    key_in_window = metadata.count("attention.key_length_swa", key)
    value_in_window = metadata.count("attention.value_length_swa", value)
    widths = []
    for has_window, heads in zip(windows, _kv_heads(metadata, n_layers), strict=True):
        of_key, of_value = (key_in_window, value_in_window) if has_window else (key, value)
        widths.append((of_key * heads, 0 if is_latent else of_value * heads))
    return widths


def _recurrent(metadata: Metadata, n_layers: int, n_trunk_layers: int) -> tuple[bool, ...]:
    architecture = metadata.architecture
    if architecture in RECURRENT or architecture == "falcon-h1":
        return (True,) * n_layers
    if architecture in _STATE_WITHOUT_KV_HEADS:
        lengths = metadata.per_layer("feed_forward_length", n_layers)
        alone = architecture.startswith("nemotron")  # its layers are one thing each: attention, feed-forward or state
        heads = _kv_heads(metadata, n_layers)
        return tuple(n == 0 and not (alone and length) for n, length in zip(heads, lengths, strict=True))
    every = _FULL_ATTENTION_EVERY.get(architecture)
    if every is None:
        return (False,) * n_layers
    listed = metadata.flags("attention.recurrent_layers", n_layers)
    every = metadata.count("full_attention_interval", every) or 1
    return listed or tuple(n < n_trunk_layers and (n + 1) % every != 0 for n in range(n_layers))


def _attending(metadata: Metadata, recurrent: tuple[bool, ...], n_layers: int) -> tuple[bool, ...]:
    """Which layers keep keys and values of their own."""
    architecture = metadata.architecture
    if architecture == "falcon-h1":
        return (True,) * n_layers
    if architecture in ("nemotron_h", "nemotron_h_moe"):
        lengths = metadata.per_layer("feed_forward_length", n_layers)
        return tuple(not state and not length for state, length in zip(recurrent, lengths, strict=True))
    last = n_layers
    if architecture == "gemma3n":
        last = _GEMMA3N_LAYERS_WITH_CACHE
    elif architecture == "gemma4":
        last = n_layers - metadata.count("attention.shared_kv_layers")
    return tuple(not state and layer < last for layer, state in enumerate(recurrent))


def _state_bytes(metadata: Metadata) -> int:
    """Of one recurrent layer and one sequence: ``n_embd_r`` and ``n_embd_s`` of llama_hparams, in F32."""
    n_embd = metadata.count("embedding_length")
    n_heads = metadata.per_layer("attention.head_count", 1)[0]
    d_conv, d_inner = metadata.count("ssm.conv_kernel"), metadata.count("ssm.inner_size")
    d_state, n_groups = metadata.count("ssm.state_size"), metadata.count("ssm.group_count")
    kda, wkv = metadata.count("kda.head_dim"), metadata.count("wkv.head_size")
    if wkv:
        numbers = metadata.count("token_shift_count", 2) * n_embd + n_embd * wkv
    elif cells := metadata.count("shortconv.l_cache"):
        numbers = n_embd * (cells - 1) + d_state * d_inner
    elif kda:
        numbers = 3 * (d_conv - 1 if d_conv else 3) * n_heads * kda + kda * kda * n_heads
    elif metadata.architecture == "minimax-01":
        numbers = metadata.count("attention.key_length") ** 2 * n_heads
    else:
        numbers = max(0, d_conv - 1) * (d_inner + 2 * n_groups * d_state) + d_state * d_inner
    return numbers * _F32_BYTES
