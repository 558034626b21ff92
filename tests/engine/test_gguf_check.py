"""check_loadable: what would end the process is refused in words, and nothing that loads is."""

from __future__ import annotations

import ctypes
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.errors import ModelFileError
from engine.gguf import GGML_TYPES, KNOWN_ARCHITECTURES, check_loadable, read_header
from tests.doubles.gguf import RawTensor, Typed, Value, encode_gguf, make_tiny_gguf, tiny_vocabulary

TOKENS, TOKEN_TYPES = tiny_vocabulary()
SPM_TOKENS, SPM_TOKEN_TYPES = tiny_vocabulary("llama")


def check_tiny(folder: Path, metadata: Mapping[str, Value | None], tokenizer: str = "gpt2") -> None:
    check_loadable(read_header(make_tiny_gguf(folder / "tiny.gguf", metadata=metadata, tokenizer=tokenizer)))


def refusal(folder: Path, metadata: Mapping[str, Value | None], tokenizer: str = "gpt2") -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        check_tiny(folder, metadata, tokenizer)
    assert "tiny.gguf" in caught.value.text
    assert caught.value.text.endswith(".")
    assert caught.value.hint
    return caught.value


def check_synthetic(
    folder: Path, architecture: str, settings: Mapping[str, Value], metadata: Mapping[str, Value], n_rows: int
) -> None:
    """A header of another architecture, with weights that are only described (the file has a hole)."""
    path = folder / "synthetic.gguf"
    common: dict[str, Value] = {"general.architecture": architecture, **metadata}
    common |= {f"{architecture}.{key}": value for key, value in settings.items()}
    weights = {
        "token_embd.weight": RawTensor((64, n_rows), 8, bytes(n_rows * 68)),
        "output_norm.weight": RawTensor((64,), 0, bytes(256)),
        "blk.0.ffn_down_exps.weight": RawTensor((256, 2, 2), 12, bytes(4 * 144)),
    }
    path.write_bytes(encode_gguf(common, weights))
    check_loadable(read_header(path))


BPE: dict[str, Value] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": TOKEN_TYPES,
    "tokenizer.ggml.merges": ["h e"],
}
SPM: dict[str, Value] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": SPM_TOKENS,
    "tokenizer.ggml.token_type": SPM_TOKEN_TYPES,
    "tokenizer.ggml.scores": [0.0] * len(SPM_TOKENS),
}


