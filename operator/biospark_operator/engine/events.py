"""Says what deserves a Kubernetes Event: transitions and things done, never the same state twice.

Pure: `reconcile` hands over the status before and after a pass and records what comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from biospark_operator.engine.component import Action
from biospark_operator.engine.convergence import Report


@dataclass(frozen=True)
class Event:
    """One Event on the environment. `reason` is CamelCase, `message` holds no secret."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """Return an Event for `Ready` when its status or reason changed, and for each `Stalled` that began."""
    old = {c["type"]: c for c in before.get("conditions") or ()}
    new = {c["type"]: c for c in after.get("conditions") or ()}
    ready = new.get("Ready")
    if ready is None or _same(old.get("Ready"), ready):
        return []
    bad = ready["status"] == "False" and "Stalled" in new
    return [Event("Warning" if bad or _failing(ready, new) else "Normal", ready["reason"], ready["message"])]


def actions_done(reports: Mapping[str, Report], drifted: Iterable[tuple[str, Action]]) -> list[Event]:
    """Return an Event per component that did something: how much, and for repairs what was found changed."""
    repairs = {(name, action.target) for name, action in drifted}
    events = []
    for name, report in reports.items():
        if not report.done:
            continue
        repaired = [action for action in report.done if (name, action.target) in repairs]
        if repaired:
            shown = "; ".join(f"{a.target}: {a.summary}" for a in repaired[:3])
            more = f" and {len(repaired) - 3} more" if len(repaired) > 3 else ""
            events.append(Event("Warning", "DriftRepaired", f"{name}: {shown}{more}"))
        else:
            counts = Counter(action.verb.value.lower() for action in report.done)
            done = ", ".join(f"{count} to {verb}" for verb, count in sorted(counts.items()))
            targets = ", ".join(action.target for action in report.done[:3])
            more = f" and {len(report.done) - 3} more" if len(report.done) > 3 else ""
            events.append(Event("Normal", "Applied", f"{name}: {done}: {targets}{more}"))
    return events


def _same(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    return old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"])


def _failing(ready: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    reconciling = conditions.get("Reconciling")
    return ready["status"] == "False" and reconciling is not None and reconciling["reason"] == "ProgressingWithRetry"
