"""The page of the local API: its switch, how programs reach it, and what they ask."""
