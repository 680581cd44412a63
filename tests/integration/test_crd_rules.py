"""The API server refuses what breaks a rule of the resource, with words that say what to write (see `rule_cases`).

Objects are only tried (dry run), so these tests leave nothing behind; rules that compare with the stored object need
one, which is deleted afterwards.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client, config

from tests.unit.api.rule_cases import (
    BOUNDS,
    FORMATS,
    PROTECTION_HINT,
    RULES,
    TRANSITIONS,
    BoundCase,
    Json,
    RuleCase,
    environment,
)

pytestmark = pytest.mark.integration

RESOURCE = {"group": "biospark.ai", "version": "v1alpha1", "plural": "biosparkenvironments"}
Cause = tuple[str, str]


@pytest.fixture(scope="module")
def api(kubeconfig: str) -> Iterator[Any]:
    """A client for the resource."""
    with config.new_client_from_config(kubeconfig) as connection:
        yield client.CustomObjectsApi(connection)


@pytest.fixture
def stored(api: Any) -> Iterator[Callable[..., str]]:
    """Creates environments that change nothing, and deletes them afterwards."""
    names: list[str] = []

    def create(**spec: Any) -> str:
        body = environment(f"crd-{uuid4().hex[:8]}", **{"mode": "Plan", **spec})
        names.append(api.create_cluster_custom_object(**RESOURCE, body=body)["metadata"]["name"])
        return names[-1]

    yield create
    for name in names:
        api.delete_cluster_custom_object(**RESOURCE, name=name)


def tried(api: Any, body: Json) -> Json:
    """What the API server would store."""
    result: Json = api.create_cluster_custom_object(**RESOURCE, body=body, dry_run="All", field_validation="Strict")
    return result


def causes(error: Any) -> list[Cause]:
    """The fields and words of a refusal; rules on entries of maps write `labels[team]`, patterns `labels.team`."""
    details = json.loads(error.value.body)["details"]
    return [(re.sub(r"\[(\D[^]]*)]", r".\1", cause["field"]), cause["message"]) for cause in details["causes"]]


def says(found: list[Cause], field: str, message: str) -> bool:
    """Whether the words were reported for the field; the API server puts the value in front of them."""
    return any(where == field and words.endswith(f": {message}") for where, words in found)


@pytest.mark.parametrize("rule", RULES + FORMATS, ids=str)
def test_a_broken_rule_is_refused_with_what_to_write(api: Any, rule: RuleCase) -> None:
    with pytest.raises(client.ApiException) as error:
        tried(api, rule.bad)
    assert error.value.status == 422
    assert says(causes(error), rule.field, rule.message), causes(error)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_broken_rule_is_the_only_thing_reported(api: Any, rule: RuleCase) -> None:
    with pytest.raises(client.ApiException) as error:
        tried(api, rule.bad)
    assert len(causes(error)) == 1


@pytest.mark.parametrize("rule", [rule for rule in FORMATS if "duration from" not in rule.message], ids=str)
def test_a_wrong_format_also_breaks_the_pattern_that_editors_check(api: Any, rule: RuleCase) -> None:
    """Durations are left out: their limits are no pattern."""
    with pytest.raises(client.ApiException) as error:
        tried(api, rule.bad)
    assert any(field == rule.field and "should match '^" in words for field, words in causes(error))


@pytest.mark.parametrize("rule", [*RULES, *FORMATS, *BOUNDS], ids=str)
def test_the_good_example_is_accepted(api: Any, rule: RuleCase | BoundCase) -> None:
    assert tried(api, rule.good)["spec"].items() >= rule.good["spec"].items()


@pytest.mark.parametrize("limit", BOUNDS, ids=str)
def test_a_value_out_of_bounds_is_refused_at_its_field(api: Any, limit: BoundCase) -> None:
    with pytest.raises(client.ApiException) as error:
        tried(api, limit.bad)
    assert error.value.status == 422
    assert limit.field in {field for field, _ in causes(error)}


@pytest.mark.parametrize("section", TRANSITIONS)
@pytest.mark.parametrize(
    ("before", "after"),
    [("one", "two"), ("one", None), (None, "two")],
    ids=["changed", "removed", "added"],
)
def test_names_can_not_change_after_creation(
    api: Any, stored: Callable[..., str], section: str, before: str | None, after: str | None
) -> None:
    name = stored(**{section: {"name": before} if before else None})
    with pytest.raises(client.ApiException) as error:
        patched(api, name, {section: {"name": after}})
    assert says(causes(error), f"spec.{section}.name", TRANSITIONS[section])


@pytest.mark.parametrize("section", TRANSITIONS)
def test_removing_the_section_of_a_name_is_refused_as_well(api: Any, stored: Callable[..., str], section: str) -> None:
    name = stored(**{section: {"name": "one"}})
    with pytest.raises(client.ApiException) as error:
        patched(api, name, {section: None})
    assert says(causes(error), f"spec.{section}.name", TRANSITIONS[section])


PROTECTED = [{"profile": "Production"}, {"profile": "Development", "deletionProtection": True}]


@pytest.mark.parametrize("before", PROTECTED, ids=str)
@pytest.mark.parametrize("profile", ["Development", "Staging"])
def test_protection_ends_neither_with_the_profile_nor_with_the_field(
    api: Any, stored: Callable[..., str], before: Json, profile: str
) -> None:
    name = stored(**before)
    with pytest.raises(client.ApiException) as error:
        patched(api, name, {"profile": profile, "deletionProtection": None})
    assert says(causes(error), "spec.deletionProtection", PROTECTION_HINT)


@pytest.mark.parametrize("before", PROTECTED, ids=str)
@pytest.mark.parametrize("protection", [True, False])
def test_the_profile_may_change_when_it_is_said_what_becomes_of_the_protection(
    api: Any, stored: Callable[..., str], before: Json, protection: bool
) -> None:
    spec = patched(api, stored(**before), {"profile": "Staging", "deletionProtection": protection})["spec"]
    assert (spec["profile"], spec["deletionProtection"]) == ("Staging", protection)


def test_what_is_not_protected_may_leave_it_to_the_profile(api: Any, stored: Callable[..., str]) -> None:
    name = stored(profile="Production", deletionProtection=False)
    assert "deletionProtection" not in patched(api, name, {"profile": "Staging", "deletionProtection": None})["spec"]


def test_everything_else_may_change(api: Any, stored: Callable[..., str]) -> None:
    name = stored(namespace={"name": "one"}, database={"name": "one"})
    changes = {
        "profile": "Production",
        "host": "other.example.com",
        "namespace": {"podSecurity": "Baseline"},
        "database": {"connectionLimit": 5},
    }
    spec = patched(api, name, changes)["spec"]
    assert (spec["profile"], spec["namespace"]) == ("Production", {"name": "one", "podSecurity": "Baseline"})


def patched(api: Any, name: str, spec: Json) -> Json:
    """What the API server would store after a merge patch of the spec."""
    result: Json = api.patch_cluster_custom_object(
        **RESOURCE, name=name, body={"spec": spec}, dry_run="All", _content_type="application/merge-patch+json"
    )
    return result


def test_an_environment_of_the_largest_allowed_size_is_accepted(api: Any) -> None:
    """The rules must not run out of the API server's budget for evaluating them."""
    ports = [{"port": port, "protocol": "TCP"} for port in range(1, 17)]
    subjects = [{"kind": "User", "name": f"{index:0253}"} for index in range(64)]
    targets = [
        {
            "name": f"{index:063}",
            "cidr": f"2001:db8:{index:x}::/48",
            "except": [f"2001:db8:{index:x}:{inner:x}::/64" for inner in range(16)],
            "ports": ports,
        }
        for index in range(16)
    ]
    sources = [{"name": f"{index:063}", "namespace": "b" * 63, "ports": ports} for index in range(16)]
    spec: Json = {
        "namespace": {"labels": {f"{'p' * 63}.{'q' * 63}/{index:063}": "v" * 63 for index in range(32)}},
        "access": {"bindings": [{"role": role, "subjects": subjects} for role in ("Viewer", "Developer", "Admin")]},
        "network": {"ingress": sources, "egress": targets},
        "certificate": {"dnsNames": [f"{index:063}.{'a' * 63}.{'b' * 63}.{'c' * 61}" for index in range(32)]},
        "database": {"extensions": [{"name": f"e{index:062}"} for index in range(32)]},
    }
    assert len(tried(api, environment(**spec))["spec"]["network"]["egress"]) == 16
