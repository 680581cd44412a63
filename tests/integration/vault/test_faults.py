"""What goes wrong with a real server, each with a reason of its own, and that it heals by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import server as vault_server
from biospark_operator.clients.vault import transport
from biospark_operator.clients.vault.errors import Answer, UncertainError
from biospark_operator.clients.vault.kv import Mount
from biospark_operator.clients.vault.server import Vault, Vaults
from biospark_operator.clients.vault.transport import Address, Api
from biospark_operator.engine.errors import AccessError, NotLeaderError, OutsideError, UnavailableError
from dev.cluster.openbao import KV, Server
from dev.cluster.postgres import free_port
from tests.openbao import Site, server

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is refused be tried again at once."""
    monkeypatch.setattr(vault_server, "REFUSED", 0.0)
    monkeypatch.setattr(vault_server, "DOWN", 0.0)
    monkeypatch.setattr(vault_server, "LOGINS", 1000)


@pytest.fixture
def own(kubeconfig: str, token_file: Path, account: tuple[str, str]) -> Iterator[Site]:
    """A group of one that the test may stop and seal."""
    with server(1, "faults") as running:
        running.trust(Path(kubeconfig))
        yield Site(running, running.nodes[0], token_file, account)


async def problem_of(vault: Vault) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await Mount(vault, KV).read("biospark/x")
    return caught.value


async def until(reason: Reason, attempt: Callable[[], Awaitable[object]]) -> OutsideError:
    """Try until it fails for this reason."""
    async with asyncio.timeout(60):
        while True:
            try:
                await attempt()
            except OutsideError as error:
                if error.reason == reason:
                    return error
            await asyncio.sleep(0.02)


def written(api: Api) -> Answer:
    """Make a write."""
    answer: Answer = api.plain.post("/v1/secret/data/x", json={"data": {"word": "x"}})
    return answer


async def healed(vault: Vault) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(OutsideError):
                await Mount(vault, KV).read("biospark/x")
                return
            await asyncio.sleep(0.1)


async def test_a_sealed_server_is_told_as_that_before_and_after_the_login(own: Site, vaults: Vaults) -> None:
    known, new = (vaults.at(own.address, replace(own.admit(), token_file=file)) for file in _two(own.token_file))
    await healed(known)
    own.server.seal()
    for vault in (known, new):
        first, second = await problem_of(vault), await problem_of(vault)
        assert isinstance(first, UnavailableError)
        assert (first.reason, first.message) == (Reason.VAULT_SEALED, second.message)
    own.server.unseal(own.node)
    own.server.await_leader()
    for vault in (known, new):
        await healed(vault)


async def test_a_server_that_was_stopped_is_told_as_unreachable_and_used_again(own: Site, vaults: Vaults) -> None:
    vault = vaults.at(own.address, own.admit())
    await healed(vault)
    own.server.stop(own.node, grace=0)
    assert (await problem_of(vault)).reason == Reason.VAULT_UNREACHABLE
    assert await vault.health() is None
    own.server.up()
    await healed(vault)


