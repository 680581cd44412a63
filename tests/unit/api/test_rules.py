"""The operator refuses what the API server refuses, with the same words (see `rule_cases`)."""

import pytest

from biospark_operator.api.v1alpha1 import InvalidSpec, SpecIssue, parse_environment
from biospark_operator.api.v1alpha1.crd import root_schema
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
    server,
)


@pytest.mark.parametrize("rule", RULES + FORMATS, ids=str)
def test_a_broken_rule_is_reported_at_its_field_with_what_to_write(rule: RuleCase) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_environment(rule.bad)
    assert error.value.issues == (SpecIssue(rule.field, rule.message),)


@pytest.mark.parametrize("rule", [*RULES, *FORMATS, *BOUNDS], ids=str)
def test_the_good_example_is_accepted(rule: RuleCase | BoundCase) -> None:
    parsed = parse_environment(rule.good)
    assert parsed.metadata.name == rule.good["metadata"]["name"]


@pytest.mark.parametrize("limit", BOUNDS, ids=str)
def test_a_value_out_of_bounds_is_reported_at_its_field(limit: BoundCase) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_environment(limit.bad)
    assert [issue.path for issue in error.value.issues] == [limit.field]


def messages(schema: object) -> set[str]:
    """The words of every rule in a schema."""
    if isinstance(schema, list):
        return set().union(*(messages(item) for item in schema))
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", ())}
    return own.union(*(messages(value) for value in schema.values()))


def test_every_rule_of_the_schema_has_an_example() -> None:
    written = root_schema()
    with_example = {rule.message for rule in RULES + FORMATS} | {*TRANSITIONS.values(), PROTECTION_HINT}
    status_formats = messages(written["properties"]["status"])
    assert messages(written) - status_formats == with_example


def test_unknown_fields_are_reported_wherever_they_are() -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_environment(environment(profil="x", gateway={"kongg": {}}))
    assert {issue.path for issue in error.value.issues} == {"spec.profil", "spec.gateway.kongg"}
    assert {issue.message for issue in error.value.issues} == {"unknown field: correct its spelling or remove it"}


def test_all_issues_are_reported_at_once() -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_environment(environment("dev.eu", host=None, api={"tokenLifetime": "25h"}))
    assert [issue.path for issue in error.value.issues] == ["metadata.name", "spec.host", "spec.api.tokenLifetime"]
    assert str(error.value).startswith("metadata.name: choose a name")


@pytest.mark.parametrize(
    "spec",
    [
        {"secrets": {"vault": {"address": "https://root:hunter2@vault", "authRole": "x"}}},
        server(host="hunter2:hunter2@db"),
        {"host": "hunter2 hunter2"},
        {"profile": "hunter2"},
        {"interval": "hunter2"},
        {"namespace": {"quota": {"cpu": "hunter2"}}},
        {"suspend": "hunter2"},
        {"qualityGates": {"interval": {"hunter2": "hunter2"}}},
        {"api": {"replicas": "hunter2"}},
        {"api": "hunter2"},
        {"qualityGates": {"waivers": [{"expiresAt": "hunter2"}]}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_messages_never_contain_the_offending_value(spec: Json) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_environment(environment(**spec))
    assert "hunter2" not in str(error.value)


def test_two_entries_with_the_same_key_are_refused() -> None:
    entry = {"name": "a", "namespace": "b"}
    with pytest.raises(InvalidSpec, match=r"spec\.network\.ingress: write each name only once in this list"):
        parse_environment(environment(network={"ingress": [entry, entry]}))


def test_two_equal_items_of_a_set_are_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.certificate\.dnsNames: write each item only once in this list"):
        parse_environment(environment(certificate={"dnsNames": ["a.b", "a.b"]}))


def test_a_spec_that_is_missing_altogether_is_reported() -> None:
    with pytest.raises(InvalidSpec, match="spec: this field is required"):
        parse_environment({"metadata": {"name": "dev"}})