class TestAccepts:
    @pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
    def test_the_tiny_model(self, tmp_path: Path, tokenizer: str) -> None:
        check_tiny(tmp_path, {}, tokenizer)

    def test_the_starter_model(self, starter_model: Path) -> None:
        check_loadable(read_header(starter_model))

    def test_gemma(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {
            "block_count": 26,
            "context_length": 32768,
            "embedding_length": 64,
            "attention.head_count": 8,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.sliding_window": 512,
            "rope.freq_base": 1_000_000.0,
            "rope.freq_base_swa": 10_000.0,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        }
        check_synthetic(tmp_path, "gemma3", settings, SPM, len(SPM_TOKENS))

    def test_qwen_with_experts(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {"block_count": 48, "expert_count": 128, "expert_used_count": 8}
        check_synthetic(tmp_path, "qwen3moe", settings, BPE, len(TOKENS))

    def test_experts_in_groups(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {
            "block_count": 61,
            "nextn_predict_layers": 1,
            "expert_count": 256,
            "expert_used_count": 8,
            "expert_group_count": 8,
            "expert_group_used_count": 4,
            "rope.scaling.type": "yarn",
        }
        check_synthetic(tmp_path, "deepseek2", settings, BPE, len(TOKENS))

    def test_experts_used_by_layer(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {"block_count": 3, "expert_count": 16, "expert_used_count": [0, 2, 4]}
        check_synthetic(tmp_path, "nemotron_h_moe", settings, BPE, len(TOKENS))

    def test_hunyuan_says_one_expert_and_means_none(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {"block_count": 32, "expert_count": 1, "expert_used_count": 1}
        check_synthetic(tmp_path, "hunyuan-dense", settings, BPE, len(TOKENS))

    def test_mamba_without_attention(self, tmp_path: Path) -> None:
        settings: dict[str, Value] = {
            "block_count": 64,
            "attention.head_count": 0,
            "ssm.state_size": 16,
            "attention.layer_norm_rms_epsilon": 1e-5,
        }
        check_synthetic(tmp_path, "mamba", settings, BPE, len(TOKENS))

    def test_a_rope_factor_of_zero_which_means_none(self, tmp_path: Path) -> None:
        check_tiny(tmp_path, {"llama.rope.scaling.factor": 0.0})

    def test_an_epsilon_of_zero(self, tmp_path: Path) -> None:
        check_tiny(tmp_path, {"llama.attention.layer_norm_rms_epsilon": 0.0})

    def test_some_empty_tokens(self, tmp_path: Path) -> None:
        check_tiny(tmp_path, {"tokenizer.ggml.tokens": [*TOKENS[:-2], "", ""]})

    def test_the_integer_table_of_an_architecture_that_has_one(self, tmp_path: Path) -> None:
        table = RawTensor((2, 263), 26, bytes(8 * 263))
        path = make_tiny_gguf(tmp_path / "tiny.gguf", tensors={"blk.0.ffn_gate_tid2eid.weight": table})
        check_loadable(read_header(path))

    def test_a_single_byte_in_place_of_its_token(self, tmp_path: Path) -> None:
        tokens = ["A" if token == "<0x41>" else token for token in SPM_TOKENS]
        check_tiny(tmp_path, {"tokenizer.ggml.tokens": tokens}, "llama")


class TestRefuses:
    @pytest.mark.parametrize("n_layers", [0, 513, 10_000, 2**32 - 1])
    def test_impossible_numbers_of_layers(self, tmp_path: Path, n_layers: int) -> None:
        assert f"{n_layers:,} layers" in refusal(tmp_path, {"llama.block_count": n_layers}).text

    def test_no_number_of_layers(self, tmp_path: Path) -> None:
        refusal(tmp_path, {"llama.block_count": None})
        refusal(tmp_path, {"llama.block_count": "many"})
        refusal(tmp_path, {"llama.block_count": True})

    @pytest.mark.parametrize(
        "settings",
        [
            {"expert_count": 4},
            {"expert_count": 2**31, "expert_used_count": 2},
            {"expert_count": 4, "expert_used_count": 5},
            {"expert_used_count": 2},
            {"expert_count": 4, "expert_used_count": [0, 0]},
            {"expert_count": 4, "expert_used_count": [1, 9]},
            {"expert_group_count": 1},
            {"expert_count": 4, "expert_used_count": 2, "expert_group_count": 4},
            {"expert_count": 6, "expert_used_count": 2, "expert_group_count": 4, "expert_group_used_count": 2},
            {"expert_count": 8, "expert_used_count": 2, "expert_group_count": 4},
            {"expert_count": 8, "expert_used_count": 2, "expert_group_count": 4, "expert_group_used_count": 4},
        ],
        ids=str,
    )
    def test_experts_that_do_not_add_up(self, tmp_path: Path, settings: Mapping[str, Value]) -> None:
        assert "expert" in refusal(tmp_path, {f"llama.{key}": value for key, value in settings.items()}).text

    @pytest.mark.parametrize("n_ctx", [1, 7, 31])
    def test_a_context_that_holds_no_batch(self, tmp_path: Path, n_ctx: int) -> None:
        assert f"context of {n_ctx} tokens" in refusal(tmp_path, {"llama.context_length": n_ctx}).text

    def test_more_extra_layers_than_layers(self, tmp_path: Path) -> None:
        assert "3 of its 2 layers" in refusal(tmp_path, {"llama.nextn_predict_layers": 3}).text

    @pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
    def test_an_epsilon_that_is_no_epsilon(self, tmp_path: Path, value: float) -> None:
        refusal(tmp_path, {"llama.attention.layer_norm_rms_epsilon": value})

    @pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e-45])
    def test_a_frequency_base_that_makes_nan(self, tmp_path: Path, value: float) -> None:
        refusal(tmp_path, {"llama.rope.freq_base": value})

    @pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 1e-45])
    def test_a_rope_factor_that_makes_nan(self, tmp_path: Path, value: float) -> None:
        refusal(tmp_path, {"llama.rope.scaling.factor": value})
        refusal(tmp_path, {"llama.rope.scaling.attn_factor": value})

    def test_a_duplicate_token(self, tmp_path: Path) -> None:
        error = refusal(tmp_path, {"tokenizer.ggml.tokens": [*TOKENS[:-1], TOKENS[0]]})
        assert "'<|endoftext|>' comes twice" in error.text

    def test_an_empty_token_whose_stand_in_exists(self, tmp_path: Path) -> None:
        refusal(tmp_path, {"tokenizer.ggml.tokens": [*TOKENS[:-2], "[EMPTY_262]", ""]})

    def test_a_token_that_is_another_ones_beginning_up_to_a_zero_byte(self, tmp_path: Path) -> None:
        assert "comes twice" in refusal(tmp_path, {"tokenizer.ggml.tokens": ["he\0x", *TOKENS[1:]]}).text

    def test_nothing_but_empty_tokens(self, tmp_path: Path) -> None:
        assert "byte 0x00" in refusal(tmp_path, {"tokenizer.ggml.tokens": [""] * 263}, "llama").text

    def test_a_missing_byte_token(self, tmp_path: Path) -> None:
        tokens = ["<0x0G>" if token == "<0x0A>" else token for token in SPM_TOKENS]
        assert "byte 0x0A" in refusal(tmp_path, {"tokenizer.ggml.tokens": tokens}, "llama").text

    def test_more_or_fewer_tokens_than_embeddings(self, tmp_path: Path) -> None:
        for tokens in (TOKENS[:-1], [*TOKENS, "extra"]):
            error = refusal(tmp_path, {"tokenizer.ggml.tokens": tokens})
            assert "263" in error.text

    @pytest.mark.parametrize("tokens", [None, [], Typed("arr:i32", [1, 2]), "none"], ids=str)
    def test_no_vocabulary(self, tmp_path: Path, tokens: Value | None) -> None:
        assert "vocabulary" in refusal(tmp_path, {"tokenizer.ggml.tokens": tokens}).text

    @pytest.mark.parametrize("model", [None, "none", "no_vocab"])
    def test_no_tokenizer(self, tmp_path: Path, model: str | None) -> None:
        assert "neither read nor write" in refusal(tmp_path, {"tokenizer.ggml.model": model}).text

    def test_the_tokenizer_of_bert_on_another_vocabulary(self, tmp_path: Path) -> None:
        assert "bytes" in refusal(tmp_path, {"tokenizer.ggml.model": "bert"}, "llama").text

    def test_the_tokenizer_of_bert_without_its_special_tokens(self, tmp_path: Path) -> None:
        path = tmp_path / "tiny.gguf"
        metadata: dict[str, Value] = {
            "general.architecture": "bert",
            "bert.block_count": 1,
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": ["a", "b"],
        }
        path.write_bytes(encode_gguf(metadata, {"token_embd.weight": RawTensor((2, 2), 0, bytes(16))}))
        with pytest.raises(ModelFileError, match="special token"):
            check_loadable(read_header(path))

    def test_the_tokenizer_of_rwkv_without_a_newline(self, tmp_path: Path) -> None:
        assert "end of a line" in refusal(tmp_path, {"tokenizer.ggml.model": "rwkv"}).text

    @pytest.mark.parametrize("alignment", [1, 8, 16])
    def test_weights_that_are_not_aligned_enough(self, tmp_path: Path, alignment: int) -> None:
        assert "aligned" in refusal(tmp_path, {"general.alignment": alignment}).text

    @pytest.mark.parametrize("ggml_type", [26, 9, 15])
    def test_weights_of_a_type_that_ggml_cannot_multiply(self, tmp_path: Path, ggml_type: int) -> None:
        n_bytes = {26: 256, 9: 72, 15: 292}[ggml_type]
        weights = RawTensor((256 if ggml_type == 15 else 64,), ggml_type, bytes(n_bytes))
        path = make_tiny_gguf(tmp_path / "tiny.gguf", tensors={"output_norm.weight": weights})
        with pytest.raises(ModelFileError, match="output_norm"):
            check_loadable(read_header(path))

    @pytest.mark.parametrize("ggml_type", [1, 8, 30])
    def test_norms_and_biases_that_are_not_f32(self, tmp_path: Path, ggml_type: int) -> None:
        for name in ("blk.1.ffn_norm.weight", "blk.0.attn_q.bias"):
            weights = RawTensor((64,), ggml_type, bytes(128 if ggml_type != 8 else 68))
            path = make_tiny_gguf(tmp_path / "tiny.gguf", tensors={name: weights})
            with pytest.raises(ModelFileError, match=name):
                check_loadable(read_header(path))


class TestTellsApart:
    def test_an_architecture_that_is_too_new(self, tmp_path: Path) -> None:
        error = refusal(tmp_path, {"general.architecture": "llama9"})
        assert "'llama9'" in error.text
        assert "damaged" not in error.text
        assert "newer version" in error.hint

    def test_a_tokenizer_that_is_too_new(self, tmp_path: Path) -> None:
        assert "newer version" in refusal(tmp_path, {"tokenizer.ggml.model": "gemma9"}).hint

    def test_a_rope_scaling_that_is_too_new(self, tmp_path: Path) -> None:
        assert "newer version" in refusal(tmp_path, {"llama.rope.scaling.type": "spiral"}).hint

    def test_a_file_that_does_not_say(self, tmp_path: Path) -> None:
        assert "damaged" in refusal(tmp_path, {"general.architecture": None}).text

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({"general.type": "adapter"}, "LoRA"),
            ({"general.architecture": "clip"}, "images"),
            ({"general.type": "mmproj"}, "images"),
            ({"general.type": "imatrix"}, "measurements"),
        ],
    )
    def test_companions_of_models(self, tmp_path: Path, metadata: Mapping[str, Value], expected: str) -> None:
        error = refusal(tmp_path, metadata)
        assert expected in error.text
        assert "own file" in error.hint

    def test_a_vocabulary_without_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "vocab.gguf"
        path.write_bytes(encode_gguf({"general.architecture": "llama", **BPE}, {}))
        with pytest.raises(ModelFileError, match="without weights"):
            check_loadable(read_header(path))

    def test_a_part_that_is_not_the_first(self, tmp_path: Path) -> None:
        error = refusal(tmp_path, {"split.no": Typed("u16", 1), "split.count": Typed("u16", 3)})
        assert "part 2 of 3" in error.text

    def test_a_first_part_with_and_without_the_others(self, tmp_path: Path) -> None:
        parts = [tmp_path / f"model-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
        metadata = {"split.no": Typed("u16", 0), "split.count": Typed("u16", 3)}
        header = read_header(make_tiny_gguf(parts[0], metadata=metadata))
        parts[1].touch()
        with pytest.raises(ModelFileError, match=r"model-00003-of-00003\.gguf is not beside it"):
            check_loadable(header)
        parts[2].touch()
        check_loadable(header)


def installed_libraries() -> Path:
    """Where llama-cpp-python keeps what it built, found without loading any of it."""
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib"


class TestFacts:
    """Our tables against the engine that is installed, so that an update cannot make them wrong unnoticed."""

    def test_known_architectures(self) -> None:
        text = b"".join(path.read_bytes() for path in installed_libraries().glob("*llama*"))
        assert [name for name in sorted(KNOWN_ARCHITECTURES) if name.encode() + b"\0" not in text] == []

    def test_tensor_types(self) -> None:
        ggml = ctypes.CDLL(str(min(installed_libraries().glob("*ggml-base*"))))
        ggml.ggml_blck_size.restype = ctypes.c_int64
        ggml.ggml_type_size.restype = ctypes.c_size_t
        ggml.ggml_type_name.restype = ctypes.c_char_p
        numbers = range(max(GGML_TYPES) + 1)
        theirs = {n: (ggml.ggml_blck_size(n), ggml.ggml_type_size(n)) for n in numbers if ggml.ggml_blck_size(n)}
        assert {n: (known.block_size, known.block_bytes) for n, known in GGML_TYPES.items()} == theirs
        assert [t.name for t in GGML_TYPES.values()] == [ggml.ggml_type_name(n).decode().upper() for n in GGML_TYPES]