async def test_a_server_that_is_silent_holds_nobody_up_and_a_write_there_is_uncertain(
    own: Site, vaults: Vaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER", 0.5)
    monkeypatch.setattr(transport, "CONNECT", 0.5)
    vault = vaults.at(own.address, own.admit())
    await healed(vault)
    own.server.pause(own.node)
    try:
        with pytest.raises(UncertainError) as caught:
            await vault.ask("write", written, write=True)
        assert caught.value.reason == Reason.VAULT_UNREACHABLE
        assert (await problem_of(vault)).reason == Reason.VAULT_UNREACHABLE
    finally:
        own.server.resume(own.node)
    await healed(vault)


async def test_a_server_that_is_not_initialized_is_told_as_that(
    vaults: Vaults, token_file: Path, account: tuple[str, str], one: Site
) -> None:
    with server(1, "new", usable=False) as running:
        site = Site(running, running.nodes[0], token_file, account)
        assert (await problem_of(vaults.at(site.address, one.admit()))).reason == Reason.VAULT_NOT_INITIALIZED


async def test_without_a_leader_a_standby_is_told_as_that_and_no_redirect_is_followed(
    vaults: Vaults, kubeconfig: str, token_file: Path, account: tuple[str, str]
) -> None:
    with server(2, "leaderless") as running:
        running.trust(Path(kubeconfig))
        active, standby = running.await_leader(), running.standby()
        site = Site(running, standby, token_file, account)
        vault = vaults.at(site.address, site.admit())
        await healed(vault)
        running.stop(active, grace=0)
        problem = await until(Reason.VAULT_NO_LEADER, lambda: vault.ask("write", written, write=True))
        assert isinstance(problem, UnavailableError)
        running.start(active)
        running.unseal(active)
        running.await_leader()
        await healed(vault)
        await Mount(vault, KV).write(f"biospark/{site.name}", {"word": "x"}, 0)


async def test_with_a_blocked_audit_log_what_was_written_all_the_same_is_found_afterwards(
    vaults: Vaults, kubeconfig: str, token_file: Path, account: tuple[str, str], tmp_path: Path
) -> None:
    link = tmp_path / "audit.log"
    link.symlink_to(tmp_path / "real.log")
    with server(1, "audit", link) as running:
        running.trust(Path(kubeconfig))
        site = Site(running, running.nodes[0], token_file, account)
        vault = vaults.at(site.address, site.admit())
        mount = Mount(vault, KV)
        await mount.write("biospark/x", {"word": "before"}, 0)
        async with _blocked(running, link, vault):
            with pytest.raises(UnavailableError) as caught:
                await mount.write("biospark/x", {"word": "meanwhile"}, 1)
            assert caught.value.reason == Reason.VAULT_FAILING
            health = await vault.health()
            assert health is not None
            assert not health.sealed
        await healed(vault)
        entry = await mount.read("biospark/x")
        if entry.version == 1:
            await mount.write("biospark/x", {"word": "meanwhile"}, 1)
            entry = await mount.read("biospark/x")
        assert (entry.version, entry.data) == (2, {"word": "meanwhile"})


async def test_a_quota_is_told_as_that(own: Site, vaults: Vaults) -> None:
    vault = vaults.at(own.address, own.admit())
    await healed(vault)
    own.request("POST", "sys/quotas/rate-limit/test", {"rate": 0.1, "path": f"{KV}/"})
    await until(Reason.VAULT_QUOTA_EXCEEDED, lambda: Mount(vault, KV).read("biospark/x"))
    own.request("DELETE", "sys/quotas/rate-limit/test")
    await healed(vault)


async def test_a_certificate_of_another_authority_or_name_is_refused(
    group: Server, lagging: Site, own: Site, vaults: Vaults
) -> None:
    strange = replace(lagging.address, authority=own.address.authority)
    problem = await problem_of(vaults.at(strange, lagging.admit()))
    assert isinstance(problem, AccessError)
    assert problem.reason == Reason.VAULT_CERTIFICATE_REFUSED
    assert "caSecretRef" in problem.message
    named = replace(lagging.address, url=lagging.address.url.replace("127.0.0.1", "127.1"))
    problem = await problem_of(vaults.at(named, lagging.admit()))
    assert problem.reason == Reason.VAULT_CERTIFICATE_REFUSED
    assert "does not name this address" in problem.message


async def test_the_authorities_of_the_system_are_not_trusted_beside_the_one_that_is_named(
    lagging: Site, vaults: Vaults
) -> None:
    problem = await problem_of(vaults.at(replace(lagging.address, authority=None), lagging.admit()))
    assert problem.reason == Reason.VAULT_CERTIFICATE_REFUSED


async def test_the_wrong_scheme_is_told_as_that(lagging: Site, one: Site, vaults: Vaults) -> None:
    plain = Address(lagging.address.url.replace("https", "http"))
    problem = await problem_of(vaults.at(plain, lagging.admit()))
    assert problem.reason == Reason.VAULT_UNREACHABLE
    assert "expects https" in problem.message
    secure = Address(one.address.url.replace("http", "https"))
    problem = await problem_of(vaults.at(secure, one.admit()))
    assert problem.reason == Reason.VAULT_CERTIFICATE_REFUSED
    assert "scheme and port" in problem.message


@pytest.mark.parametrize("url", ["http://nowhere.invalid:8200", None])
async def test_an_address_where_nobody_is_is_told_as_unreachable(one: Site, vaults: Vaults, url: str | None) -> None:
    address = Address(url or f"http://127.0.0.1:{free_port('127.0.0.1')}")
    assert (await problem_of(vaults.at(address, one.admit()))).reason == Reason.VAULT_UNREACHABLE


async def test_a_process_that_may_not_act_any_more_reads_and_writes_nothing(site: Site) -> None:
    def may_not() -> None:
        raise NotLeaderError

    fenced = Vaults(may_act=may_not)
    mount = Mount(fenced.at(site.address, site.admit()), KV)
    assert not (await mount.read(f"biospark/{site.name}")).exists
    for attempt in (
        mount.write(f"biospark/{site.name}", {"word": "x"}, 0),
        mount.mark(f"biospark/{site.name}", {"uid": "x"}, 1, None),
        mount.delete(f"biospark/{site.name}"),
    ):
        with pytest.raises(NotLeaderError):
            await attempt
    await fenced.close()
    assert site.request("GET", f"{KV}/metadata/biospark/{site.name}") is None


def _two(file: Path) -> tuple[Path, Path]:
    copy = file.with_name("copy")
    copy.write_text(file.read_text())
    return file, copy


@asynccontextmanager
async def _blocked(running: Server, link: Path, vault: Vault) -> AsyncIterator[None]:
    """Let the audit log go where nothing can be written, and wait until the server does."""
    before = link.readlink()
    _led_to(link, Path("/dev/full"))
    running.reload()
    await until(Reason.VAULT_FAILING, lambda: vault.ask("look", lambda api: api.auth.token.lookup_self()))
    try:
        yield
    finally:
        _led_to(link, before)
        running.reload()


def _led_to(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)
