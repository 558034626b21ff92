"""Plans against what loads really take and how fast they run, with another program holding the GPU's memory.

    python -m tests.benchmarks.planning --vocab-from MODEL.gguf --folder FOLDER --out OUT [--tools FOLDER] [--quick]

For each case: that much is left free, a plan is made as the app makes it (header, devices asked in a child, llama.cpp's
dry run of the plan), loaded, and run until its context is full. Of some cases the speed is compared with llama-bench on
the answer of llama-fit-params, with the same memory free. Files are written into FOLDER where they are missing. A table
in Markdown on the standard output; every case as a line of OUT/planning.jsonl as soon as it is done, then a summary.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from app.plans import LocalMachine, Planner
from app.plans.applied import config_of, planned_shares
from engine.backend.dryrun import dry_run
from engine.backend.speeds import usual_threads
from engine.client.process import worker_environment
from engine.config import EngineConfig, LoadSpec
from engine.errors import KnownError
from engine.plan import Corrections, Device, KvType, MemoryPlan, ModelShape, Wishes, plan
from engine.receipt import BufferKind
from tests.benchmarks.ballast import Ballast, ballast
from tests.benchmarks.peers import peer_tools
from tests.benchmarks.planned_load import Measured

GIB, MIB = 1 << 30, 1 << 20
LOAD_TIMEOUT_S, TOOL_TIMEOUT_S = 75.0, 60.0
N_THREADS = usual_threads()
MAX_DRY_RUNS = 3
FAILURES = (ArithmeticError, LookupError, OSError, RuntimeError, ValueError, KnownError, subprocess.SubprocessError)
"""What can go wrong in one case without harm to the others."""


@dataclass(frozen=True, slots=True)
class Case:
    """``n_ctx`` None asks for no context in particular. ``is_compared``: llama.cpp's own choice is run, too."""

    model: str
    free_gib: float
    n_ctx: int | None
    kv: str | None = None
    is_compared: bool = False

    @property
    def name(self) -> str:
        return f"{self.model}, {self.free_gib:g} GiB, {self.n_ctx or 'any'} tokens, {self.kv or 'any'}"


K = 1024
CASES = (
    Case("8b", 4, None, None, True),
    Case("30b-a3b", 6, 8 * K, "f16", True),
    Case("8b", 4, 4 * K, "f16", True),
    Case("1b", 2, 4 * K, "f16"),
    Case("14b", 6, 4 * K, "f16", True),
    Case("8b", 6, 32 * K, "q8_0", True),
    Case("1b", 2, 128 * K, "q8_0"),
    Case("30b-a3b", 12, 32 * K, "f16", True),
    Case("8b", 12, 32 * K, "f16"),
    Case("14b", 12, 16 * K, "f16", True),
    Case("1b", 4, 32 * K, "f16"),
    Case("30b-a3b", 4, 4 * K, "q8_0"),
    Case("8b", 2, 4 * K, "q8_0"),
    Case("14b", 4, 4 * K, "q8_0"),
    Case("8b", 60, 128 * K, "f16"),
    Case("14b", 60, 128 * K, "f16"),
    Case("30b-a3b", 60, 128 * K, "f16", True),
    Case("1b", 6, 128 * K, "f16"),
    Case("8b", 6, 16 * K, "f16"),
    Case("8b", 12, 128 * K, "q8_0"),
    Case("14b", 12, 32 * K, "q8_0"),
    Case("30b-a3b", 2, 4 * K, "f16"),
    Case("1b", 60, 128 * K, "q8_0"),
    Case("14b", 60, 32 * K, "q8_0"),
    Case("30b-a3b", 12, 128 * K, "q8_0"),
    Case("1b", 4, 64 * K, "q8_0"),
    Case("8b", 60, 4 * K, "f16", True),
)
QUICK_CASES = (
    Case("tiny", 2, None, None, True),
    Case("tiny-moe", 4, 4 * K, "q8_0", True),
    Case("tiny", 2, 8 * K, "f16"),
)


