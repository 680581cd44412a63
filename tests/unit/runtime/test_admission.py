"""What of a resource the operator works on, and what it is told of it beside the specification."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.environment import ROTATE_REQUESTED_AT
from biospark_operator.api.v1alpha1.limits import Limits
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked
from biospark_operator.runtime.admission import admission, identity_of
from tests.fakes.environments import body

SERVER = {"host": "db.example", "adminSecretRef": {"name": "admin"}}


def admit(resource: Any, platform: Platform | None = None) -> Environment | Blocked:
    return admission(platform or Platform(), "biospark-system")(resource)


def test_requests_come_along_with_the_specification() -> None:
    env = admit(body(metadata={"annotations": {ROTATE_REQUESTED_AT: "now"}}))
    assert isinstance(env, Environment)
    assert env.annotations == {ROTATE_REQUESTED_AT: "now"}


@pytest.mark.parametrize(("metadata", "deleting"), [({}, False), ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True)])
def test_only_what_is_being_deleted_loses_its_data(metadata: dict[str, str], deleting: bool) -> None:
    assert identity_of(body(metadata=metadata)).deleting is deleting


def test_the_platforms_server_is_that_of_environments_without_one() -> None:
    platform = Platform.model_validate({"database": SERVER})
    env = admit(body(), platform)
    assert isinstance(env, Environment)
    assert env.spec.database.server is not None
    assert env.spec.database.server.host == "db.example"


PRIVILEGED = {"namespace": {"podSecurity": "Privileged"}}


def test_what_goes_beyond_the_limits_is_not_worked_on() -> None:
    refused = admit(body(**PRIVILEGED, network={"isolation": "Disabled"}))
    assert refused == Blocked(
        Reason.LIMIT_EXCEEDED,
        "spec.namespace.podSecurity: write Baseline or a stricter level; platform.limits.podSecurity allows nothing "
        "weaker in this profile; spec.network.isolation: write Enforced; platform.limits.isolation allows nothing "
        "weaker in this profile",
    )


def test_the_limits_are_the_platforms() -> None:
    limits = Limits.model_validate({"podSecurity": {"development": "Privileged"}})
    assert isinstance(admission(Platform(limits=limits), "biospark-system")(body(**PRIVILEGED)), Environment)


def test_the_limits_do_not_bind_the_platform_itself() -> None:
    platform = Platform.model_validate({"database": {**SERVER, "sslMode": "Disable"}})
    env = admit(body(profile="Production"), platform)
    assert isinstance(env, Environment)


def test_what_goes_beyond_the_limits_can_be_deleted() -> None:
    resource = body(**PRIVILEGED, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    identity = identity_of(resource)
    assert (identity.deleting, identity.protected) == (True, False)


@pytest.mark.parametrize(
    "wish",
    [
        {"database": {"name": "records"}},
        {"database": {"connectionLimit": 5}},
        {"database": {"extensions": [{"name": "hstore"}]}},
        {"api": {"bootstrapAdmin": {"email": "admin@example.com"}}},
        {"api": {"tokenLifetime": "1h"}},
        {"api": {"eraseDeletedDays": 30}},
    ],
    ids=str,
)
def test_a_wish_for_what_needs_a_database_without_a_server_is_not_ignored(wish: dict[str, Any]) -> None:
    refused = admit(body(**wish))
    assert isinstance(refused, Blocked)
    assert refused.reason == Reason.PLATFORM_SETTING_MISSING
    assert "spec.database.server" in refused.message
    assert isinstance(admit(body(**{**wish, "database": {**wish.get("database", {}), "server": SERVER}})), Environment)


@pytest.mark.parametrize("name", ["biospark-system", "kong", "monitoring"])
def test_namespaces_that_are_not_for_environments_are_refused_before_anything_is_written(name: str) -> None:
    resource = body()
    resource["spec"]["namespace"] = {"name": name}
    refused = admission(Platform(), "biospark-system")(resource)
    assert isinstance(refused, Blocked)
    assert f"namespace {name} belongs to" in refused.message
