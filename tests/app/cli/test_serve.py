from __future__ import annotations

import argparse
import io

import pytest

from app.cli import serve
from app.cli.terminal import Terminal


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(arguments)


def test_it_says_that_there_is_no_server_yet() -> None:
    terminal = Terminal(io.StringIO(), io.StringIO(), io.StringIO())
    assert serve.run(parse("--model", "tiny", "--draft", "tinier", "--no-auth"), terminal) == 2
    assert isinstance(terminal.stderr, io.StringIO)
    assert "not in this version" in terminal.stderr.getvalue()


def test_it_listens_to_this_machine_alone_unless_told() -> None:
    assert parse().host == "127.0.0.1"


@pytest.mark.parametrize(
    "arguments",
    [("--port", "65536"), ("--port", "-1"), ("--port", "x"), ("--context", "0"), ("--parallel", "0"), ("--what",)],
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
