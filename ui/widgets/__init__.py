"""Controls in the look of Hearth. They know the theme and nothing of models, conversations or the engine."""
