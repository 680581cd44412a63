"""Secrets on real servers: what is written is read at once, from a standby too, and nobody's writes are lost."""

from __future__ import annotations

import asyncio

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault.errors import ConflictError
from biospark_operator.clients.vault.kv import Entry, Mount
from biospark_operator.clients.vault.server import Vault, Vaults
from biospark_operator.engine.errors import AccessError, RejectedError
from dev.cluster.openbao import KV
from tests.openbao import Site

pytestmark = pytest.mark.integration


@pytest.fixture
def mount(vault: Vault) -> Mount:
    return Mount(vault, KV)


@pytest.fixture
def path(site: Site) -> str:
    return f"biospark/{site.name}/database"


async def test_nothing_is_there_before_the_first_write(mount: Mount, path: str) -> None:
    assert await mount.read(path) == Entry()
    assert await mount.metadata(path) is None
    assert not Entry().exists


async def test_what_was_written_is_read_at_once(mount: Mount, path: str) -> None:
    for version in range(20):
        assert await mount.write(path, {"word": f"number {version}"}, version) == version + 1
        assert await mount.read(path) == Entry(version + 1, {"word": f"number {version}"})


async def test_many_writers_at_once_read_what_they_wrote(mount: Mount, path: str) -> None:
    async def live(number: int) -> None:
        for version in range(5):
            await mount.write(f"{path}-{number}", {"word": str(version)}, version)
            assert (await mount.read(f"{path}-{number}")).data == {"word": str(version)}

    await asyncio.gather(*(live(number) for number in range(6)))


async def test_of_two_writers_the_second_is_refused(mount: Mount, path: str) -> None:
    await mount.write(path, {"word": "first"}, 0)
    for expected in (0, 2):
        with pytest.raises(ConflictError):
            await mount.write(path, {"word": "second"}, expected)
    assert (await mount.read(path)).data == {"word": "first"}


async def test_a_deleted_version_is_nothing_but_counts(mount: Mount, path: str, site: Site) -> None:
    await mount.write(path, {"word": "old"}, 0)
    site.request("DELETE", f"{KV}/data/{path}")
    async with asyncio.timeout(10):
        while (entry := await mount.read(path)).data is not None:
            await asyncio.sleep(0.05)
    assert entry.version == 1
    assert await mount.write(path, {"word": "new"}, entry.version) == 2


async def test_a_version_that_will_be_deleted_is_there_until_then(mount: Mount, path: str, site: Site) -> None:
    site.request("POST", f"{KV}/metadata/{path}", {"delete_version_after": "1h"})
    await mount.write(path, {"word": "for an hour"}, 0)
    assert (await mount.read(path)).data == {"word": "for an hour"}


async def test_marks_are_merged_and_nothing_else_of_the_metadata_changes(mount: Mount, path: str, site: Site) -> None:
    settings = {"delete_version_after": "2h", "cas_required": True, "custom_metadata": {"team": "data"}}
    site.request("POST", f"{KV}/metadata/{path}", settings)
    async with asyncio.timeout(10):
        while (before := await mount.metadata(path)) is None:
            await asyncio.sleep(0.05)
    await mount.mark(path, {"managed-by": "biospark"}, 5, before)
    stored = site.request("GET", f"{KV}/metadata/{path}")["data"]
    assert stored["custom_metadata"] == {"team": "data", "managed-by": "biospark"}
    assert (stored["delete_version_after"], stored["cas_required"], stored["max_versions"]) == ("2h0m0s", True, 5)


async def test_marks_come_with_the_secret(mount: Mount, path: str) -> None:
    await mount.mark(path, {"uid": "1234"}, 3, None)
    assert await mount.read(path) == Entry(0, None, {"uid": "1234"})
    await mount.write(path, {"word": "x"}, 0)
    assert await mount.read(path) == Entry(1, {"word": "x"}, {"uid": "1234"})


async def test_of_two_who_mark_what_is_new_the_second_is_refused(mount: Mount, path: str) -> None:
    await mount.mark(path, {"uid": "first"}, 3, None)
    with pytest.raises(ConflictError):
        await mount.mark(path, {"uid": "second"}, 3, None)
    found = await mount.metadata(path)
    assert found is not None
    assert found.marks == {"uid": "first"}


async def test_who_marks_what_another_one_marked_meanwhile_is_refused(mount: Mount, path: str) -> None:
    await mount.mark(path, {"uid": "first"}, 3, None)
    before = await mount.metadata(path)
    await mount.mark(path, {"more": "of it"}, 3, before)
    with pytest.raises(ConflictError):
        await mount.mark(path, {"uid": "second"}, 3, before)


async def test_no_more_versions_are_kept_than_was_said(mount: Mount, path: str, site: Site) -> None:
    await mount.mark(path, {"uid": "1234"}, 2, None)
    for version in range(4):
        await mount.write(path, {"word": str(version)}, version)
    assert sorted(site.request("GET", f"{KV}/metadata/{path}")["data"]["versions"]) == ["3", "4"]


async def test_deleting_leaves_neither_versions_nor_metadata(mount: Mount, path: str, site: Site) -> None:
    await mount.mark(path, {"uid": "1234"}, 3, None)
    await mount.write(path, {"word": "x"}, 0)
    await mount.write(path, {"word": "y"}, 1)
    await mount.delete(path)
    assert await mount.read(path) == Entry()
    assert site.request("GET", f"{KV}/metadata/{path}") is None
    await mount.delete(path)


async def test_values_of_others_that_are_no_strings_are_read_as_text(mount: Mount, path: str, site: Site) -> None:
    site.request("POST", f"{KV}/data/{path}", {"data": {"number": 5, "list": ["x"]}})
    async with asyncio.timeout(10):
        while (entry := await mount.read(path)).data is None:
            await asyncio.sleep(0.05)
    assert entry.data == {"number": "5", "list": '["x"]'}


async def test_a_mount_of_version_1_is_refused_before_anything_is_read_or_written(
    vault: Vault, site: Site, path: str
) -> None:
    site.request("POST", f"sys/mounts/{site.name}-v1", {"type": "kv", "options": {"version": "1"}})
    mount = Mount(vault, f"{site.name}-v1")
    for attempt in (mount.read(path), mount.write(path, {"word": "x"}, 0), mount.delete(path)):
        with pytest.raises(AccessError) as caught:
            await attempt
        assert caught.value.reason == Reason.VAULT_MOUNT_INVALID
    assert site.request("LIST", f"{site.name}-v1/biospark") is None
    site.request("DELETE", f"sys/mounts/{site.name}-v1")


@pytest.mark.parametrize("name", ["nowhere", "sys", "cubbyhole", "secret/biospark"])
async def test_a_mount_that_is_none_of_secrets_is_refused(one: Site, vaults: Vaults, name: str) -> None:
    with pytest.raises(AccessError) as caught:
        await Mount(vaults.at(one.address, one.admit()), name).read("biospark/x")
    assert caught.value.reason == Reason.VAULT_MOUNT_INVALID


@pytest.mark.parametrize("path", ["a//b", "/a", "a/", "../a", "a/./b", "A", "a/*", "a+b", "", "a b", "a%2fb", "{{x}}"])
async def test_a_path_that_would_lead_elsewhere_is_not_sent(one: Site, vaults: Vaults, path: str) -> None:
    mount = Mount(vaults.at(one.address, one.admit()), KV)
    for attempt in (mount.read(path), mount.write(path, {"word": "x"}, 0), mount.delete(path)):
        with pytest.raises(RejectedError) as caught:
            await attempt
        assert caught.value.reason == Reason.INVALID_SPEC
