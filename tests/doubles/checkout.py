"""A checkout that is not this one: ./run and ./test may do there what they like."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """A copy of the scripts, and a PATH on which only the plainest tools are: no Python, no compiler, no apt-get."""

    root: Path
    tools: Path

    def add_tool(self, name: str, script: str) -> Path:
        return _script(self.tools / name, script)

    def call(self, *command: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.tools), "HOME": str(self.root.parent), **(environ or {})}
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def pretend_to_be_set_up(self) -> None:
        """A Python that says how it is called, and a stamp that says that all is installed."""
        share = self.root / ".venv" / "share" / "hearth"
        share.mkdir(parents=True)
        (self.root / ".venv" / "bin").mkdir()
        _script(
            self.root / ".venv" / "bin" / "python",
            """case "$*" in
                *app.paths*) echo "${HEARTH_HOME:-$HOME/data}/models" ;;
                *) echo "PYTHONPATH=$PYTHONPATH python $*" ;;
            esac""",
        )
        (share / "SmolLM2-135M-Instruct-Q4_1.gguf").write_bytes(b"GGUF")
        script = 'root=$PWD; . packaging/setup.sh; fingerprint run >"$share/ready-run"'
        assert self.call("sh", "-c", script).returncode == 0


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
