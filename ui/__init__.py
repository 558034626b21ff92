"""The window: everything that imports PySide6, and nothing else."""
