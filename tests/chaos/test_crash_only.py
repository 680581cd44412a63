"""The operator may be killed at any moment: nothing is leaked, nothing doubled, nothing forgotten.

Each change of an environment is made once without a kill, which gives the list of the calls that it takes, requests
to the API server and SQL statements, and what is there in the end. Then it is made again for each of these calls, and
the operator is killed (SIGKILL) just before the server gets the call, or after it answered and before the operator
knows. A new process takes over; the end must be the same. New components are covered as soon as they make calls.

With BIOSPARK_LONG=1 there is a kill at every call, requests that read included, and at writes both before and after.
Else there are some at writes, which ones and whether before or after is drawn anew each day; BIOSPARK_SEED draws
others. The summary of the run tells them.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import itertools
import json
import os
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.components import outside
from biospark_operator.components.database.credentials import APP_SECRET
from dev.deploy import NAMESPACE
from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import Moment
from tests.chaos.footprint import Footprint, opened
from tests.chaos.forked import forked
from tests.chaos.killing import ENVIRONMENTS, Act, Kill, Point, Stage, Watched, kills_at
from tests.chaos.sqlfootprint import sql_footprint
from tests.chaos.sqlproxy import SqlProxy
from tests.operator_process import Operator
from tests.postgres import Site, server

LONG = os.environ.get("BIOSPARK_LONG") == "1"
SEED = os.environ.get("BIOSPARK_SEED") or datetime.datetime.now(datetime.UTC).date().isoformat()
#: Kills at most for each change in the short form, at requests and at statements each.
MOST = 7
#: Seconds after its begin from which on a deletion waits for the namespace to go; Kubernetes lets five pass.
WAITING = 2.5

PLANTED = "planted-password"
ADMIN = "database-admin"
CREDENTIALS = base64.b64encode(
    json.dumps({"auths": {"registry.example": {"username": "robot", "password": PLANTED}}}).encode()
).decode()

Say = Callable[[str, object], None]


def spec(name: str) -> dict[str, Any]:
    """An environment with something of everything."""
    return {
        "profile": "Development",
        "host": f"{name}.biospark.example",
        "registry": {"pullSecretRef": {"name": f"pull-{name}"}},
        "access": {"bindings": [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "auditors"}]}]},
        "network": {"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]},
        "api": {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}},
        "database": {"connectionLimit": 90, "extensions": [{"name": "pg_trgm"}]},
        "deletionPolicy": "Delete",
    }


def changed_spec(name: str) -> dict[str, Any]:
    """The same after a change that creates, updates and prunes: other binding, route and limit, no autoscaler."""
    return {
        **spec(name),
        "profile": "Staging",
        "access": {"bindings": [{"role": "Developer", "subjects": [{"kind": "Group", "name": "builders"}]}]},
        "network": {"egress": [{"name": "archive", "cidr": "10.8.0.0/16", "ports": [{"port": 443}]}]},
        "api": {"replicas": 2},
        "database": {"connectionLimit": 120, "extensions": [{"name": "pg_trgm"}]},
    }


@pytest.fixture(scope="module")
def postgres() -> Iterator[Site]:
    """A server, and an administrator who may only create databases and roles."""
    with server(18, "crash") as running:
        yield Site(running, superuser=False).__enter__()  # what it leaves goes with the server


@pytest.fixture
async def stage(control_plane: str, proxy: ApiProxy, postgres: Site, tmp_path: Path) -> AsyncIterator[Stage]:
    """An operator that a test may kill. No process may meet a defect or tell a secret on the way."""
    kubeconfig, server = proxy.kubeconfig(tmp_path), postgres.server
    async with opened(control_plane) as api, SqlProxy(server.address, server.port, proxy) as statements:
        login = {"username": postgres.admin, "password": postgres.password}
        admin = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ADMIN}, "stringData": login}
        await api.apply(f"/api/v1/namespaces/{NAMESPACE}/secrets/{ADMIN}", admin)
        where = {"host": "127.0.0.1", "port": statements.port, "sslMode": "Disable", "adminSecretRef": {"name": ADMIN}}
        settings = {"PLATFORM__DATABASE": json.dumps(where)}
        operator = Operator(kubeconfig, tmp_path / "operator.log", settings=settings, spawn=forked).start()

        async def databases(name: str) -> Footprint:
            secret = await api.get(f"/api/v1/namespaces/biospark-{name}/secrets/{APP_SECRET}")
            return await asyncio.to_thread(sql_footprint, postgres, name, secret)

        made = Stage(api, proxy, statements, operator, databases)
        yield made
        if operator.alive:
            operator.kill()
        for name in made.told:
            if await api.get(f"{ENVIRONMENTS}/{name}"):
                await api.release(f"{ENVIRONMENTS}/{name}")
                await api.delete(f"{ENVIRONMENTS}/{name}")
            await api.delete(f"/api/v1/namespaces/biospark-{name}")
            await api.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets/pull-{name}")
    log = operator.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:6000]
    for secret in (PLANTED, CREDENTIALS, postgres.password):
        assert secret not in log


@pytest.fixture
def say(record_property: Say) -> Say:
    """Tell something that the summary of the run shows."""
    return record_property


async def named(stage: Stage) -> str:
    """Return the name of an environment that does not exist yet, with the pull secret it refers to."""
    name = f"c{uuid.uuid4().hex[:8]}"
    stage.told[name] = []
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": f"pull-{name}", "annotations": {outside.ENVIRONMENTS: name}},
        "data": {".dockerconfigjson": CREDENTIALS},
    }
    await stage.api.apply(f"/api/v1/namespaces/{NAMESPACE}/secrets/pull-{name}", secret)
    return name


def applying(stage: Stage, name: str, wanted: dict[str, Any]) -> Act:
    body = {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name},
        "spec": wanted,
    }
    return lambda: stage.api.apply(f"{ENVIRONMENTS}/{name}", body)


def deleting(stage: Stage, name: str) -> Act:
    return lambda: stage.api.delete(f"{ENVIRONMENTS}/{name}")


def chosen(points: Sequence[Point], what: str, say: Say, most: int = MOST) -> list[Kill]:
    """Return the kills of this run, of which there are at most `most` in the short form, and tell them."""
    if LONG:
        kills = kills_at(points)
        say(what, f"{len(kills)} kills, at all of {len(points)} calls")
        return kills
    rng = random.Random(f"{SEED} {what}")
    writes = [point for point in points if point.mutating]
    kinds = [[index for index, point in enumerate(writes) if point.sql is sql] for sql in (False, True)]
    some = sorted(index for kind in kinds for index in rng.sample(kind, min(most, len(kind))))
    kills = [Kill(writes[index], rng.choice(list(Moment))) for index in some]
    listed = ", ".join(str(kill) for kill in kills)
    say(what, f"{len(kills)} kills, at {len(kills)} of {len(writes)} writes (BIOSPARK_SEED={SEED}): {listed}")
    return kills


def check_met(missed: Sequence[Kill], what: str, say: Say) -> None:
    """How often the status is written is a matter of time. What is written once in one run is so in all."""
    say(what, f"calls that were not made again: {', '.join(str(kill.point) for kill in missed) or 'none'}")
    assert not [kill for kill in missed if kill.point.mutating and not kill.point.occurrence]


async def test_a_change_ends_the_same_wherever_the_operator_is_killed(stage: Stage, say: Say) -> None:
    name = await named(stage)
    there, back = applying(stage, name, changed_spec(name)), applying(stage, name, spec(name))
    await stage.watched(name, back)
    # The way there begins with one ReplicaSet less than all later ones, but ends as they do.
    forth = await stage.watched(name, there)
    home = await stage.watched(name, back)
    assert {point.method for point in forth.points} >= {"PATCH", "DELETE"}
    missed: list[Kill] = []

    async def go(act: Act, way: Watched, kill: Kill | None) -> None:
        if kill is None:
            await act()
        elif not await stage.killed(name, act, kill, way.end):
            missed.append(kill)
        await stage.becomes(name, way.end)

    ways = chosen(forth.points, "change", say), chosen(home.points, "change back", say)
    for forward, backward in itertools.zip_longest(*ways):
        await go(there, forth, forward)
        await go(back, home, backward)
    # The change is taken back while nobody works: what it had begun to make is nobody's wish any more.
    for kill in chosen(forth.points, "change that is taken back", say, most=4):
        if not await stage.killed(name, there, kill, forth.end, meanwhile=back):
            missed.append(kill)
            await back()
        await stage.becomes(name, home.end)
    assert not await stage.differences([name], home.end)
    check_met(missed, "change", say)


async def test_a_first_pass_and_a_deletion_end_the_same_wherever_the_operator_is_killed(stage: Stage, say: Say) -> None:
    first = await named(stage)
    made = await stage.watched(first, applying(stage, first, spec(first)))
    gone = await stage.watched(first, deleting(stage, first))
    assert gone.end == {"v1 Secret made by others": 1}, "the pull secret is the test's, all else shall be gone"
    await check_events(stage, first, processes=1)
    missed: list[Kill] = []
    born: dict[str, int] = {}

    async def begun() -> str:
        name = await named(stage)
        born[name] = stage.kills
        return name

    async def create(name: str, kill: Kill | None) -> None:
        act = applying(stage, name, spec(name))
        if kill is None:
            await act()
        elif not await stage.killed(name, act, kill, made.end):
            missed.append(kill)
        await stage.becomes(name, made.end)

    async def delete(name: str, kill: Kill | None) -> None:
        act = deleting(stage, name)
        if kill is None:
            await act()
        elif not await stage.killed(name, act, kill, gone.end):
            missed.append(kill)

    creations, deletions = chosen(made.points, "first pass", say), chosen(gone.points, "deletion", say)
    # A namespace takes seconds to go. Nobody waits for that: the next environment is made and killed meanwhile. So
    # kills at what comes after it are made last, all at once.
    late = {point for point, at in zip(gone.points, gone.times, strict=True) if at > WAITING}
    deletions.sort(key=lambda kill: kill.point in late)
    waiting: list[asyncio.Task[None]] = []
    for creation, deletion in itertools.zip_longest(creations, deletions):
        name = await begun()
        await create(name, creation)
        deleted = asyncio.create_task(delete(name, deletion))
        if deletion is not None and deletion.point in late:
            waiting.append(deleted)
        else:
            await deleted
    await asyncio.gather(*waiting)
    # What was only begun is deleted while nobody works.
    for kill in chosen(made.points, "first pass of what is deleted at once", say, most=4):
        name = await begun()
        remove = deleting(stage, name)
        if not await stage.killed(name, applying(stage, name, spec(name)), kill, made.end, meanwhile=remove):
            missed.append(kill)
            await remove()
    for name, kills in born.items():
        await stage.becomes(name, gone.end)
        await check_events(stage, name, processes=stage.kills - kills + 1)
    assert not await stage.differences(born, gone.end)
    leases = (await stage.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"))["items"]
    assert [lease["metadata"]["name"] for lease in leases] == ["biospark-operator"]
    check_met(missed, "first pass and deletion", say)


async def check_events(stage: Stage, name: str, processes: int) -> None:
    """No process tells the same twice."""
    events = (await stage.api.get("/apis/events.k8s.io/v1/namespaces/default/events"))["items"]
    often = Counter((event["reason"], event["note"]) for event in events if event["regarding"]["name"] == name)
    assert [event for event, count in often.items() if count > processes] == []
    assert {"Deleted", "Progressing"} <= {reason for reason, _ in often} or processes > 1
