"""Policies and roles on real servers: written whole, compared exactly, and what a deletion cuts off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.clients.vault import policies, roles
from biospark_operator.clients.vault.errors import ConflictError, MissingRightError
from biospark_operator.clients.vault.kv import Mount
from biospark_operator.clients.vault.login import Login
from biospark_operator.clients.vault.policies import Rule
from biospark_operator.clients.vault.roles import Role
from biospark_operator.clients.vault.server import Vault, Vaults
from biospark_operator.engine.errors import RejectedError
from dev.cluster.openbao import KUBERNETES, KV
from tests.openbao import AUDIENCE, Site

pytestmark = pytest.mark.integration


def reading(site: Site) -> list[Rule]:
    return [Rule(f"{KV}/data/biospark/{site.name}", ("read",), below=True)]


@pytest.fixture
def role(account: tuple[str, str], site: Site) -> Iterator[Role]:
    yield Role((account[1],), (account[0],), AUDIENCE, (site.name,), 60, 120)
    site.request("DELETE", f"sys/policies/acl/{site.name}")
    site.request("DELETE", f"auth/{KUBERNETES}/role/{site.name}")


async def test_a_policy_is_stored_byte_for_byte(vault: Vault, site: Site) -> None:
    assert await policies.read(vault, site.name) is None
    await policies.write(vault, site.name, reading(site), None)
    found = await policies.read(vault, site.name)
    assert found is not None
    assert found.text == policies.render(reading(site))
    assert site.request("GET", f"sys/policies/acl/{site.name}")["data"]["policy"] == found.text
    await policies.delete(vault, site.name)
    assert await policies.read(vault, site.name) is None
    await policies.delete(vault, site.name)


async def test_a_policy_that_somebody_else_wrote_meanwhile_is_not_overwritten(vault: Vault, site: Site) -> None:
    await policies.write(vault, site.name, reading(site), None)
    before = await policies.read(vault, site.name)
    edited = 'path "secret/*" { capabilities = ["read"] }'
    site.request("PUT", f"sys/policies/acl/{site.name}", {"policy": edited})
    for seen in (None, before):
        with pytest.raises(ConflictError):
            await policies.write(vault, site.name, reading(site), seen)
    assert site.request("GET", f"sys/policies/acl/{site.name}")["data"]["policy"] == edited
    await policies.delete(vault, site.name)


async def test_every_field_of_a_role_is_written_and_none_differs_afterwards(
    vault: Vault, site: Site, role: Role
) -> None:
    role = replace(role, cidrs=("127.0.0.1/32", "10.0.0.0/8", "fd00::1/128"))
    assert await roles.read(vault, KUBERNETES, site.name) is None
    await roles.write(vault, KUBERNETES, site.name, role)
    found = await roles.read(vault, KUBERNETES, site.name)
    assert found is not None
    assert roles.differences(role, found) == ()
    assert set(role.fields) <= {*found, "audience"}


#: What an editor may have done to a role, by field.
EDITS: dict[str, Any] = {
    "bound_service_account_names": ["*"],
    "bound_service_account_namespaces": ["default", "elsewhere"],
    "token_policies": ["default", "root-like"],
    "audience": "another",
    "alias_name_source": "serviceaccount_name",
    "token_ttl": "90s",
    "token_max_ttl": 0,
    "token_explicit_max_ttl": 30,
    "token_period": 60,
    "token_num_uses": 5,
    "token_no_default_policy": True,
    "token_bound_cidrs": ["0.0.0.0/0"],
    "token_type": "batch",
    "bound_service_account_namespace_selector": '{"matchLabels": {"x": "y"}}',
}


@pytest.mark.parametrize("edited", EDITS)
async def test_a_field_that_somebody_changed_is_named_and_put_right(
    one: Site, vaults: Vaults, account: tuple[str, str], edited: str
) -> None:
    role = Role((account[1],), (account[0],), AUDIENCE, (one.name,), 60, 120)
    vault = vaults.at(one.address, one.admit())
    path = f"auth/{KUBERNETES}/role/{one.name}"
    await roles.write(vault, KUBERNETES, one.name, role)
    # A role with a period is not taken with a life that is limited.
    extra = {"token_explicit_max_ttl": 0} if edited == "token_period" else {}
    if edited == "token_type":
        extra = {"token_period": 0, "token_num_uses": 0}
    one.request("POST", path, {edited: EDITS[edited], **extra})
    found = await roles.read(vault, KUBERNETES, one.name)
    assert found is not None
    assert roles.differences(role, found) == (edited,)
    await roles.write(vault, KUBERNETES, one.name, role)
    assert roles.differences(role, await roles.read(vault, KUBERNETES, one.name) or {}) == ()
    await roles.delete(vault, KUBERNETES, one.name)
    assert await roles.read(vault, KUBERNETES, one.name) is None
    await roles.delete(vault, KUBERNETES, one.name)


async def test_a_role_gives_what_its_policy_says_and_deleting_the_policy_cuts_its_tokens_off(
    vault: Vault, vaults: Vaults, site: Site, role: Role
) -> None:
    await policies.write(vault, site.name, reading(site), None)
    await roles.write(vault, KUBERNETES, site.name, role)
    await Mount(vault, KV).write(f"biospark/{site.name}/x", {"word": "secret"}, 0)
    api = vaults.at(site.address, Login(KUBERNETES, site.name, site.token_file))
    mount = Mount(api, KV)
    async with asyncio.timeout(30):
        while (entry := await mount.read(f"biospark/{site.name}/x")).data is None:
            await asyncio.sleep(0.05)
    assert entry.data == {"word": "secret"}
    for attempt in (mount.read("biospark/other/x"), mount.write(f"biospark/{site.name}/x", {"word": "y"}, 1)):
        with pytest.raises(MissingRightError):
            await attempt
    await policies.delete(vault, site.name)
    async with asyncio.timeout(30):
        while not await denied(mount, f"biospark/{site.name}/x"):
            await asyncio.sleep(0.02)


async def denied(mount: Mount, path: str) -> bool:
    try:
        await mount.read(path)
    except MissingRightError:
        return True
    return False


@pytest.mark.parametrize("name", ["Upper", "a*", "a/b", "..", "default", "root", "", "a b"])
async def test_a_name_that_a_server_would_change_or_keep_for_itself_is_not_sent(
    one: Site, vaults: Vaults, name: str
) -> None:
    vault = vaults.at(one.address, one.admit())
    with pytest.raises(RejectedError):
        await policies.write(vault, name, reading(one), None)
    with pytest.raises(RejectedError):
        await policies.delete(vault, name)