@dataclass(slots=True)
class Lab:
    """What every case needs. Nothing is learned from one case for the next: each is a first load."""

    folder: Path
    out: Path
    tools: Path
    tool_environment: dict[str, str]
    planner: Planner
    machine: LocalMachine
    ballast: Ballast
    own_driver_bytes: int = 0
    rows: list[dict[str, object]] = field(default_factory=list)

    def file(self, model: str) -> Path:
        return self.folder / f"{model}.gguf"

    def devices(self) -> tuple[Device, ...]:
        self.machine.forget()
        return self.machine.devices()


def write_files(folder: Path, vocab: Path, models: Sequence[str]) -> None:
    """Those that are missing, next to each other."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [model for model in dict.fromkeys(models) if not (folder / f"{model}.gguf").exists()]

    def write(model: str) -> None:
        part = folder / f"{model}.part"
        command = ["-m", "tests.benchmarks.geometry", str(part), "--size", model, "--vocab-from", str(vocab)]
        subprocess.run([sys.executable, *command], check=True)
        part.rename(folder / f"{model}.gguf")

    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        list(pool.map(write, missing))


def planned(lab: Lab, case: Case, devices: Sequence[Device]) -> tuple[MemoryPlan, LoadSpec, int]:
    """The plan, how it is loaded, and how many dry runs it took until they agreed."""
    shape: ModelShape = lab.planner.shape_of(lab.file(case.model))
    wishes = Wishes(n_ctx=case.n_ctx, kv_type=None if case.kv is None else KvType(case.kv))
    corrections = Corrections()
    by_name = {device.name: device.index for device in devices}
    chosen = plan(shape, devices, wishes, corrections)
    spec = _spec(lab, case, chosen, devices)
    for n_runs in range(1, MAX_DRY_RUNS + 1):
        compute = dry_run(spec, worker_environment(os.environ)).compute_bytes()
        corrections = replace(corrections, compute_bytes={by_name[name]: size for name, size in compute.items()})
        chosen = plan(shape, devices, wishes, corrections)
        last, spec = spec, _spec(lab, case, chosen, devices)
        if spec.config == last.config:
            return chosen, spec, n_runs
    return chosen, spec, MAX_DRY_RUNS


def _spec(lab: Lab, case: Case, chosen: MemoryPlan, devices: Sequence[Device]) -> LoadSpec:
    config = config_of(chosen, devices, EngineConfig(n_threads=N_THREADS))
    return LoadSpec(str(lab.file(case.model)), config, planned=planned_shares(chosen))


def loaded(spec: LoadSpec) -> Measured:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.planned_load"],
        input=msgspec.json.encode(spec),
        capture_output=True,
        timeout=LOAD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"code {done.returncode}: {' / '.join(lines[-4:])}")
    return msgspec.json.decode(done.stdout, type=Measured)


def peer_speed(lab: Lab, case: Case) -> tuple[float, str]:
    """Tokens/s of llama-bench with what llama-fit-params answers now, and that answer."""
    model, kv = str(lab.file(case.model)), case.kv or "f16"
    kv_options = ["-ctk", kv, "-ctv", kv]
    asked = [] if case.n_ctx is None else ["-c", str(case.n_ctx)]
    answer = _tool(lab, ["llama-fit-params", "-m", model, *asked, *kv_options, "-fa", "on"]).strip().splitlines()[-1]
    words = shlex.split(answer)
    values = dict(zip(words[::2], words[1::2], strict=True))
    placement = ["-ngl", values["-ngl"]]
    if "-ot" in values:
        placement += ["-ot", values["-ot"].replace(",", ";")]
    speed = ["-p", "0", "-n", "32", "-r", "2", "-t", str(N_THREADS), "-fa", "on", "-o", "json"]
    bench = json.loads(_tool(lab, ["llama-bench", "-m", model, *placement, *kv_options, *speed]))
    return statistics.median(float(sample) for sample in bench[0]["samples_ts"]), answer


def _tool(lab: Lab, command: list[str]) -> str:
    done = subprocess.run(
        [str(lab.tools / command[0]), *command[1:]],
        env={**os.environ, **lab.tool_environment},
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
    return done.stdout


def memory_facts(lab: Lab, chosen: MemoryPlan, measured: Measured) -> dict[str, object]:
    """Of the GPU: predicted and measured bytes. What a load took beyond its buffers is learned, as the app does it."""
    facts: dict[str, object] = {}
    receipt = measured.receipt
    for use, least_bytes in zip(receipt.devices, measured.least_free_bytes, strict=True):
        share = chosen.share_of(use.device)
        if share is None or not share.device.is_gpu:
            continue
        taken = use.free_before_bytes - least_bytes
        buffers = receipt.measured_bytes(use.device)
        facts |= {
            "device": use.device,
            "predicted": share.total_bytes,
            "measured": taken,
            "free_before": use.free_before_bytes,
            "unused": least_bytes,
            "predicted_parts": [share.weights_bytes, share.kv_bytes, share.compute_bytes, share.other_bytes],
            "measured_parts": [
                receipt.measured_bytes(use.device, BufferKind.WEIGHTS),
                receipt.measured_bytes(use.device, BufferKind.KV)
                + receipt.measured_bytes(use.device, BufferKind.STATE),
                receipt.measured_bytes(use.device, BufferKind.COMPUTE),
                taken - buffers,
            ],
        }
    return facts


def run_case(lab: Lab, case: Case) -> dict[str, object]:
    lab.ballast.leave_free(int(case.free_gib * GIB) + lab.own_driver_bytes)
    devices = lab.devices()
    chosen, spec, n_dry_runs = planned(lab, case, devices)
    row: dict[str, object] = {
        "case": case.name,
        "verdict": chosen.verdict.value,
        "sentence": chosen.sentence,
        "config": msgspec.to_builtins(spec.config),
        "n_dry_runs": n_dry_runs,
        "free_probed": {device.name: device.free_bytes for device in devices},
        "predicted_decode": chosen.decode_tokens_per_s,
        "predicted_prefill": chosen.prefill_tokens_per_s,
    }
    if case.is_compared:
        attempt(row, "peer", lambda: dict(zip(("peer_decode", "peer_answer"), peer_speed(lab, case), strict=True)))
    attempt(row, "load", lambda: _load_facts(lab, chosen, spec))
    return row


def _load_facts(lab: Lab, chosen: MemoryPlan, spec: LoadSpec) -> dict[str, object]:
    measured = loaded(spec)
    return {**memory_facts(lab, chosen, measured), **msgspec.to_builtins(measured)}


def attempt(row: dict[str, object], what: str, measure: Callable[[], dict[str, object]]) -> None:
    try:
        row |= measure()
    except FAILURES as error:
        row[f"{what}_error"] = f"{type(error).__name__}: {error}"[:1000]


def write_row(lab: Lab, row: dict[str, object]) -> None:
    lab.rows.append(row)
    with (lab.out / "planning.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    predicted, measured = row.get("predicted"), row.get("measured")
    mib = [
        f"{value / MIB:,.0f}" if isinstance(value, int) else "" for value in (predicted, measured, row.get("unused"))
    ]
    error = f"{(predicted - measured) / MIB:+,.0f}" if isinstance(predicted, int) and isinstance(measured, int) else ""
    config = row.get("config")
    placement = f"{config['n_gpu_layers']} layers" if isinstance(config, dict) else ""
    speeds = [
        f"{value:.1f}" if isinstance(value, float) else ""
        for value in (row.get("predicted_decode"), row.get("decode_tokens_per_s"), row.get("peer_decode"))
    ]
    problem = str(
        row.get("load_error")
        or row.get("peer_error")
        or row.get("case_error")
        or row.get("error")
        or row.get("peer_answer")
        or ""
    )
    cells = [str(row["case"]), f"{row.get('verdict', '')}, {placement}", *mib, error, *speeds, problem[:300]]
    sys.stdout.write("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |\n")
    sys.stdout.flush()


def summary(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    pairs = [(float(r["predicted"]), float(r["measured"])) for r in rows if "measured" in r]  # type: ignore[arg-type]
    errors = sorted(abs(predicted - measured) / MIB for predicted, measured in pairs)
    parts = [abs(predicted - measured) / measured for predicted, measured in pairs if measured]
    speeds = [
        float(r["decode_tokens_per_s"]) / float(r["predicted_decode"])  # type: ignore[arg-type]
        for r in rows
        if r.get("predicted_decode") and "decode_tokens_per_s" in r
    ]
    ratios = {
        str(r["case"]): round(float(r["decode_tokens_per_s"]) / float(r["peer_decode"]), 3)  # type: ignore[arg-type]
        for r in rows
        if "peer_decode" in r and "decode_tokens_per_s" in r
    }
    return {
        "loads": len([r for r in rows if "decode_tokens_per_s" in r]),
        "failed": [r["case"] for r in rows if r.keys() & {"load_error", "case_error", "error"}],
        "median_error_mib": round(statistics.median(errors), 1) if errors else None,
        "p95_error_mib": round(errors[int(0.95 * (len(errors) - 1))], 1) if errors else None,
        "median_error_percent": round(100 * statistics.median(parts), 2) if parts else None,
        "speed_within_15_percent": round(sum(0.85 <= s <= 1.15 for s in speeds) / len(speeds), 2) if speeds else None,
        "against_llama_cpp": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab-from", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--limit-s", type=float, default=500.0, help="nothing is begun after that")
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--quick", action="store_true", help="tiny models, to try it")
    arguments = parser.parse_args()
    deadline_s = time.monotonic() + arguments.limit_s
    cases = [case for case in (QUICK_CASES if arguments.quick else CASES) if (arguments.only or "") in case.name]
    arguments.out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    write_files(arguments.folder, arguments.vocab_from, [case.model for case in cases])
    sys.stdout.write(f"Files written in {time.monotonic() - started_s:.0f} s.\n\n")
    machine = LocalMachine(arguments.out / "speeds.json")
    for device in machine.devices():
        sys.stdout.write(f"- {msgspec.json.encode(device).decode()}\n")
    titles = ("case", "plan", "predicted MiB", "measured", "left", "error", "predicted t/s", "measured", "peer", "note")
    sys.stdout.write(f"\n| {' | '.join(titles)} |\n|{' --- |' * len(titles)}\n")
    with peer_tools(arguments.tools) as (tools, environment), ballast() as held:
        lab = Lab(arguments.folder, arguments.out, tools, environment, Planner(machine), machine, held)
        lab.own_driver_bytes = _driver_bytes(lab)
        for case in cases:
            row: dict[str, object] = {"case": case.name}
            if time.monotonic() < deadline_s:
                began_s = time.monotonic()
                attempt(row, "case", lambda case=case: run_case(lab, case))  # type: ignore[misc]
                row["case_s"] = time.monotonic() - began_s
            else:
                row["error"] = "left out: the time was up"
            write_row(lab, row)
    result = summary(lab.rows)
    (arguments.out / "summary.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    sys.stdout.write("\n" + json.dumps(result, indent=1) + "\n")


def _driver_bytes(lab: Lab) -> int:
    """By how much a process that comes later finds less free than the ballast: its own driver's share."""
    seen = lab.ballast.leave_free(1 << 60)
    found = next((device.free_bytes for device in lab.devices() if device.is_gpu), seen)
    return max(0, seen - found)


if __name__ == "__main__":
    main()
