"""Turns what happened in a pass into `status`: the one place that computes conditions.

Everything here is pure. The rules are those of kstatus, as `kubectl wait`, Flux and Argo CD read them:

- `Ready` is present from the first write. `Reconciling` and `Stalled` are there only while true, never both.
- On its way: Ready=Unknown and Reconciling. Retrying after a failure: Ready=False and Reconciling.
  Needs a human: Ready=False and Stalled. A routine check of a ready environment sets neither.
- `observedGeneration` advances with every processed generation, also a failing one, together with that of
  every condition.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action, AnyComponent
from biospark_operator.engine.convergence import Report, pending
from biospark_operator.engine.inventory import Inventory
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Planned, Progressing, Ready, Waiting
from biospark_operator.engine.removal import Removal

Truth = Literal["True", "False", "Unknown"]
Status = Mapping[str, Any]

#: Longest message of a condition, in characters. Longer ones are cut: the API server takes 32768.
MESSAGE_LIMIT = 1024
#: How many repaired drifts and planned actions the status shows.
DRIFT_LIMIT, PLAN_LIMIT = 20, 100


@dataclass(frozen=True)
class Condition:
    """One condition before it meets the previous ones, which give it its lastTransitionTime."""

    type: str
    status: Truth
    reason: str
    message: str


def component_condition(component: AnyComponent, outcome: Outcome) -> Condition:
    """Return the condition that tells of one component."""
    match outcome:
        case Ready():
            truth: Truth = "True"
        case Waiting() | Planned():
            truth = "Unknown"
        case Progressing() | Blocked() | Failed():
            truth = "False"
    return Condition(component.condition, truth, outcome.reason, outcome.message)


def overall(outcomes: Mapping[str, Outcome], leftovers: Removal | None = None, *, unwanted: int = 0) -> list[Condition]:
    """Return `Ready` and, where they apply, `Reconciling` or `Stalled`, for the outcomes by component name.

    `unwanted` is how many things mode Plan leaves that mode Apply would remove.

    What needs a human comes first, then what failed, then what is on its way: the top of the resource shows
    the thing to look at.
    """
    problem = leftovers.problem if leftovers else None
    if blocked := _of(outcomes, Blocked) or ([("cleaning up", problem)] if isinstance(problem, Blocked) else []):
        reason, message = blocked[0][1].reason, _joined(blocked)
        return [Condition("Ready", "False", reason, message), Condition("Stalled", "True", reason, message)]
    if failed := _of(outcomes, Failed) or ([("cleaning up", problem)] if isinstance(problem, Failed) else []):
        message = _joined(failed)
        return [
            Condition("Ready", "False", failed[0][1].reason, message),
            Condition("Reconciling", "True", Reason.PROGRESSING_WITH_RETRY, message),
        ]
    if planned := _of(outcomes, Planned) or ([("cleaning up", pending(unwanted))] if unwanted else []):
        return [Condition("Ready", "Unknown", Reason.PLAN_ONLY, _joined(planned))]
    if moving := _of(outcomes, Progressing) or _of(outcomes, Waiting):
        message = _joined(moving)
        return [
            Condition("Ready", "Unknown", moving[0][1].reason, message),
            Condition("Reconciling", "True", Reason.PROGRESSING, message),
        ]
    if leftovers and leftovers.waiting:
        message = waiting_for(leftovers)
        return [
            Condition("Ready", "Unknown", Reason.WAITING_FOR_DELETION, message),
            Condition("Reconciling", "True", Reason.PROGRESSING, message),
        ]
    remarks = [outcome.remark for _, outcome in _of(outcomes, Ready) if outcome.remark]
    message = "; ".join([f"all {len(outcomes)} components are ready", *remarks])
    return [Condition("Ready", "True", Reason.SUCCEEDED, message)]


def beginning(generation: int, components: Sequence[AnyComponent], *, applies: bool) -> list[Condition]:
    """Return the conditions of the first write of a generation, before anything was done."""
    message = f"{'applying' if applies else 'planning'} generation {generation}"
    return [
        Condition("Ready", "Unknown", Reason.PROGRESSING, message),
        Condition("Reconciling", "True", Reason.PROGRESSING, message),
        *(Condition(c.condition, "Unknown", Reason.PROGRESSING, "not looked at yet") for c in components),
    ]


def refused(blocked: Blocked, previous: Status) -> list[Condition]:
    """Return the conditions of a specification that can't be worked on."""
    own = {"Ready", "Reconciling", "Stalled", "Suspended"}
    kept = [c["type"] for c in previous.get("conditions") or () if c["type"] not in own]
    return [
        Condition("Ready", "False", blocked.reason, blocked.message),
        Condition("Stalled", "True", blocked.reason, blocked.message),
        *(Condition(type_, "Unknown", blocked.reason, "not looked at: see Ready") for type_ in kept),
    ]


def kept(previous: Status) -> list[Condition]:
    """Return the previous conditions as they are."""
    return [Condition(c["type"], c["status"], c["reason"], c["message"]) for c in previous.get("conditions") or ()]


