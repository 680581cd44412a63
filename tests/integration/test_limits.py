"""The API server refuses what goes beyond the limits, as the operator does and with the same words (`limit_cases`).

What the operator does with what is stored nevertheless is in `test_limit_exceeded`.

The policies are the chart's. Objects are only tried, but for those that a change starts from.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dev.deploy import Tools
from tests.integration.policies import Requests, chart_policies, policies, until_refused
from tests.unit.api.limit_cases import FAR, LIMITS, OTHER_LIMITS, LimitCase
from tests.unit.api.rule_cases import environment

pytestmark = pytest.mark.integration

#: By whether the limits are other ones: what is refused only then, and how.
PROBES: Mapping[bool, tuple[Any, str]] = {
    False: ({"namespace": {"quota": {"pods": 501}}}, "write at most 500"),
    True: ({"namespace": {"quota": {"pods": 51}, "podSecurity": "Restricted"}}, "write at most 50,"),
}


@pytest.fixture(scope="module")
def limited(request: pytest.FixtureRequest, own_control_plane: str) -> Iterator[Requests]:
    """The administrator of an API server that knows the limits, where the parameter says so other ones."""
    admin = Requests(own_control_plane)
    bad, words = PROBES[request.param]
    with policies(own_control_plane, {"platform": {"limits": OTHER_LIMITS}} if request.param else {}):
        until_refused(lambda: admin.create(environment(**bad)), words)
        yield admin


def under_their_limits(cases: Sequence[LimitCase]) -> pytest.MarkDecorator:
    ordered = sorted(cases, key=lambda case: bool(case.limits))
    values = [pytest.param(bool(case.limits), case, id=str(case)) for case in ordered]
    return pytest.mark.parametrize(("limited", "case"), values, indirect=["limited"], scope="module")


@under_their_limits(LIMITS)
def test_what_goes_too_far_is_refused_with_what_to_write(limited: Requests, case: LimitCase) -> None:
    said = limited.create(case.bad)
    assert said is not None
    assert said.endswith(f"denied request: {case.section}: {case.message}")


@under_their_limits(LIMITS)
def test_the_good_example_is_accepted(limited: Requests, case: LimitCase) -> None:
    assert limited.create(case.good) is None


BY_DEFAULT = pytest.mark.parametrize("limited", [False], indirect=True, scope="module")


@pytest.fixture(scope="module")
def stored(own_control_plane: str, limited: Requests) -> Iterator[str]:
    """The name of an environment that was stored before there were limits."""
    tools, name = Tools(Path(own_control_plane)), f"old-{uuid.uuid4().hex[:8]}"
    bindings = [item for item in chart_policies() if item["kind"] == "ValidatingAdmissionPolicyBinding"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": bindings})
    tools.kubectl("delete", "-f", "-", text=text)
    until_accepted(limited, environment(name, **FAR))
    assert limited.create(environment(name, **FAR), dry_run=False) is None
    tools.kubectl("apply", "--server-side", "-f", "-", text=text)
    until_refused(lambda: limited.create(environment(**FAR)), "denied request")
    yield name
    tools.kubectl("delete", "bse", name, "--ignore-not-found", "--wait=false")


def until_accepted(admin: Requests, body: Any) -> None:
    for _ in range(300):
        if admin.create(body) is None:
            return
    raise AssertionError("still refused")


@BY_DEFAULT
@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"finalizers": ["biospark.ai/finalizer"]}},
        {"metadata": {"annotations": {"biospark.ai/reconcile-requested-at": "now"}}},
        {"spec": {"suspend": True}},
        {"spec": {"deletionProtection": False}},
        {"spec": {"network": {"egress": None}}},
    ],
    ids=str,
)
def test_what_was_stored_before_the_limits_can_be_changed_in_everything_else(
    limited: Requests, stored: str, change: Any
) -> None:
    assert limited.patch(stored, change) is None


@BY_DEFAULT
@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"profile": "Staging"}, "spec.namespace.podSecurity"),
        ({"namespace": {"labels": {"istio.io/rev": "x"}}}, "spec.namespace.labels"),
        ({"network": {"egress": [{"name": "all", "cidr": "::/0", "ports": [{"port": 80}]}]}}, "spec.network.egress"),
    ],
    ids=str,
)
def test_what_was_stored_before_the_limits_can_not_go_further(
    limited: Requests, stored: str, spec: Any, told: str
) -> None:
    assert told in (limited.patch(stored, {"spec": spec}) or "")


@BY_DEFAULT
def test_what_was_stored_before_the_limits_can_be_deleted(limited: Requests, stored: str) -> None:
    assert limited.delete(stored) is None
