"""How a model will lie in memory, as cards and sheets that several pages show."""
