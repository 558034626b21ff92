"""Tiny models of other architectures than llama: without a cuttable cache, with a sliding window, without a cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.doubles.gguf import CHATML, Tensor, Value, encode_gguf, tiny_vocabulary

N_EMBD, N_LAYER = 64, 2
SLIDING_WINDOW = 32


def make_tiny_mamba(path: Path) -> Path:
    """A recurrent model (Gu and Dao 2023): its state cannot be cut at a token, only kept whole."""
    d_conv, d_inner, d_state, dt_rank = 4, 2 * N_EMBD, 16, 8
    random = np.random.default_rng(1)
    tensors = _common(random)
    for layer in range(N_LAYER):
        name = f"blk.{layer}."
        tensors |= {
            f"{name}attn_norm.weight": np.ones(N_EMBD, np.float32),
            f"{name}ssm_in.weight": _matrix(random, 2 * d_inner, N_EMBD),
            f"{name}ssm_conv1d.weight": _matrix(random, d_inner, d_conv),
            f"{name}ssm_conv1d.bias": np.zeros(d_inner, np.float32),
            f"{name}ssm_x.weight": _matrix(random, dt_rank + 2 * d_state, d_inner),
            f"{name}ssm_dt.weight": _matrix(random, d_inner, dt_rank),
            f"{name}ssm_dt.bias": np.zeros(d_inner, np.float32),
            f"{name}ssm_a": -np.ones((d_inner, d_state), np.float32),
            f"{name}ssm_d": np.ones(d_inner, np.float32),
            f"{name}ssm_out.weight": _matrix(random, N_EMBD, d_inner),
        }
    metadata = _metadata("mamba") | {
        "mamba.ssm.conv_kernel": d_conv,
        "mamba.ssm.inner_size": d_inner,
        "mamba.ssm.state_size": d_state,
        "mamba.ssm.time_step_rank": dt_rank,
        "mamba.attention.head_count": 0,
        "mamba.feed_forward_length": 0,
    }
    path.write_bytes(encode_gguf(metadata, tensors))
    return path


def make_tiny_gemma(path: Path) -> Path:
    """A Gemma 3: five of six layers see only the last SLIDING_WINDOW tokens."""
    n_heads, n_kv_heads, head, n_ff, n_layer = 4, 1, 16, 128, 6
    random = np.random.default_rng(2)
    tensors = _common(random)
    for layer in range(n_layer):
        name = f"blk.{layer}."
        norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        tensors |= {f"{name}{norm}.weight": np.ones(N_EMBD, np.float32) for norm in norms}
        tensors |= {f"{name}{norm}.weight": np.ones(head, np.float32) for norm in ("attn_q_norm", "attn_k_norm")}
        tensors |= {
            f"{name}attn_q.weight": _matrix(random, n_heads * head, N_EMBD),
            f"{name}attn_k.weight": _matrix(random, n_kv_heads * head, N_EMBD),
            f"{name}attn_v.weight": _matrix(random, n_kv_heads * head, N_EMBD),
            f"{name}attn_output.weight": _matrix(random, N_EMBD, n_heads * head),
            f"{name}ffn_gate.weight": _matrix(random, n_ff, N_EMBD),
            f"{name}ffn_up.weight": _matrix(random, n_ff, N_EMBD),
            f"{name}ffn_down.weight": _matrix(random, N_EMBD, n_ff),
        }
    metadata = _metadata("gemma3") | {
        "gemma3.block_count": n_layer,
        "gemma3.feed_forward_length": n_ff,
        "gemma3.attention.head_count": n_heads,
        "gemma3.attention.head_count_kv": n_kv_heads,
        "gemma3.attention.key_length": head,
        "gemma3.attention.value_length": head,
        "gemma3.attention.sliding_window": SLIDING_WINDOW,
        "gemma3.rope.freq_base": 10000.0,
    }
    path.write_bytes(encode_gguf(metadata, tensors))
    return path


@dataclass(frozen=True)
class TinyBert:
    """A BERT (Devlin et al. 2018) with its weights at hand, so that a test can compute what it should answer."""

    path: Path
    words: list[str]
    tensors: dict[str, Tensor]


BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "a", "mat", "rates", "rose", "in", "march"]
BERT_N_CTX, BERT_N_HEADS = 64, 2


def make_tiny_bert(path: Path, pooling: int | None = 1) -> TinyBert:
    """``pooling`` as in llama.h: 1 mean, 2 first token, 3 last token, 4 rank. It reads whole words only."""
    n_ff, random = 96, np.random.default_rng(3)
    tensors: dict[str, Tensor] = {
        "token_embd.weight": _matrix(random, len(BERT_WORDS), N_EMBD) * np.float32(4),
        "token_types.weight": _matrix(random, 2, N_EMBD),
        "position_embd.weight": _matrix(random, BERT_N_CTX, N_EMBD),
    } | _layer_norm("token_embd_norm")
    for layer in range(N_LAYER):
        name = f"blk.{layer}."
        tensors |= _layer_norm(f"{name}attn_output_norm") | _layer_norm(f"{name}layer_output_norm")
        shapes = {"attn_q": (N_EMBD, N_EMBD), "attn_k": (N_EMBD, N_EMBD), "attn_v": (N_EMBD, N_EMBD)}
        shapes |= {"attn_output": (N_EMBD, N_EMBD), "ffn_up": (n_ff, N_EMBD), "ffn_down": (N_EMBD, n_ff)}
        for part, (rows, columns) in shapes.items():
            tensors[f"{name}{part}.weight"] = _matrix(random, rows, columns)
            tensors[f"{name}{part}.bias"] = random.normal(0, 0.1, rows).astype(np.float32)
    metadata: dict[str, Value] = {
        "general.architecture": "bert",
        "general.name": "Tiny bert",
        "general.file_type": 0,
        "bert.context_length": BERT_N_CTX,
        "bert.embedding_length": N_EMBD,
        "bert.block_count": N_LAYER,
        "bert.feed_forward_length": n_ff,
        "bert.attention.head_count": BERT_N_HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [word if word.startswith("[") else f"▁{word}" for word in BERT_WORDS],
        "tokenizer.ggml.token_type": [3] * 4 + [1] * (len(BERT_WORDS) - 4),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
    }
    if pooling is not None:
        metadata["bert.pooling_type"] = pooling
    path.write_bytes(encode_gguf(metadata, tensors))
    return TinyBert(path, BERT_WORDS, tensors)


def _layer_norm(name: str) -> dict[str, Tensor]:
    return {f"{name}.weight": np.ones(N_EMBD, np.float32), f"{name}.bias": np.zeros(N_EMBD, np.float32)}


def _metadata(architecture: str) -> dict[str, Value]:
    tokens, token_types = tiny_vocabulary()
    return {
        "general.architecture": architecture,
        "general.name": f"Tiny {architecture}",
        "general.file_type": 0,
        f"{architecture}.context_length": 4096,
        f"{architecture}.embedding_length": N_EMBD,
        f"{architecture}.block_count": N_LAYER,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": token_types,
        "tokenizer.ggml.merges": ["h e", "l l", "he ll", "hell o"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHATML,
    }


def _common(random: np.random.Generator) -> dict[str, Tensor]:
    n_vocab = len(tiny_vocabulary()[0])
    return {
        "token_embd.weight": _matrix(random, n_vocab, N_EMBD),
        "output_norm.weight": np.ones(N_EMBD, np.float32),
        "output.weight": _matrix(random, n_vocab, N_EMBD) * np.float32(4),
    }


def _matrix(random: np.random.Generator, rows: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)
