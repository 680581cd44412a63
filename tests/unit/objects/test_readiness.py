"""Whether objects of any kind are in order, by the rules of kstatus."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.engine.outcome import Blocked, Progressing, Ready
from biospark_operator.objects.component import ObjectsComponent
from biospark_operator.objects.kinds import Kind
from biospark_operator.objects.readiness import stalled, unready
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment

CERTIFICATE = Kind("cert-manager.io/v1", "Certificate", "certificates")
SERVICE_MONITOR = Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", status_matters=False)


def live(*conditions: dict[str, Any], generation: int = 2, kind: Kind = CERTIFICATE, **status: Any) -> dict[str, Any]:
    """An object whose status has these conditions."""
    told = status | ({"conditions": list(conditions)} if conditions else {})
    metadata = {"name": "api", "namespace": "biospark-dev", "generation": generation}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata} | (
        {"status": told} if told else {}
    )


def condition(type_: str, status: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": "Because", "message": "of that", **more}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (live(), "its controller has not looked at it yet"),
        (live(observedGeneration=1), "its controller has not looked at the change yet"),
        (live(condition("Ready", "True"), observedGeneration=1), "its controller has not looked at the change yet"),
        (live(condition("Ready", "True", observedGeneration=1)), "its controller has not looked at the change yet"),
        (live(condition("Ready", "False")), "it is not ready (Because: of that)"),
        (live(condition("Ready", "Unknown", message="")), "it is not ready (Because)"),
        (live(condition("Ready", "True"), condition("Reconciling", "True")), "it is being changed (Because: of that)"),
        (live(condition("Ready", "True"), condition("Stalled", "True")), "it is stalled (Because: of that)"),
        (live(condition("Ready", "True")), None),
        (live(condition("Ready", "True", observedGeneration=2), observedGeneration=2), None),
        (live(condition("Issuing", "False")), None),
        (live(observedGeneration=2), None),
        (live(phase="Bound"), None),
        (live(condition("Reconciling", "True", observedGeneration=1)), None),
        ({**live(), "status": {"conditions": {"of": "the weather"}}}, None),
        ({**live(), "status": {"conditions": [{"name": "sunny"}, "rain"]}}, None),
        (live(condition("Ready", "False", message="no\n  room")), "it is not ready (Because: no room)"),
    ],
)
def test_a_kind_that_nobody_listed_is_judged_by_what_controllers_agree_on(found: Any, why: str | None) -> None:
    assert unready(found) == why


def test_what_is_stalled_of_an_earlier_generation_may_be_over() -> None:
    assert stalled(live(condition("Stalled", "True"))) == "it is stalled (Because: of that)"
    assert stalled(live(condition("Stalled", "True", observedGeneration=1))) is None
    assert stalled(live(condition("Stalled", "True"), observedGeneration=1)) is None
    assert stalled(live(condition("Stalled", "False"))) is None
    assert stalled(live()) is None


def test_a_condition_that_the_controller_always_sets_is_waited_for() -> None:
    issuing = live(condition("Issuing", "True"))
    assert unready(issuing, "Ready") == "its controller has not set the condition Ready yet"
    assert unready(live(condition("Programmed", "False")), "Programmed") == "it is not programmed (Because: of that)"
    assert unready(live(condition("Programmed", "True")), "Programmed") is None


def test_what_a_controller_says_at_length_is_cut() -> None:
    assert len(unready(live(condition("Ready", "False", message="x" * 5000))) or "") < 350


async def test_what_is_stalled_is_told_although_something_else_is_on_its_way() -> None:
    env = environment()
    first = live(condition("Ready", "False"))
    second = {**live(condition("Stalled", "True")), "metadata": {**first["metadata"], "name": "other"}}
    component = ObjectsComponent(
        "toy", "ToyReady", FakeCluster(first, second), lambda _: [first, second], frozenset({CERTIFICATE})
    )
    outcome = component.judge(env, await component.observe(env))
    assert outcome == Blocked("Stalled", "Certificate biospark-dev/other: it is stalled (Because: of that)")


async def judged(kind: Kind, found: dict[str, Any]) -> Any:
    """What a component says that makes one object, which is found like this."""
    env = environment()
    metadata = {"name": "api", "namespace": "biospark-dev"}
    manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    component = ObjectsComponent("toy", "ToyReady", FakeCluster(found), lambda _: [manifest], frozenset({kind}))
    return component.judge(env, await component.observe(env))


async def test_a_certificate_that_is_not_issued_is_waited_for_and_says_why() -> None:
    outcome = await judged(CERTIFICATE, live(condition("Ready", "False")))
    assert isinstance(outcome, Progressing)
    assert outcome.message == "Certificate biospark-dev/api: it is not ready (Because: of that)"
    assert isinstance(await judged(CERTIFICATE, live(condition("Ready", "True"))), Ready)


async def test_what_is_stalled_needs_a_human() -> None:
    outcome = await judged(CERTIFICATE, live(condition("Stalled", "True")))
    assert outcome == Blocked("Stalled", "Certificate biospark-dev/api: it is stalled (Because: of that)")


async def test_a_kind_whose_status_says_nothing_is_in_order_once_it_exists() -> None:
    assert isinstance(await judged(SERVICE_MONITOR, live(kind=SERVICE_MONITOR)), Ready)
    told = live(condition("Accepted", "False"), kind=SERVICE_MONITOR)
    assert isinstance(await judged(SERVICE_MONITOR, told), Ready)
