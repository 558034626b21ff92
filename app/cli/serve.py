"""``serve``: the local API server. Its command line is a contract already; the server comes with a later version."""

from __future__ import annotations

import argparse

from app.cli.terminal import EXIT_USAGE, Terminal

_HIGHEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, metavar="N", help="the port (default: %(default)s)")
    parser.add_argument("--model", metavar="PATH|ID", help="the model to serve; the last one if left out")
    parser.add_argument("--draft", metavar="PATH|ID", help="a small model that drafts for it")
    parser.add_argument("--context", type=_positive, metavar="N", help="tokens of context for each request")
    parser.add_argument("--parallel", type=_positive, metavar="N", help="how many requests are answered at a time")
    parser.add_argument("--no-auth", action="store_true", help="ask clients for no key")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    terminal.note("The API server is not in this version of Hearth yet. The window and `chat` are.")
    return EXIT_USAGE


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{number} is not a port between 0 and {_HIGHEST_PORT}")
    return number
