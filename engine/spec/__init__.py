"""Speculation: who guesses tokens, how many are worth guessing, and which guesses hold. Nothing here knows a model."""
