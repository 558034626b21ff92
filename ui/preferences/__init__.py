"""The settings page: every change counts at once."""
