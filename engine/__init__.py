"""Inference without a window and without a service: planning, KV, scheduling, the worker process."""
