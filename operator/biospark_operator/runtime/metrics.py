"""The operator's own metrics, in the Prometheus registry of the process.

`loop` counts passes and what came of them, `store` shows the conditions as they are read and written, `main`
says who leads and what is watched. Every metric is described in `docs/reference/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.convergence import Report
from biospark_operator.engine.outcome import Blocked, Failed

PASSES = Histogram(
    "biospark_operator_pass_seconds",
    "Duration of one pass over one environment.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
CONDITION = Gauge(
    "biospark_environment_condition",
    "1 if the condition of the environment is True, 0 if it is False, -1 if it is Unknown.",
    ["environment", "condition"],
)
ACTIONS = Counter(
    "biospark_operator_actions_total",
    "What the operator created, updated, replaced and deleted, by component and verb.",
    ["component", "verb"],
)
PROBLEMS = Counter(
    "biospark_operator_problems_total",
    "How often a component was looked at and was blocked or failed, by component and reason.",
    ["component", "reason"],
)
PASS_ERRORS = Counter(
    "biospark_operator_pass_errors_total",
    "Passes that ended early: the API server did not read or write the resource, or the operator has a defect.",
    ["cause"],
)
WATCHING = Gauge(
    "biospark_operator_watching",
    "1 while the children of this kind are watched, 0 while the leading replica can't watch them.",
    ["kind"],
)
LEADER = Gauge("biospark_operator_leader", "1 while this replica works, 0 while it stands by.")

_shown: dict[str, set[str]] = {}


@contextmanager
def timed_pass() -> Iterator[None]:
    """Measure a pass."""
    with PASSES.time():
        yield


def count(before: Mapping[str, Report], after: Mapping[str, Report]) -> None:
    """Count what the components of one pass did and met: their reports of `after` that are not in `before`."""
    for component, report in after.items():
        if before.get(component) is report:
            continue
        for action in report.done:
            ACTIONS.labels(component, action.verb.value).inc()
        if isinstance(report.outcome, Blocked | Failed):
            PROBLEMS.labels(component, report.outcome.reason).inc()


def count_deletions(begun: MutableMapping[str, int]) -> None:
    """Count the deletions that were begun, by component, and take them out of `begun`."""
    for component, number in begun.items():
        ACTIONS.labels(component, Verb.DELETE.value).inc(number)
    begun.clear()


def show(environment: str, status: Mapping[str, Any]) -> None:
    """Make the metrics of an environment tell what its status tells."""
    values = {"True": 1, "False": 0, "Unknown": -1}
    conditions = {c["type"]: values[c["status"]] for c in status.get("conditions") or ()}
    for gone in _shown.get(environment, set()) - conditions.keys():
        CONDITION.remove(environment, gone)
    for type_, value in conditions.items():
        CONDITION.labels(environment, type_).set(value)
    _shown[environment] = set(conditions)


def forget(environment: str) -> None:
    """Take away the metrics of an environment that is gone."""
    for type_ in _shown.pop(environment, set()):
        CONDITION.remove(environment, type_)
