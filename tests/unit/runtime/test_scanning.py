"""What kopf is told of our resource while its definition goes and comes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from kopf._cogs.clients import api
from kopf._cogs.clients import scanning as kopfs
from kopf._cogs.structs.references import Resource

from biospark_operator.runtime import scanning

OURS = Resource("biospark.ai", "v1alpha1", "biosparkenvironments", verbs=frozenset({"get", "list", "watch", "delete"}))
OTHER = Resource("", "v1", "bindings", verbs=frozenset({"create"}))


class ApiServer:
    """Lists what it serves, one answer after the other, and the definition."""

    def __init__(self, *served: Collection[Resource], defined: bool = True, going: bool = False) -> None:
        self.served, self.scans = list(served), 0
        metadata = {"name": "biosparkenvironments.biospark.ai", **({"deletionTimestamp": "now"} if going else {})}
        self.definitions = [{"metadata": metadata}] if defined else []
        self.asked: list[str] = []

    async def scan(self, **_: Any) -> Collection[Resource]:
        self.scans += 1
        return self.served.pop(0) if len(self.served) > 1 else self.served[0]

    async def get(self, url: str, **_: Any) -> Any:
        self.asked.append(url)
        return {"items": self.definitions}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "PAUSE", 0)
    monkeypatch.setattr(scanning, "LOOKS", 5)


async def found(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Collection[Resource]:
    monkeypatch.setattr(api, "get", server.get)
    return await scanning.Corrected(server.scan)(settings=None, logger=None)


async def test_environments_can_be_patched_while_their_definition_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = sorted(await found(ApiServer([OURS, OTHER]), monkeypatch), key=lambda r: r.group, reverse=True)
    assert ours.verbs == OURS.verbs | {"patch"}
    assert other == OTHER


async def test_a_definition_that_is_there_and_not_served_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer([], [OTHER], [OURS, OTHER])
    assert len(await found(server, monkeypatch)) == 2
    assert server.scans == 3
    assert "fieldSelector=metadata.name%3Dbiosparkenvironments.biospark.ai" in server.asked[0]


@pytest.mark.parametrize("server", [ApiServer([OTHER], defined=False), ApiServer([OTHER], going=True)])
async def test_a_definition_that_is_not_there_or_goes_is_not_waited_for(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await found(server, monkeypatch) == [OTHER]
    assert server.scans == 1


async def test_a_definition_that_is_never_served_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer([OTHER])
    assert await found(server, monkeypatch) == [OTHER]
    assert server.scans == scanning.LOOKS


def test_kopf_is_corrected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopfs, "scan_resources", ApiServer([]).scan)
    scanning.correct()
    corrected = kopfs.scan_resources
    scanning.correct()
    assert kopfs.scan_resources is corrected
    assert isinstance(corrected, scanning.Corrected)
