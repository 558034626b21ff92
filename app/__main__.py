"""``python -m app``: the command line, a contract for people and for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app import VERSION

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from app.cli.terminal import Terminal
    from app.services import Services


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed and said why, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in ([], ["gui"]):  # the window does not wait for what only the terminal needs
        return _gui()
    from app.cli.terminal import Terminal, exit_code

    arguments = _parser().parse_args(words)
    terminal = Terminal.of_process()
    return exit_code(lambda: _run(arguments, terminal), terminal)


def _parser() -> argparse.ArgumentParser:
    import argparse

    from app.cli import chat, doctor, download, plan, serve

    parser = argparse.ArgumentParser(prog="run", description="Runs language models on this machine.")
    parser.add_argument("--version", action="version", version=f"Hearth {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("gui", help="the window (the default)")
    chat.add_arguments(commands.add_parser("chat", help="chat in the terminal"))
    commands.add_parser("models", help="the models that are here")
    plan.add_arguments(commands.add_parser("plan", help="how a model would run here, before it is loaded"))
    download.add_search_arguments(commands.add_parser("search", help="find models on the hub"))
    download.add_download_arguments(commands.add_parser("download", help="get a model from the hub"))
    serve.add_arguments(commands.add_parser("serve", help="a local API server"))
    doctor.add_arguments(commands.add_parser("doctor", help="what this machine has, and what is wrong with it"))
    return parser


def _run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Each command imports what it needs: ``doctor`` must work where the rest does not."""
    match arguments.command:
        case "chat":
            from app.cli import chat

            return _with_engine(chat, arguments, terminal)
        case "models":
            return _models(terminal)
        case "plan":
            from app.cli import plan
            from app.paths import Paths

            return plan.run(arguments, Paths.from_environment(), terminal)
        case "search" | "download":
            return _from_hub(arguments, terminal)
        case "serve":
            from app.cli import serve

            return _with_engine(serve, arguments, terminal)
        case "doctor":
            from app.cli import doctor
            from app.paths import Paths

            return doctor.run(arguments, Paths.from_environment(), VERSION, terminal)
        case _:
            return _gui()


def _gui() -> int:
    from ui.main import run_gui

    return run_gui(_services, VERSION)


def _with_engine(command: ModuleType, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run ``chat`` or ``serve``: without the conversations, whose database has one owner at a time, the window."""
    from app.logs import setup_logging
    from app.paths import Paths
    from engine.client import WorkerClient

    paths = Paths.from_environment()
    paths.ensure()
    stop_logging = setup_logging(paths, to_stderr=False)
    try:
        exit_code: int = command.run(arguments, paths, WorkerClient, terminal)
    finally:
        stop_logging()
    return exit_code


def _models(terminal: Terminal) -> int:
    from app.cli import models
    from app.library import Library
    from app.paths import Paths

    return models.run(Library(Paths.from_environment()), terminal)


def _from_hub(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from app.cli import download
    from app.library import Library
    from app.logs import setup_logging
    from app.paths import Paths

    paths = Paths.from_environment()
    paths.ensure()
    stop_logging = setup_logging(paths, to_stderr=False)
    try:
        if arguments.command == "search":
            return download.search(arguments, paths, terminal)
        return download.download(arguments, paths, Library(paths), terminal)
    finally:
        stop_logging()


def _services() -> Services:
    from app.bootstrap import build_services
    from app.paths import Paths

    return build_services(Paths.from_environment())


if __name__ == "__main__":
    sys.exit(main())
