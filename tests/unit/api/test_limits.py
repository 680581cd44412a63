"""What goes beyond the limits of the platform is told with what to write instead (see `limit_cases`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from biospark_operator.api.v1alpha1 import SpecIssue, limits_policy, parse_environment
from biospark_operator.api.v1alpha1.limit_rules import RULES, exceeded
from biospark_operator.api.v1alpha1.limits import Limits
from tests.unit.api.limit_cases import LIMITS, OPERATOR_NAMESPACE, LimitCase
from tests.unit.api.rule_cases import Json, environment

ROOT = Path(__file__).parents[3]


def found(body: Json, allowed: Any = None) -> list[SpecIssue]:
    return exceeded(parse_environment(body).spec, Limits.model_validate(allowed or {}), OPERATOR_NAMESPACE)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_what_goes_too_far_is_told_at_its_field_with_what_to_write(case: LimitCase) -> None:
    assert SpecIssue(case.field, case.message) in found(case.bad, case.limits)
    assert {issue.path for issue in found(case.bad, case.limits)} - {case.field} <= {"spec.namespace.quota.pods"}


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_the_good_example_is_within_the_limits(case: LimitCase) -> None:
    assert found(case.good, case.limits) == []


def test_every_limit_has_an_example() -> None:
    told = {case.section for case in LIMITS}
    assert {f"spec.{rule.field}" for rule in RULES} == told
    words = {rule.message.partition("{")[0] for rule in RULES}
    assert {word for word in words if any(case.message.startswith(word) for case in LIMITS)} == words


def test_every_place_is_told() -> None:
    group = {"kind": "Group", "name": "system:masters"}
    bindings = [
        {"role": "Viewer", "subjects": [{"kind": "Group", "name": "ops"}, group]},
        {"role": "Admin", "subjects": [group]},
    ]
    assert [issue.path for issue in found(environment(access={"bindings": bindings}))] == [
        "spec.access.bindings[0].subjects[1].name",
        "spec.access.bindings[1].subjects[0].name",
    ]


@pytest.mark.parametrize("profile", ["Development", "Staging", "Production"])
def test_the_smallest_environment_of_each_profile_is_within_the_limits(profile: str) -> None:
    assert found(environment(profile=profile)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"egress": {"allowed": ["10.0.0.1/8"]}},
        {"egress": {"forbidden": ["::ffff:169.254.0.0/112"]}},
        {"egress": {"forbidden": ["169.254.169.254"]}},
        {"namespaceLabels": ["exa*mple"]},
        {"podSecurity": {"development": "None"}},
        {"quota": {"cpu": "many"}},
        {"sslmode": {}},
    ],
    ids=str,
)
def test_limits_that_say_nothing_sensible_are_refused(wrong: Json) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)


def test_the_file_of_the_chart_is_the_generated_one() -> None:
    written = (ROOT / "charts/biospark-operator/files/limits.yaml").read_text(encoding="utf-8")
    assert written == limits_policy.render(), "run `make crd`"
    assert Limits.model_validate(yaml.safe_load(written)["defaults"]) == Limits()
