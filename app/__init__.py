"""Services without a window: folders, settings, jobs, conversations, the library of models, the command line."""

VERSION = "0.1.0"
