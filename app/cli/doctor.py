"""``doctor``: what this machine has, and what is wrong with it."""

from __future__ import annotations

import argparse
import os

import msgspec

from app.cli.examination import Report, examine
from app.cli.terminal import EXIT_DONE, EXIT_FAILED, Terminal
from app.cli.words import size_text, table
from app.paths import Paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace, paths: Paths, version: str, terminal: Terminal) -> int:
    """Returns 1 where something is wrong. Needs no other part of Hearth to work."""
    report = examine(paths, version, os.environ)
    if arguments.json:
        terminal.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        terminal.write(_text(report))
    return EXIT_FAILED if report.problems else EXIT_DONE


def _text(report: Report) -> str:
    parts = [table(_machine_rows(report)), table(_version_rows(report)), table(_folder_rows(report))]
    if report.problems:
        parts.append("What is wrong:\n" + "\n".join(f"- {p.text}\n  {p.hint}" for p in report.problems))
    else:
        parts.append("Nothing is wrong.")
    if report.gains:
        parts.append("What would make it faster:\n" + "\n".join(f"- {gain}" for gain in report.gains))
    return "\n\n".join(parts) + "\n"


def _machine_rows(report: Report) -> list[tuple[str, str]]:
    cpu, memory = report.cpu, report.memory
    rows = [
        ("System", report.system),
        ("Processor", f"{cpu.name}, {cpu.n_cores} cores, {cpu.n_threads} threads"),
        ("", " ".join(cpu.features)),
        ("Memory", f"{size_text(memory.available_bytes)} available of {size_text(memory.total_bytes)}"),
    ]
    for device in report.engine.devices if report.engine else ():
        memory_text = f"{size_text(device.free_bytes)} free of {size_text(device.total_bytes)}"
        rows.append(("Device", f"{device.name} ({device.kind}): {device.description}, {memory_text}"))
    if report.engine:
        rows.append(("Engine uses", " ".join(report.engine.features)))
    rows.append(("Display", report.display or "none; the terminal chat works without one"))
    return rows


def _version_rows(report: Report) -> list[tuple[str, str]]:
    rows = [(name, version) for name, version in report.versions.items()]
    if report.engine:
        rows.append(("llama.cpp", f"{report.engine.llama_version}, commit {report.engine.llama_commit}"))
    return rows


def _folder_rows(report: Report) -> list[tuple[str, str, str]]:
    rows = [
        (
            folder.name,
            folder.path,
            "cannot be written" if not folder.is_writable else f"{size_text(folder.free_bytes)} free",
        )
        for folder in report.folders
    ]
    return [*rows, ("starter model", report.starter_model or "not there", "")]
