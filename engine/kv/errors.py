"""The ledger's own error."""

from __future__ import annotations

from engine.errors import BugError


class KvError(BugError):
    """The ledger and what is asked of it, or two parts of the ledger, contradict each other."""
