"""Plans for the models of the library and of the hub, with the devices of this machine."""

from app.plans.badge import Badge, Tone, badge, best_instead
from app.plans.loader import Loader
from app.plans.machine import SPEEDS_FILE_NAME, LocalMachine, Machine
from app.plans.planner import Planner
from app.plans.receipts import RECEIPTS_FILE_NAME, ReceiptBook

__all__ = [
    "RECEIPTS_FILE_NAME",
    "SPEEDS_FILE_NAME",
    "Badge",
    "Loader",
    "LocalMachine",
    "Machine",
    "Planner",
    "ReceiptBook",
    "Tone",
    "badge",
    "best_instead",
]
