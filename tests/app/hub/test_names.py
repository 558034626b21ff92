"""Whatever a hub calls its files, they stay in their folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from app.hub.names import UnsafeName, safe_child

PIECES = st.sampled_from(["..", ".", "", "a", "con", "a.gguf", "C:", "\\", "nul.gguf", "\x00", "~", " ", "%2f"])


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=6).map("/".join)).map(lambda name: f"{name}.gguf"))
def test_any_name_is_refused_or_stays_inside(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            target = safe_child(root, "owner/name", name)
        except UnsafeName:
            return
        assert os.path.realpath(target).startswith(os.path.realpath(root / "owner" / "name") + os.sep)
        assert target == root / "owner" / "name" / name
