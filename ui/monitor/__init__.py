"""The monitor: what holds the memory of each device, and how fast the model reads and writes."""
