"""What files of a repository will do on this machine, from their headers. No widgets; blocks on the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.hub import FileGroup, FileKind, Hub, HubError, Repository
from app.jobs import CancelToken
from app.plans import Badge, Planner, Tone, badge
from engine.errors import ErrorInfo, KnownError
from engine.plan import MemoryPlan, Verdict

USUAL_TYPE = "Q4_K_M"
_TIGHT = frozenset({Verdict.CPU_SWAPS, Verdict.TOO_BIG})
_RANKS = (Verdict.FULL_GPU, Verdict.EXPERTS_ON_CPU, Verdict.PARTIAL_GPU, Verdict.CPU_ONLY)
_UNPACKED = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class Rating:
    """``plan`` is None where there is none, and the badge says why."""

    badge: Badge
    plan: MemoryPlan | None = None


def rate(hub: Hub, planner: Planner, repository: Repository, group: FileGroup, cancel: CancelToken) -> Rating:
    """Fetch the group's headers and plan with them. A file that cannot be judged is a rating as well.

    Raises HubError where the hub cannot be asked, and Cancelled.
    """
    try:
        headers = hub.remote_headers(repository, group, cancel)
        cancel.raise_if_cancelled()
        plan = planner.plan_for(headers)
    except HubError:
        raise
    except KnownError as error:
        return _unknown(ErrorInfo.of(error))
    return Rating(badge(plan), plan)


def usual_group(groups: Sequence[FileGroup]) -> FileGroup | None:
    """What most people take: Q4_K_M, else the file in the middle."""
    models = [group for group in groups if group.kind is FileKind.MODEL and group.problem is None]
    usual = next((group for group in models if group.label == USUAL_TYPE), None)
    return usual or (models[len(models) // 2] if models else None)


def recommended(groups: Sequence[FileGroup], plans: Mapping[str, MemoryPlan]) -> FileGroup | None:
    """The file to take: of those that run best here the usual type, else the largest. ``plans`` are by stem.

    None while nothing is known, or where nothing fits.
    """
    fits = [
        group
        for group in groups
        if group.kind is FileKind.MODEL and group.problem is None and _fits(plans.get(group.stem))
    ]
    packed = [group for group in fits if group.label not in _UNPACKED] or fits
    if not packed:
        return None
    best_rank = min(_rank(plans[group.stem]) for group in packed)
    best = [group for group in packed if _rank(plans[group.stem]) == best_rank]
    usual = next((group for group in best if group.label == USUAL_TYPE), None)
    return usual or max(best, key=lambda group: group.size_bytes)


def _fits(plan: MemoryPlan | None) -> bool:
    return plan is not None and plan.verdict not in _TIGHT


def _rank(plan: MemoryPlan) -> int:
    return _RANKS.index(plan.verdict)


def _unknown(error: ErrorInfo) -> Rating:
    return Rating(Badge("cannot be judged", Tone.DIM, error.sentence))
