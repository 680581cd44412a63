"""Says what deserves a Kubernetes Event: transitions and things done, never the same state twice.

Pure: `reconcile` hands over the status before and after a pass and records what comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action
from biospark_operator.engine.convergence import Report


@dataclass(frozen=True)
class Event:
    """One Event on the environment. `reason` is CamelCase, `message` holds no secret."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """Return an Event if the status or the reason of `Ready` changed: a Warning where something went wrong."""
    old = {c["type"]: c for c in before.get("conditions") or ()}
    new = {c["type"]: c for c in after.get("conditions") or ()}
    ready = new.get("Ready")
    if ready is None or _same(old.get("Ready"), ready):
        return []
    bad = "Stalled" in new or _retrying(new) or ready["reason"] in _ALARMING
    return [Event("Warning" if bad else "Normal", ready["reason"], ready["message"])]


#: Reasons of what goes on by itself, and is still nobody's wish for an environment that is to stay.
_ALARMING = frozenset({Reason.NAMESPACE_TERMINATING})


def actions_done(reports: Mapping[str, Report], drifted: Iterable[tuple[str, Action]]) -> list[Event]:
    """Return an Event for each component whose drift was repaired, and one for all that was done beside that.

    One, because a component each would be a quarter of everything that is written for a new environment.
    """
    repairs = {(name, action.target) for name, action in drifted}
    events, applied = [], []
    for name, report in reports.items():
        repaired = [f"{action.target}: {action.summary}" for action in report.done if (name, action.target) in repairs]
        if repaired:
            events.append(Event("Warning", "DriftRepaired", f"{name}: {_first(repaired)}"))
        elif report.done:
            applied.append(f"{name}: {_in_short(report.done)}")
    return [*events, Event("Normal", "Applied", "; ".join(applied))] if applied else events


def removed(targets: Sequence[str]) -> list[Event]:
    """Return an Event for what was removed because nobody wants it any more, if anything was."""
    return [Event("Normal", "Pruned", f"no longer wanted, and gone: {_first(targets)}")] if targets else []


def released(targets: Sequence[str]) -> list[Event]:
    """Return an Event for what is given back instead of deleted, if anything is."""
    message = f"kept, and not managed any more: {_first(targets)}"
    return [Event("Normal", "Released", message)] if targets else []


def orphaned() -> Event:
    """Return the last Event of an environment that left behind what was made for it."""
    return Event(
        "Normal",
        "Orphaned",
        "deleted with --cascade=orphan: everything that was created for this environment stays as it is, with its "
        "database, and is not managed any more",
    )


def deleted() -> Event:
    """Return the last Event of an environment."""
    return Event("Normal", "Deleted", "everything that was created for this environment is gone")


_PAST = {Verb.CREATE: "created", Verb.UPDATE: "updated", Verb.REPLACE: "replaced", Verb.DELETE: "deleted"}


def _in_short(done: Sequence[Action]) -> str:
    """Say what was done in few words: what it was done to where these are few, else how many."""
    targets: dict[Verb, list[str]] = {}
    for action in done:
        targets.setdefault(action.verb, []).append(action.target)
    return ", ".join(f"{_PAST[verb]} {ids[0] if len(ids) == 1 else len(ids)}" for verb, ids in targets.items())


def _first(items: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more


def _same(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    return old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"])


def _retrying(conditions: Mapping[str, Any]) -> bool:
    reconciling = conditions.get("Reconciling")
    return reconciling is not None and reconciling["reason"] == Reason.PROGRESSING_WITH_RETRY
