"""Texts of policies and fields of roles: what is written, and what counts as a difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault.policies import Rule, render
from biospark_operator.clients.vault.roles import Role, differences
from biospark_operator.engine.errors import RejectedError

ROLE = Role(("biospark-api",), ("biospark-prod",), "vault", ("biospark-prod",), 3600, 86400)


def test_a_policy_has_the_form_of_the_specification() -> None:
    rules = [Rule("secret/data/biospark/prod", ("read",), below=True), Rule("secret/metadata/x", ("read", "list"))]
    assert render(rules) == (
        'path "secret/data/biospark/prod/*" {\n  capabilities = ["read"]\n}\n'
        "\n"
        'path "secret/metadata/x" {\n  capabilities = ["list", "read"]\n}\n'
    )


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [Rule("secret/data/x", ())],
        [Rule("secret/data/x", ("deny",))],
        [Rule("secret/data/x", ("sudo",))],
        [Rule("secret/data/*", ("read",))],
        [Rule("secret/+/x", ("read",))],
        [Rule("secret/data/../x", ("read",))],
        [Rule('x" { }', ("read",))],
        [Rule("", ("read",), below=True)],
    ],
)
def test_a_policy_that_says_nothing_or_more_than_it_seems_to_is_refused(rules: list[Rule]) -> None:
    with pytest.raises(RejectedError) as caught:
        render(rules)
    assert caught.value.reason == Reason.INVALID_SPEC


@pytest.mark.parametrize(
    "change",
    [
        {"accounts": ()},
        {"accounts": ("*",)},
        {"accounts": ("api", "biospark-*")},
        {"namespaces": ()},
        {"namespaces": ("*",)},
        {"audience": ""},
        {"audience": "*"},
        {"policies": ()},
        {"policies": ("root",)},
        {"policies": ("Upper",)},
        {"cidrs": ("10.0.0.1/8",)},
        {"ttl": 0},
        {"ttl": 100000},
    ],
)
def test_a_role_that_lets_in_more_than_it_seems_to_is_refused(change: Any) -> None:
    with pytest.raises(RejectedError):
        _ = replace(ROLE, **change).fields


#: As servers tell a role, OpenBao and older ones.
TOLD = {
    "alias_name_source": "serviceaccount_uid",
    "audience": "vault",
    "bound_service_account_names": ["biospark-api"],
    "bound_service_account_namespaces": ["biospark-prod"],
    "token_policies": ["biospark-prod"],
    "token_ttl": 3600,
    "token_max_ttl": 86400,
    "token_type": "service",
}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"token_ttl": "1h", "token_max_ttl": "24h0m0s"},
        {"policies": ["elsewhere"], "ttl": 5, "max_ttl": 6, "a_field_of_the_future": True},
        {"token_bound_cidrs": None, "token_period": 0, "bound_service_account_namespace_selector": ""},
        {"token_bound_cidrs": []},
    ],
)
def test_a_role_that_is_told_in_another_form_does_not_differ(told: Any) -> None:
    assert differences(ROLE, {**TOLD, **told}) == ()


def test_order_and_single_addresses_do_not_differ() -> None:
    wanted = replace(ROLE, namespaces=("a", "b"), cidrs=("10.0.0.3/32", "10.0.0.0/8", "fd00::1/128"))
    found = {
        **TOLD,
        "bound_service_account_namespaces": ["b", "a"],
        "token_bound_cidrs": ["fd00::1", "10.0.0.0/8", "10.0.0.3"],
    }
    assert differences(wanted, found) == ()


def test_a_role_without_an_audience_differs() -> None:
    assert differences(ROLE, {key: value for key, value in TOLD.items() if key != "audience"}) == ("audience",)


def test_every_field_that_is_gone_or_changed_is_named() -> None:
    assert set(differences(ROLE, {})) == {
        "audience", "bound_service_account_names", "bound_service_account_namespaces", "token_max_ttl",
        "token_policies", "token_ttl", "token_type",
    }  # fmt: skip
