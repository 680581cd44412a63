"""Metrics: what moves them, and that the page describes all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action
from biospark_operator.engine.convergence import Report
from biospark_operator.engine.errors import UnavailableError
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Progressing, Ready
from biospark_operator.engine.passes import Next
from biospark_operator.runtime import metrics
from biospark_operator.runtime.loop import Environments

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_actions_are_counted_once() -> None:
    created, updated = Action(Verb.CREATE, "a", "create a"), Action(Verb.UPDATE, "b", "set b")
    first = {"m1": Report(Ready("Succeeded", ""), done=(created, created, updated))}
    metrics.count({}, first)
    metrics.count(first, first)
    metrics.count(first, {"m1": Report(Ready("Succeeded", ""), done=())})
    assert value("biospark_operator_actions_total", component="m1", verb="Create") == 2
    assert value("biospark_operator_actions_total", component="m1", verb="Update") == 1


def test_deletions_are_counted_once() -> None:
    begun = {"m7": 2, "m8": 1}
    metrics.count_deletions(begun)
    metrics.count_deletions(begun)
    assert value("biospark_operator_actions_total", component="m7", verb="Delete") == 2
    assert value("biospark_operator_actions_total", component="m8", verb="Delete") == 1


@pytest.mark.parametrize(
    ("component", "outcome", "counted"),
    [
        ("m2", Blocked("NotOwned", ""), 1),
        ("m3", Failed("NotOwned", ""), 1),
        ("m4", Progressing("NotOwned", "", 1.0), 0),
        ("m5", Ready("NotOwned", ""), 0),
    ],
)
def test_problems_are_counted(component: str, outcome: Outcome, counted: int) -> None:
    metrics.count({}, {component: Report(outcome)})
    assert value("biospark_operator_problems_total", component=component, reason="NotOwned") == counted


@pytest.mark.parametrize(("error", "cause"), [(UnavailableError("x"), "unreachable"), (RuntimeError("x"), "defect")])
async def test_a_pass_is_measured_also_one_that_ends_early(error: Exception, cause: str) -> None:
    report = Report(Failed("ServerUnavailable", ""))

    class Reconciler:
        async def reconcile(self, name: str, memory: object, *, changed: bool) -> Next:
            memory.reports["m6"] = report  # type: ignore[attr-defined]
            raise error

    environments = Environments(Reconciler(), 1)  # type: ignore[arg-type]
    passes, errors = (
        value("biospark_operator_pass_seconds_count"),
        value("biospark_operator_pass_errors_total", cause=cause),
    )
    problems = value("biospark_operator_problems_total", component="m6", reason="ServerUnavailable")

    async def never() -> None:
        return

    await environments.keep("m6", "u", iter([False, True]).__next__, never())
    assert value("biospark_operator_pass_seconds_count") == passes + 1
    assert value("biospark_operator_pass_errors_total", cause=cause) == errors + 1
    assert value("biospark_operator_problems_total", component="m6", reason="ServerUnavailable") == problems + 1


def test_the_page_describes_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(biospark_\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    described = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}
    ours = [metric for metric in vars(metrics).values() if isinstance(metric, Counter | Gauge | Histogram)]
    registered = {family.name for family in REGISTRY.collect() if family.name.startswith("biospark_")}
    assert {metric.describe()[0].name for metric in ours} == {n for n in registered if "biospark_api" not in n}
    expected = {}
    for metric in ours:
        family = metric.describe()[0]
        suffix = "_total" if family.type == "counter" else ""
        expected[family.name + suffix] = (family.type, list(metric._labelnames))
    assert described == expected
