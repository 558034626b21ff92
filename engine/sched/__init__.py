"""Which request is computed next, and how much of it."""

from engine.sched.request import ActiveRequest
from engine.sched.scheduler import Scheduler

__all__ = ["ActiveRequest", "Scheduler"]
