"""What a plan promises, whatever the model and the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.plan import Corrections, KvType, MemoryPlan, Verdict, Wishes, plan, smaller
from engine.plan.placement import margin_bytes
from tests.doubles.machines import CPU_INDEX, GIB, MIB, cpu, gpu, shape_of, unified

MODELS = ("llama-1b", "llama-8b", "qwen3-30b-a3b", "gemma3-4b", "gpt-oss-20b", "granite-h-tiny", "mamba-3b")
ORDER = tuple(Verdict)
some_gib = st.floats(0.3, 48)
quickly = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _fits(made: MemoryPlan) -> bool:
    return all(
        share.total_bytes <= share.device.free_bytes - margin_bytes(share.device)
        for share in made.shares
        if share.device.is_gpu
    )


@quickly
@given(name=st.sampled_from(MODELS), free=st.lists(some_gib, min_size=1, max_size=3))
def test_no_gpu_gets_more_than_it_has(tmp_path: Path, name: str, free: list[float]) -> None:
    made = plan(shape_of(tmp_path, name), [*(gpu(gib, n) for n, gib in enumerate(free)), cpu()])
    assert _fits(made)


@quickly
@given(name=st.sampled_from(MODELS), free=some_gib, more=st.floats(0, 24))
def test_more_memory_is_never_worse(tmp_path: Path, name: str, free: float, more: float) -> None:
    shape = shape_of(tmp_path, name)
    before, after = plan(shape, [gpu(free), cpu()]), plan(shape, [gpu(free + more), cpu()])
    assert ORDER.index(after.verdict) <= ORDER.index(before.verdict)
    assert after.n_gpu_layers >= before.n_gpu_layers


@quickly
@given(name=st.sampled_from(MODELS), free=some_gib, more=st.floats(0, 24))
def test_of_the_same_context_more_memory_takes_more_layers(tmp_path: Path, name: str, free: float, more: float) -> None:
    shape, wishes = shape_of(tmp_path, name), Wishes(n_ctx=4096, kv_type=KvType.F16)
    before, after = plan(shape, [gpu(free), cpu()], wishes), plan(shape, [gpu(free + more), cpu()], wishes)
    assert after.n_gpu_layers >= before.n_gpu_layers
    if after.n_gpu_layers == before.n_gpu_layers:
        assert after.n_ffn_on_cpu <= before.n_ffn_on_cpu


@quickly
@given(name=st.sampled_from(MODELS), free=st.lists(some_gib, max_size=3), n_ctx=st.integers(256, 60_000))
def test_all_weights_and_all_cells_are_placed_once(tmp_path: Path, name: str, free: list[float], n_ctx: int) -> None:
    shape = shape_of(tmp_path, name)
    wishes = Wishes(n_ctx=n_ctx, kv_type=KvType.F16)
    made = plan(shape, [*(gpu(gib, n) for n, gib in enumerate(free)), cpu()], wishes)
    alone = plan(shape, [cpu()], wishes)
    assert sum(share.kv_bytes for share in made.shares) == sum(share.kv_bytes for share in alone.shares)
    assert sum(made.tensor_split) == made.n_gpu_layers <= shape.n_layers + 1
    weights = sum(share.weights_bytes for share in made.shares)
    padding = shape.weights.gpu_bytes - shape.weights.size_bytes
    assert shape.size_bytes <= weights <= shape.size_bytes + shape.input.size_bytes + padding


@quickly
@given(name=st.sampled_from(("llama-8b", "qwen3-30b-a3b", "gemma3-4b")), free=st.floats(2, 40))
def test_no_gpu_keeps_half_a_gibibyte_that_a_layer_would_fill(tmp_path: Path, name: str, free: float) -> None:
    made = plan(shape_of(tmp_path, name), [gpu(free), cpu()])
    if made.verdict is Verdict.FULL_GPU:
        return
    share = made.shares[0]
    assert share.device.free_bytes - share.total_bytes < 512 * MIB + 340 * MIB * (name == "qwen3-30b-a3b")


@quickly
@given(name=st.sampled_from(MODELS), free=some_gib)
def test_smaller_takes_less_and_ends(tmp_path: Path, name: str, free: float) -> None:
    shape, devices = shape_of(tmp_path, name), [gpu(free), cpu()]
    made: MemoryPlan | None = plan(shape, devices)
    seen = []
    while made is not None:
        seen.append(sum(share.total_bytes for share in made.shares if share.device.is_gpu))
        assert len(seen) < 40
        made = smaller(made, shape, devices)
    assert seen == sorted(seen, reverse=True)


def test_smaller_keeps_what_the_user_fixed(tmp_path: Path) -> None:
    shape, devices = shape_of(tmp_path, "llama-8b"), [gpu(12), cpu()]
    wishes = Wishes(n_ctx=16_384, kv_type=KvType.F16)
    after = smaller(plan(shape, devices, wishes), shape, devices, wishes)
    assert after is not None
    assert (after.n_ctx, after.kv_type) == (16_384, KvType.F16)


def test_a_dense_model_keeps_attention_on_the_gpu_and_matrices_with_the_processor(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-8b"), [gpu(4), cpu()])
    assert made.verdict is Verdict.EXPERTS_ON_CPU
    assert made.n_gpu_layers == 33
    ((pattern, device),) = made.overrides
    assert device == "CPU"
    assert pattern == rf"blk\.({'|'.join(map(str, range(made.n_ffn_on_cpu)))})\.ffn_(up|down|gate)\.weight"


def test_that_is_faster_than_whole_layers(tmp_path: Path) -> None:
    shape, devices = shape_of(tmp_path, "llama-8b"), [gpu(4), cpu()]
    ours = plan(shape, devices).decode_tokens_per_s
    as_llama_cpp = plan(shape, devices, Wishes(n_ctx=4096, n_gpu_layers=13)).decode_tokens_per_s
    assert ours is not None
    assert as_llama_cpp is not None
    assert ours > 1.25 * as_llama_cpp


def test_experts_go_to_the_processor_before_anything_else(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "qwen3-30b-a3b"), [gpu(8), cpu()])
    assert made.verdict is Verdict.EXPERTS_ON_CPU
    assert made.shares[0].kv_bytes == sum(share.kv_bytes for share in made.shares)


def test_one_gpu_alone_is_preferred_to_two(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-8b"), [gpu(12, 0, bandwidth=3e11), gpu(16, 1), cpu()])
    assert made.tensor_split == (0.0, 33.0)


def test_of_two_gpus_the_quicker_one_gets_what_it_holds(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-70b"), [gpu(30, 0, bandwidth=3e11), gpu(30, 1), cpu()])
    slow, quick = made.tensor_split
    assert quick > slow > 0
    assert made.verdict is Verdict.FULL_GPU


def test_memory_that_is_shared_counts_once(tmp_path: Path) -> None:
    small, large = shape_of(tmp_path, "llama-8b"), shape_of(tmp_path, "gemma3-27b")
    assert plan(small, [unified(12), cpu(12, 16)]).verdict is Verdict.FULL_GPU
    made = plan(large, [unified(12), cpu(12, 16)])
    assert made.verdict in (Verdict.CPU_SWAPS, Verdict.TOO_BIG)


def test_a_model_larger_than_free_memory_warns_before_it_swaps(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "qwen3-14b")
    made = plan(shape, [cpu(6, 16)])
    assert made.verdict is Verdict.CPU_SWAPS
    assert made.missing_bytes > 2 * GIB
    assert "disk" in made.sentence
    assert plan(shape, [cpu(4, 8)]).verdict is Verdict.TOO_BIG


def test_a_user_may_fix_the_layers_and_is_told_where_it_does_not_fit(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b")
    made = plan(shape, [gpu(4), cpu()], Wishes(n_gpu_layers=33, n_ctx=32_768))
    assert made.verdict is Verdict.TOO_BIG
    assert made.n_gpu_layers == 33
    assert made.missing_bytes > GIB
    assert plan(shape, [gpu(4), cpu()], Wishes(n_gpu_layers=0)).verdict is Verdict.CPU_ONLY


def test_a_user_may_fix_the_experts_and_the_rest_follows(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "qwen3-30b-a3b"), [gpu(24), cpu()], Wishes(experts_on_cpu=48))
    assert made.n_ffn_on_cpu == 48
    assert made.n_gpu_layers == 49


def test_a_context_is_never_longer_than_the_model_was_trained_for(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "gemma2-9b"), [gpu(80), cpu()], Wishes(n_ctx=100_000))
    assert made.n_ctx == made.n_ctx_max == 8192
    assert any("trained" in reason for reason in made.reasons)


def test_the_longest_context_of_the_same_kind_still_is_of_that_kind(tmp_path: Path) -> None:
    shape, devices = shape_of(tmp_path, "llama-8b"), [gpu(12), cpu()]
    made = plan(shape, devices)
    longest = plan(shape, devices, Wishes(n_ctx=made.n_ctx_max, kv_type=made.kv_type))
    longer = plan(shape, devices, Wishes(n_ctx=made.n_ctx_max + 2048, kv_type=made.kv_type))
    assert longest.verdict is made.verdict
    assert longer.verdict is not made.verdict


def test_what_receipts_taught_replaces_what_was_guessed(tmp_path: Path) -> None:
    shape, devices = shape_of(tmp_path, "llama-8b"), [gpu(12), cpu()]
    usual = plan(shape, devices)
    taught = plan(shape, devices, Wishes(), Corrections({0: 300 * MIB}, {0: 500 * MIB}, 0.5, 2.0))
    assert (taught.shares[0].compute_bytes, taught.shares[0].other_bytes) == (300 * MIB, 500 * MIB)
    assert taught.decode_tokens_per_s == pytest.approx((usual.decode_tokens_per_s or 0) / 2)
    assert taught.prefill_tokens_per_s == pytest.approx((usual.prefill_tokens_per_s or 0) * 2)


def test_without_measured_rates_there_is_no_speed(tmp_path: Path) -> None:
    bare = [replace(device, bandwidth_bytes_per_s=None, matmul_flops=None) for device in (gpu(12), cpu())]
    made = plan(shape_of(tmp_path, "llama-8b"), bare)
    assert (made.decode_tokens_per_s, made.prefill_tokens_per_s) == (None, None)
    assert "tokens a second" not in made.sentence


def test_companions_take_their_place(tmp_path: Path) -> None:
    shape, draft = shape_of(tmp_path, "llama-8b"), shape_of(tmp_path, "llama-1b")
    alone = plan(shape, [gpu(24), cpu()])
    made = plan(shape, [gpu(24), cpu()], Wishes(draft=draft, projector_bytes=GIB))
    share, before = made.shares[0], alone.shares[0]
    assert share.draft_bytes > draft.size_bytes
    assert share.other_bytes == before.other_bytes + GIB
    assert _fits(made)


def test_a_limit_is_kept(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-8b"), [gpu(24), cpu()], Wishes(max_bytes={0: 5 * GIB, CPU_INDEX: 40 * GIB}))
    assert made.shares[0].total_bytes <= 5 * GIB


def test_a_gpu_that_another_one_was_chosen_over_is_left_alone(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-8b"), [gpu(24), gpu(24, 1), cpu()], Wishes(main_gpu=1))
    assert [share.device.name for share in made.shares] == ["CUDA1", "CPU"]


def test_a_quantized_cache_goes_with_flash_attention_only(tmp_path: Path) -> None:
    made = plan(shape_of(tmp_path, "llama-8b"), [gpu(8), cpu()], Wishes(flash_attention=False, n_ctx=4096))
    assert made.kv_type is KvType.F16
    assert not made.flash_attention


def test_flash_attention_is_off_where_a_gpu_has_no_kernel_for_the_heads(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b", head=88)
    assert not plan(shape, [gpu(24), cpu()]).flash_attention
    assert plan(shape, [cpu()]).flash_attention


def test_a_long_context_that_was_asked_for_may_cost_what_has_left_a_window(tmp_path: Path) -> None:
    shape, wishes = shape_of(tmp_path, "gpt-oss-20b"), Wishes(n_ctx=131_072, kv_type=KvType.F16)
    assert plan(shape, [gpu(24), cpu()], wishes).swa_full
    tight = plan(shape, [gpu(15.5), cpu()], wishes)
    assert tight.verdict is Verdict.FULL_GPU
    assert not tight.swa_full
    assert tight.n_ctx == 131_072
