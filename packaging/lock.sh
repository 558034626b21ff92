#!/bin/sh
# Makes the lock files again from pyproject.toml: run it after a change of the dependencies there.
# usage: packaging/lock.sh [--upgrade]      needs uv
#
# The locks hold versions and hashes and no addresses, so that everyone installs from the index they have configured.
# Versions that still fit stay as they are; --upgrade takes the newest that pyproject.toml allows.
set -eu
cd "$(dirname "$0")/.."

UV=$(command -v uv || true)
[ -n "$UV" ] || UV=.venv/bin/uv
[ -x "$UV" ] || { echo "lock.sh needs uv (https://docs.astral.sh/uv/)." >&2; exit 3; }

lock() {
  output=$1
  shift
  "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links --output-file "$output" "$@"
}

lock packaging/requirements.lock "$@" pyproject.toml
lock packaging/requirements-dev.lock "$@" --constraint packaging/requirements.lock --group dev
lock packaging/requirements-build.lock "$@" --group build
lock packaging/starter-model.lock "$@" --group starter --no-deps
