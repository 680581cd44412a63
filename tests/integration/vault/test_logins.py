"""Logins on a real server that asks a real API server: one for all, renewed in time, and what refusals mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import server as vault_server
from biospark_operator.clients.vault.errors import Answer, MissingRightError
from biospark_operator.clients.vault.kv import Mount
from biospark_operator.clients.vault.login import Login
from biospark_operator.clients.vault.server import Vault, Vaults
from biospark_operator.clients.vault.transport import Address
from biospark_operator.engine.errors import AccessError, OutsideError
from dev.cluster.api import Api as ClusterApi
from dev.cluster.openbao import KUBERNETES, KV, reviewing
from tests.integration.vault.conftest import TokenOf
from tests.openbao import Site

pytestmark = pytest.mark.integration


async def looked_up(vault: Vault) -> Any:
    """Return what the server says of the token that the operator has."""
    answer: Answer = await vault.ask("look at the token", lambda api: api.auth.token.lookup_self())
    return answer.data


async def until_another(vault: Vault, what: str, watch: Callable[[], None] = lambda: None) -> None:
    """Use the token until the server says something else of it."""
    before = (await looked_up(vault))[what]
    async with asyncio.timeout(30):
        while (await looked_up(vault))[what] == before:
            watch()


async def refusal(vault: Vault) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await looked_up(vault)
    return caught.value


async def test_all_who_ask_share_one_login(vault: Vault, site: Site) -> None:
    await asyncio.gather(*(looked_up(vault) for _ in range(12)))
    assert len(site.tokens()) == 1


async def test_servers_and_roles_have_a_login_each_and_the_same_ones_share_it(site: Site, vaults: Vaults) -> None:
    login = site.admit()
    assert vaults.at(site.address, login) is vaults.at(site.address, login)
    assert vaults.at(site.address, login) is not vaults.at(site.address, replace(login, role="another"))
    assert vaults.at(site.address, login) is not vaults.at(replace(site.address, namespace="team"), login)


async def test_a_token_is_renewed_before_it_ends_and_stays_the_only_one(site: Site, vaults: Vaults) -> None:
    vault = vaults.at(site.address, site.admit(token_ttl=6))
    accessor = (await looked_up(vault))["accessor"]
    for _ in range(2):
        await until_another(vault, "expire_time")
        assert site.tokens() == [accessor]


async def test_a_token_at_the_end_of_its_life_is_replaced_before_that(one: Site, vaults: Vaults) -> None:
    vault = vaults.at(one.address, one.admit(token_ttl=6, token_max_ttl=9))
    for _ in range(2):
        await until_another(vault, "accessor")
        await asyncio.gather(*(looked_up(vault) for _ in range(4)))
    async with asyncio.timeout(10):
        while len(one.tokens()) > 1:
            await asyncio.sleep(0.05)


async def test_a_token_that_is_not_renewable_is_replaced_before_it_ends(one: Site, vaults: Vaults) -> None:
    vault = vaults.at(one.address, one.admit(token_type="batch", token_ttl=6))
    assert (await looked_up(vault))["type"] == "batch"
    await until_another(vault, "creation_time")


async def test_a_token_that_was_revoked_is_replaced_once(vault: Vault, site: Site) -> None:
    await looked_up(vault)
    (accessor,) = site.tokens()
    site.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    await asyncio.gather(*(looked_up(vault) for _ in range(8)))
    assert len(site.tokens()) == 1


async def test_a_right_that_came_with_another_policy_is_used_after_a_new_login(
    one: Site, vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_server, "RECENT", 0.0)
    mount = Mount(vaults.at(one.address, one.admit('path "secret/data/other" { capabilities = ["read"] }')), KV)
    with pytest.raises(MissingRightError):
        await mount.read("biospark/x")
    one.request(
        "PUT", f"sys/policies/acl/{one.name}-more", {"policy": 'path "secret/*" { capabilities = ["read", "list"] }'}
    )
    policies = [f"{one.name}-operator", f"{one.name}-more"]
    one.request("POST", f"auth/{KUBERNETES}/role/{one.name}-operator", {"token_policies": policies})
    assert not (await mount.read("biospark/x")).exists
    one.request("DELETE", f"sys/policies/acl/{one.name}-more")


async def test_a_missing_right_names_path_and_capability_and_costs_no_login_while_the_token_is_young(
    one: Site, vaults: Vaults
) -> None:
    vault = vaults.at(one.address, one.admit('path "secret/data/biospark/*" { capabilities = ["read"] }'))
    for _ in range(3):
        with pytest.raises(MissingRightError, match="create and update at secret/data/biospark/x") as caught:
            await vault.ask("write", lambda api: api.plain.post("/v1/secret/data/biospark/x", json={}), write=True)
        assert caught.value.reason == Reason.VAULT_ACCESS_DENIED
    assert len(one.tokens()) == 1


async def test_tokens_that_are_never_good_do_not_make_logins_without_end(
    one: Site, vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_server, "LOGINS", 4)
    vault = vaults.at(one.address, one.admit(token_num_uses=1, token_no_default_policy=True))
    reasons = set()
    for _ in range(12):
        try:
            await vault.ask("read", lambda api: api.plain.get("/v1/secret/data/biospark/x"))
        except OutsideError as error:
            reasons.add(error.reason)
    assert reasons == {Reason.VAULT_LOGIN_REFUSED}


async def test_closing_gives_the_token_back(site: Site) -> None:
    vaults = Vaults()
    await looked_up(vaults.at(site.address, site.admit()))
    assert len(site.tokens()) == 1
    await vaults.close()
    assert site.tokens() == []


async def test_the_token_of_the_service_account_is_read_anew_for_each_login(
    one: Site, vaults: Vaults, token_file: Path, token_of: TokenOf, account: tuple[str, str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(vault_server, "REFUSED", 0.0)
    vault = vaults.at(one.address, one.admit())
    good = token_file.read_text()
    token_file.write_text("not one")
    assert (await refusal(vault)).reason == Reason.VAULT_LOGIN_REFUSED
    token_file.unlink()
    assert "can't be read at" in (await refusal(vault)).message
    token_file.write_text(good)
    assert (await looked_up(vault))["meta"]["service_account_name"] == account[1]


async def test_a_role_that_does_not_exist_is_told_as_that(site: Site, vaults: Vaults) -> None:
    problem = await refusal(vaults.at(site.address, replace(site.admit(), role="nobody")))
    assert isinstance(problem, AccessError)
    assert problem.reason == Reason.VAULT_ROLE_MISSING


async def test_a_role_that_has_just_been_made_lets_in_at_a_standby(lagging: Site, vaults: Vaults) -> None:
    await looked_up(vaults.at(lagging.address, lagging.admit()))


async def test_an_auth_method_that_is_not_enabled_is_told_with_all_causes(site: Site, vaults: Vaults) -> None:
    problem = await refusal(vaults.at(site.address, replace(site.admit(), mount="elsewhere")))
    assert problem.reason == Reason.VAULT_LOGIN_REFUSED
    assert all(cause in problem.message for cause in ("not enabled", "API server", "reviewer", "operator's token"))


@pytest.mark.parametrize(
    ("name", "audience"), [(None, "another"), ("default", "vault")], ids=["audience", "ServiceAccount"]
)
async def test_a_role_for_somebody_else_is_told_as_that(
    one: Site, vaults: Vaults, token_file: Path, token_of: TokenOf, account: tuple[str, str], name: str, audience: str
) -> None:
    token_file.write_text(token_of(name or account[1], audience, 600))
    problem = await refusal(vaults.at(one.address, one.admit()))
    assert problem.reason == Reason.VAULT_LOGIN_REFUSED
    assert "bound names, namespaces and audience" in problem.message


async def test_an_api_server_that_the_server_does_not_reach_touches_no_token_that_is_good(
    one: Site, vaults: Vaults, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_server, "REFUSED", 0.0)
    mount = f"{one.name}-kubernetes"
    one.server.trust(Path(kubeconfig), mount)
    role = f"auth/{mount}/role/{one.name}-operator"
    fields = one.request("GET", f"auth/{KUBERNETES}/role/{one.admit().role}")["data"]
    one.request("POST", role, fields)
    vault = vaults.at(one.address, Login(mount, f"{one.name}-operator", one.token_file))
    await looked_up(vault)
    config = one.request("GET", f"auth/{mount}/config")["data"]
    one.request("POST", f"auth/{mount}/config", {**config, "kubernetes_host": "https://127.0.0.1:1"})
    await looked_up(vault)
    fresh = Vaults()
    problem = await refusal(fresh.at(one.address, Login(mount, f"{one.name}-operator", one.token_file)))
    assert problem.reason == Reason.VAULT_LOGIN_REFUSED
    await fresh.close()
    one.request("DELETE", f"sys/auth/{mount}")


async def test_a_namespace_that_does_not_exist_is_told_as_that(one: Site, vaults: Vaults) -> None:
    address = Address(one.address.url, "nowhere")
    problem = await refusal(vaults.at(address, one.admit()))
    assert problem.reason == Reason.VAULT_NAMESPACE_MISSING
    health = await vaults.at(address, one.admit()).health()
    assert health is not None
    assert not health.sealed


async def test_secrets_are_kept_in_a_namespace(one: Site, vaults: Vaults, kubeconfig: str) -> None:
    one.request("POST", f"sys/namespaces/{one.name}", {})
    prefix = f"{one.name}/"
    one.request("POST", f"{prefix}sys/mounts/{KV}", {"type": "kv", "options": {"version": "2"}})
    one.request("POST", f"{prefix}sys/auth/{KUBERNETES}", {"type": "kubernetes"})
    with ClusterApi(Path(kubeconfig)) as api:
        one.request("POST", f"{prefix}auth/{KUBERNETES}/config", reviewing(api))
    one.request("PUT", f"{prefix}sys/policies/acl/all", {"policy": 'path "*" { capabilities = ["create", "read"] }'})
    fields = one.request("GET", f"auth/{KUBERNETES}/role/{one.admit().role}")["data"]
    role = {**fields, "token_policies": ["all"]}
    one.request("POST", f"{prefix}auth/{KUBERNETES}/role/{one.name}-operator", role)
    login = Login(KUBERNETES, f"{one.name}-operator", one.token_file)
    mount = Mount(vaults.at(replace(one.address, namespace=one.name), login), KV)
    await mount.write("biospark/x", {"word": "inside"}, 0)
    assert one.request("GET", f"{KV}/data/biospark/x") is None
    assert one.request("GET", f"{prefix}{KV}/data/biospark/x")["data"]["data"] == {"word": "inside"}
