"""Which requests are computed next, and how much of each."""

from engine.sched.request import ActiveRequest
from engine.sched.scheduler import Limits, Scheduler

__all__ = ["ActiveRequest", "Limits", "Scheduler"]
