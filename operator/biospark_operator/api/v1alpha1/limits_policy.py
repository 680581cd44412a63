"""The chart's admission policy, made of the rules, so that what goes too far is refused when it is written.

`python -m biospark_operator.api.v1alpha1.limits_policy` prints it; a test keeps the chart equal to it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from biospark_operator.api.v1alpha1.constraints import quoted
from biospark_operator.api.v1alpha1.limit_rules import RULES, LimitRule, filled_by_cel
from biospark_operator.api.v1alpha1.limits import Limits
from biospark_operator.api.v1alpha1.profiles import PROFILES


def limits_policy() -> Mapping[str, Any]:
    """What the chart makes its admission policy of: the limits as they are by default, and the conditions."""
    return {
        "defaults": Limits().model_dump(mode="json", by_alias=True),
        "profiles": _cel_literal(
            {
                profile.value: {
                    "podSecurity": default.pod_security.value,
                    "quota": default.quota.model_dump(mode="json", by_alias=True),
                }
                for profile, default in PROFILES.items()
            }
        ),
        "validations": [
            {
                "expression": f"({_unchanged(rule)}) || ({rule.cel})",
                "messageExpression": f"{quoted(f'spec.{rule.field}: ')} + {filled_by_cel(rule.message)}",
            }
            for rule in RULES
        ],
    }


def _cel_literal(value: Any) -> str:
    """A value as CEL; the API server wants all entries of a map to be of one type, which `dyn` makes them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: dyn({_cel_literal(entry)})" for key, entry in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else str(value)


def _unchanged(rule: LimitRule) -> str:
    same = (f"object.spec.{path} == oldObject.spec.{path}" for path in rule.looks_at)
    return " && ".join(["request.operation == 'UPDATE'", *same])


HEADER = (
    "# Generated from operator/biospark_operator/api/v1alpha1/limits.py; do not edit.\n# To change it, change that and "
    "run `make crd`.\n"
)


def render() -> str:
    """The file that the chart reads."""
    return HEADER + yaml.safe_dump(dict(limits_policy()), sort_keys=False, width=10_000)


if __name__ == "__main__":
    sys.stdout.write(render())
