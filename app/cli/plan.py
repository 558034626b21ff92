"""``plan``: how a model would run here, or with other memory, before it is loaded or downloaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.terminal import EXIT_DONE, EXIT_FAILED, Terminal
from app.cli.words import table
from app.library import Library
from app.paths import Paths
from app.plans import RECEIPTS_FILE_NAME, SPEEDS_FILE_NAME, LocalMachine, Planner, ReceiptBook
from engine.errors import ModelFileError
from engine.plan import Device, DeviceKind, MemoryPlan, Verdict, Wishes
from engine.plan.words import rate_text, size

if TYPE_CHECKING:
    from engine.gguf import GgufHeader

_GIB = 1 << 30
_USUAL_TYPE = "Q4_K_M"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="FILE_OR_REPO", help="a model's id, a file, or owner/name[:type] of the hub")
    parser.add_argument(
        "--free", type=_gib, nargs="*", metavar="GIB", help="as if these GPUs had so much free; 0: none"
    )
    parser.add_argument("--ram", type=_gib, metavar="GIB", help="as if so much memory were free")
    parser.add_argument("--context", type=int, metavar="N", help="tokens")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace, paths: Paths, terminal: Terminal) -> int:
    """Returns 1 where it would not run. Loads nothing."""
    planner = Planner(LocalMachine(paths.cache / SPEEDS_FILE_NAME, ReceiptBook(paths.cache / RECEIPTS_FILE_NAME)))
    if not arguments.json:
        terminal.note("Looking at the devices...")
    devices = _devices(planner.devices(), arguments.free, arguments.ram)
    plan = planner.plan_for(_model(arguments.model, paths), Wishes(n_ctx=arguments.context), devices)
    if arguments.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode() + "\n")
    else:
        terminal.write(_text(plan))
    return EXIT_FAILED if plan.verdict is Verdict.TOO_BIG else EXIT_DONE


def _gib(text: str) -> int:
    value = float(text)
    if not 0 <= value <= 1 << 20:
        raise argparse.ArgumentTypeError("a number of GiB")
    return int(value * _GIB)


def _model(name: str, paths: Paths) -> Path | Sequence[GgufHeader]:
    """A file, a model of the library, else one of the hub."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    library = Library(paths)
    try:
        return library.find(name).path
    except ModelFileError:
        if name.count("/") != 1 or name.lower().endswith(".gguf"):
            raise
    return _of_hub(name, paths)


def _of_hub(name: str, paths: Paths) -> Sequence[GgufHeader]:
    """Headers of ``owner/name:Q4_K_M``, without a type those of its Q4_K_M or what comes first. Raises KnownError."""
    from app.hub import TOKEN_FILE_NAME, FileKind, Hub, TokenStore
    from app.settings import SettingsStore

    repo_id, _, label = name.partition(":")
    hub = Hub(lambda: SettingsStore(paths.settings_file).current, TokenStore(paths.config / TOKEN_FILE_NAME))
    try:
        repository = hub.repository(repo_id)
        groups = {group.label.upper(): group for group in repository.groups if group.kind is FileKind.MODEL}
        group = groups.get((label or _USUAL_TYPE).upper()) or (None if label else next(iter(groups.values()), None))
        if group is None:
            raise ModelFileError(f"{repo_id} has no such file.", f"It has: {', '.join(groups) or 'no GGUF file'}.")
        return hub.remote_headers(repository, group)
    finally:
        hub.close()


def _devices(here: Sequence[Device], free: Sequence[int] | None, ram: int | None) -> tuple[Device, ...]:
    """Those of this machine, or GPUs like its first with other memory."""
    cpu = next(device for device in here if device.kind is DeviceKind.CPU)
    others = [device for device in here if device is not cpu]
    if free is not None:
        like = next((device for device in others if device.is_gpu), _SOME_GPU)
        others = [
            replace(like, index=number, name=f"{like.backend}{number}", free_bytes=n_bytes, total_bytes=n_bytes)
            for number, n_bytes in enumerate(free)
            if n_bytes
        ]
    if ram is not None:
        cpu = replace(cpu, free_bytes=ram, total_bytes=max(ram, cpu.total_bytes))
    return (*others, cpu)


_SOME_GPU = Device(0, "CUDA0", "a GPU", "CUDA", DeviceKind.GPU, 0, 0)


def _text(plan: MemoryPlan) -> str:
    rows: list[tuple[str, ...]] = [("DEVICE", "FREE", "WEIGHTS", "CACHE", "COMPUTING", "OTHER", "ALL")]
    for share in plan.shares:
        other = share.other_bytes + share.draft_bytes
        sizes = (share.weights_bytes, share.kv_bytes, share.compute_bytes, other, share.total_bytes)
        rows.append((share.device.name, size(share.device.free_bytes), *map(size, sizes)))
    facts = [
        ("Context", f"{plan.n_ctx:,} tokens, up to {plan.n_ctx_max:,} in the same way"),
        ("Cache", str(plan.kv_type)),
        ("Layers on GPUs", str(plan.n_gpu_layers)),
    ]
    if plan.decode_tokens_per_s:
        facts.append(("Answers", f"about {rate_text(plan.decode_tokens_per_s)} tokens a second"))
    if plan.prefill_tokens_per_s:
        facts.append(("Prompts", f"about {rate_text(plan.prefill_tokens_per_s)} tokens a second"))
    reasons = "\n".join(f"- {reason}" for reason in plan.reasons)
    return f"{plan.sentence}\n\n{table(facts)}\n\n{table(rows)}\n\nWhy:\n{reasons}\n"