def suspended(previous: Status) -> list[Condition]:
    """Return the previous conditions and `Suspended`: the last known Ready is kept."""
    last = [c for c in kept(previous) if c.type not in {"Suspended", "Reconciling", "Stalled"}]
    if not any(c.type == "Ready" for c in last):
        last.insert(0, Condition("Ready", "Unknown", Reason.SUSPENDED, "suspended before it was looked at"))
    message = "spec.suspend is true: nothing is changed, checked or deleted until it is false"
    return [*last, Condition("Suspended", "True", Reason.SUSPENDED, message)]


def deleting(removal: Removal) -> list[Condition]:
    """Return the conditions while the environment is being deleted: never a kept Ready=True."""
    if isinstance(removal.problem, Blocked):
        reason, message = removal.problem.reason, removal.problem.message
        return [Condition("Ready", "False", reason, message), Condition("Stalled", "True", reason, message)]
    message = removal.problem.message if removal.problem else waiting_for(removal)
    return [
        Condition("Ready", "False", Reason.DELETING, message),
        Condition("Reconciling", "True", Reason.DELETING, message),
    ]


def held_by_others(finalizers: Sequence[str]) -> list[Condition]:
    """Return the conditions of an environment of which nothing is left but the finalizers of somebody else."""
    message = (
        f"all that was created is gone; the resource stays until its finalizer {', '.join(finalizers)} is removed "
        "by whoever set it"
    )
    return [
        Condition("Ready", "False", Reason.DELETING, message),
        Condition("Reconciling", "True", Reason.DELETING, message),
    ]


def waiting_for(removal: Removal) -> str:
    """Say what a removal waits for, as in "waiting until Namespace x is gone: it still holds 2 pods"."""
    if not removal.waiting:
        return "removing what was created"
    shown = [f"{target} ({why})" if why else target for target, why in sorted(removal.waiting.items())[:3]]
    more = len(removal.waiting) - len(shown)
    return "waiting until these are gone: " + ", ".join(shown) + (f" and {more} more" if more else "")


def merged(conditions: Iterable[Condition], previous: Status, generation: int, now: datetime) -> list[dict[str, Any]]:
    """Return `conditions` as status entries; one that keeps its status keeps its time."""
    before = {c["type"]: c for c in previous.get("conditions") or ()}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    entries = []
    for condition in conditions:
        old = before.get(condition.type)
        same = old is not None and old.get("status") == condition.status
        entries.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": _cut(condition.message),
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if old and same else stamp,
            }
        )
    return entries


def plan(reports: Mapping[str, Report], unwanted: Inventory, generation: int) -> dict[str, Any]:
    """Return `status.plan`: what mode Apply would do now, at most `PLAN_LIMIT` actions and how many more."""
    pruned = "no longer wanted; given back if it was adopted"
    prunes = [(name, Action(Verb.DELETE, id_, pruned)) for id_, name in unwanted.entries.items()]
    actions = [(name, action) for name, report in reports.items() for action in report.planned] + prunes
    shown = [
        {
            "component": name,
            "verb": action.verb.value,
            "target": action.target,
            "summary": _cut(action.summary),
            "destructive": action.destructive,
        }
        for name, action in actions[:PLAN_LIMIT]
    ]
    return {"generation": generation, "actions": shown, "omitted": len(actions) - len(shown)}


def drift(
    found: Iterable[tuple[str, Action]], previous: Status, now: datetime, *, repaired: bool
) -> list[dict[str, str]]:
    """Return `status.drift`: what others changed behind our back, the newest last.

    A difference that was only found (mode Plan) is found again at each check and keeps its first time.
    """
    entries = {(e["component"], e["target"], e["summary"]): dict(e) for e in previous.get("drift") or ()}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, action in _folded(found):
        summary = _cut(action.summary)
        known = entries.pop((name, action.target, summary), None)
        new = {"component": name, "target": action.target, "summary": summary, "detectedAt": stamp}
        entries[(name, action.target, summary)] = new if known is None or repaired else known
    return list(entries.values())[-DRIFT_LIMIT:]


def _folded(found: Iterable[tuple[str, Action]]) -> Iterator[tuple[str, Action]]:
    """Tell of many things of one component that were lost in one entry, so that they don't displace all others."""
    for name, group in itertools.groupby(found, key=lambda item: item[0]):
        actions = [action for _, action in group]
        made = [action for action in actions if action.verb is Verb.CREATE]
        if len(made) > 1:
            yield name, replace(made[0], summary=f"{made[0].summary} and {len(made) - 1} more")
            actions = [action for action in actions if action.verb is not Verb.CREATE]
        yield from ((name, action) for action in actions)


def _of(outcomes: Mapping[str, Outcome], kind: type[Outcome]) -> list[tuple[str, Any]]:
    return [(name, outcome) for name, outcome in outcomes.items() if isinstance(outcome, kind)]


def _joined(problems: Sequence[tuple[str, Any]]) -> str:
    name, outcome = problems[0]
    others = ", ".join(other for other, _ in problems[1:])
    return f"{name}: {outcome.message}" + (f" (also: {others})" if others else "")


def _cut(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
