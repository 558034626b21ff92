"""What runs a batch: llama.cpp (``llama``), or a script of a test (``fake``). The seam is ``base.Backend``."""

ABORT_MARK = "HEARTH-ABORT "
"""Begins the line on a worker's stderr that holds the text of a ggml assert."""
