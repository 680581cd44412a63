"""What refers to which Secrets of the operator's namespace."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.runtime.used_secrets import secrets_of


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (None, set()),
        ({}, set()),
        ({"registry": None}, set()),
        ({"registry": {"pullSecretRef": None}}, set()),
        ({"registry": {"pullSecretRef": {"name": "pull"}}}, {"pull"}),
        (
            {
                "registry": {"pullSecretRef": {"name": "pull"}},
                "database": {
                    "server": {"adminSecretRef": {"name": "admin"}, "caSecretRef": {"name": "ca", "key": "x"}}
                },
            },
            {"pull", "admin", "ca"},
        ),
        ({"list": [{"passwordSecretRef": {"name": "in-a-list"}}]}, {"in-a-list"}),
    ],
)
def test_the_secrets_that_a_specification_names(spec: Any, names: set[str]) -> None:
    assert secrets_of(spec) == names


def test_the_secrets_that_the_platform_names() -> None:
    platform = Platform.model_validate(
        {"database": {"host": "postgres", "adminSecretRef": {"name": "admin"}, "caSecretRef": {"name": "ca"}}}
    )
    assert secrets_of(platform.model_dump(by_alias=True)) == {"admin", "ca"}
