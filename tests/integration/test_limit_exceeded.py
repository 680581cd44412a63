"""What the operator makes of an environment that goes beyond the limits, where no policy kept it from being stored."""

from __future__ import annotations

import pytest

from tests.integration.conftest import OPERATOR_NAMESPACE, Operated
from tests.unit.api.limit_cases import FAR

pytestmark = pytest.mark.integration

UNHELD = '{"metadata":{"finalizers":null}}'


async def test_the_operator_makes_nothing_of_what_goes_too_far_and_deletes_it(env: Operated) -> None:
    env.apply(**FAR)
    next_ = await env.run()
    assert next_.after is not None
    assert await env.told("Stalled") == ("True", "LimitExceeded")
    message = await env.message("Ready")
    assert all(f"spec.{section}" in message for section in ("namespace.podSecurity", "access.bindings[0].subjects[0]"))
    assert env.kubectl("get", "namespace", env.namespace, "--ignore-not-found") == ""
    await env.torn_down()


async def test_what_was_made_before_the_limits_is_left_as_it_is_until_it_keeps_them_or_is_deleted(
    env: Operated,
) -> None:
    env.apply()
    await env.settle()
    env.apply(**FAR)
    await env.run()
    assert await env.told("Ready") == ("False", "LimitExceeded")
    assert await env.get("v1", "ResourceQuota", "biospark-quota")
    env.apply()
    await env.settle()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    env.apply(**FAR)
    await env.torn_down()
    assert env.kubectl("get", "namespace", env.namespace, "--ignore-not-found") == ""


async def test_the_namespaces_of_the_platform_and_of_the_operator_are_refused(env: Operated) -> None:
    for name in ("kong", "monitoring", "biospark-platform", OPERATOR_NAMESPACE):
        env.kubectl("delete", "bse", env.name, "--ignore-not-found", "--wait=false")
        env.kubectl("patch", "bse", env.name, "--type=merge", "-p", UNHELD, check=False)
        env.apply(namespace={"name": name}, adoptionPolicy="IfUnowned")
        await env.run()
        assert (await env.told("Stalled") or ("", ""))[1] == "NamespaceRefused", name
