"""The commands without a window. Each has ``add_arguments`` for its parser and ``run``, which returns an exit code."""
