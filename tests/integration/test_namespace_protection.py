"""The namespace of a protected environment can't be deleted, nor its mark be changed, by anybody but the operator."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.deploy import NAMESPACE, RELEASE, Tools
from tests.integration.policies import Requests, policies, until_refused
from tests.integration.restricted import apply, chart_rights
from tests.unit.api.rule_cases import Json

pytestmark = pytest.mark.integration

NAMESPACES = "/api/v1/namespaces"
LABEL = "biospark.ai/deletion-protection"


def space(name: str, **labels: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def labelled(**labels: str | None) -> Json:
    return {"metadata": {"labels": labels}}


@pytest.fixture(scope="module")
def people(own_control_plane: str) -> Iterator[tuple[Requests, Requests]]:
    """The administrator of the cluster and the operator, on an API server with the chart's policies."""
    apply(Tools(Path(own_control_plane)), chart_rights())
    administrator = Requests(own_control_plane)
    operator = Requests(own_control_plane, f"system:serviceaccount:{NAMESPACE}:{RELEASE}")
    with policies(own_control_plane):
        marked = space(f"p-{uuid.uuid4().hex[:8]}", **{LABEL: "true"})
        until_refused(lambda: administrator.refusal("POST", NAMESPACES, marked), "is kept by the operator")
        yield administrator, operator


@pytest.fixture
def protected(people: tuple[Requests, Requests]) -> Iterator[str]:
    """The path of a namespace that the operator marked."""
    _, operator = people
    name = f"p-{uuid.uuid4().hex[:8]}"
    marks = {LABEL: "true", "biospark.ai/environment": "production"}
    assert operator.refusal("POST", NAMESPACES, space(name, **marks), dry_run=False) is None
    yield f"{NAMESPACES}/{name}"
    assert operator.refusal("DELETE", f"{NAMESPACES}/{name}", dry_run=False) is None


def test_nobody_but_the_operator_deletes_it(people: tuple[Requests, Requests], protected: str) -> None:
    administrator, operator = people
    said = administrator.refusal("DELETE", protected) or ""
    assert "belongs to environment production, which is protected from deletion" in said
    assert "set spec.deletionProtection of the environment to false" in said
    assert operator.refusal("DELETE", protected) is None


@pytest.mark.parametrize("value", [None, "false"])
def test_nobody_but_the_operator_changes_the_mark(
    people: tuple[Requests, Requests], protected: str, value: str | None
) -> None:
    administrator, operator = people
    change = labelled(**{LABEL: value})
    assert "is kept by the operator" in (administrator.refusal("PATCH", protected, change) or "")
    assert operator.refusal("PATCH", protected, change) is None


def test_its_other_labels_may_change(people: tuple[Requests, Requests], protected: str) -> None:
    administrator, _ = people
    assert administrator.refusal("PATCH", protected, labelled(team="a")) is None


def test_namespaces_without_the_mark_are_left_alone(people: tuple[Requests, Requests]) -> None:
    administrator, _ = people
    name = f"p-{uuid.uuid4().hex[:8]}"
    assert administrator.refusal("POST", NAMESPACES, space(name), dry_run=False) is None
    path = f"{NAMESPACES}/{name}"
    assert "is kept by the operator" in (administrator.refusal("PATCH", path, labelled(**{LABEL: "true"})) or "")
    assert administrator.refusal("PATCH", path, labelled(team="a")) is None
    assert administrator.refusal("DELETE", path, dry_run=False) is None
