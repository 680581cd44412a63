"""No value of a Secret is anywhere but in that Secret and its copy, in whatever form.

Pull secrets with planted values are given to a real operator process that logs at DEBUG, good ones and all kinds of
bad ones, and the API server refuses a copy with words that quote the value. Then everything that can be read is
searched: every object of the cluster, the log, the metrics. The same for what the operator makes itself: signing key
and passwords, also those that were replaced.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from biospark_operator.components.outside import ENVIRONMENTS
from biospark_operator.objects import secret_data
from dev import deploy
from dev.deploy import NAMESPACE, Tools
from tests.chaos.faults import Answer, Call
from tests.integration.all_objects import Place, all_objects
from tests.integration.restricted import Restricted, apply, ask_again, passed, restricted
from tests.operator_process import Site
from tests.postgres import server as postgres_server

pytestmark = pytest.mark.integration

TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
#: Bytes that etcd takes at most for one object, nearly.
HUGE = 900_000


@dataclass(frozen=True)
class Planted:
    """A value that must not be seen. It has characters that every encoding writes in another way."""

    value: str

    @classmethod
    def new(cls) -> Planted:
        return cls(f'planted/{uuid.uuid4().hex}+"ü&%\\ =')

    def disguises(self) -> Iterator[str]:
        """Yield what the value looks like in a text, as it is or encoded."""
        in_json = [json.dumps(self.value)[1:-1], json.dumps(self.value, ensure_ascii=False)[1:-1]]
        yield from (*in_json, quote(self.value), quote(self.value, safe=""), quote_plus(self.value), repr(self.value))
        for plain in (self.value, *in_json):
            yield plain
            for once in base64_anywhere(plain.encode()):
                yield once
                # As in the auth field of a docker config, in the data of a Secret.
                yield from base64_anywhere(once.encode())

    def is_in(self, text: str) -> bool:
        """Whether the value is in a text."""
        unescaped = text.replace("\\\\", "\\").replace('\\"', '"')
        return any(disguise in where for disguise in self.disguises() for where in (text, unescaped))


def base64_anywhere(value: bytes) -> Iterator[str]:
    """Yield the base64 of a value in the midst of others: by where it begins it has one of three forms."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value).decode()
        # The first and the last characters are of the neighbours, too.
        inner = encoded[4 if offset else 0 : -4]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


def docker_config(planted: Planted, size: int = 0) -> str:
    auth = base64.b64encode(f"robot:{planted.value}".encode()).decode()
    registry = {"username": "robot", "password": planted.value, "auth": auth}
    return json.dumps({"auths": {"registry.example": registry, "other.example": {"auth": "x" * size}}})


#: Secrets that can't be used, by what is wrong with them.
BAD: Mapping[str, Callable[[Planted], tuple[str, Mapping[str, str]]]] = {
    "a-text": lambda planted: (TYPE, {KEY: json.dumps({"auths": planted.value})}),
    "no-registry": lambda planted: (TYPE, {KEY: json.dumps({"auths": {}, "note": planted.value})}),
    "a-list": lambda planted: (TYPE, {KEY: json.dumps({"auths": [planted.value]})}),
    "no-json": lambda planted: ("Opaque", {KEY: f"{{{planted.value}"}),
    "another-type": lambda planted: ("Opaque", {KEY: docker_config(planted)}),
    "another-key": lambda planted: ("Opaque", {"password": planted.value}),
}
#: How the API server, or a webhook behind it, refuses a Secret and quotes what is in it.
REFUSALS: Mapping[int, str] = {
    400: 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data: {value}',
    403: 'admission webhook "vault.example" denied the request: weak password {value}',
    409: "Operation cannot be fulfilled on secrets: {value}",
    422: 'Secret "biospark-registry" is invalid: data[.dockerconfigjson]: Invalid value: "{value}"',
    500: 'Internal error occurred: failed calling webhook "vault.example": {value}',
}


@dataclass(frozen=True)
class Quoting(Answer):
    """A refusal that quotes a value in its details as well."""

    @property
    def body(self) -> dict[str, Any]:
        cause = {"reason": "FieldValueInvalid", "message": self.message, "field": "data[.dockerconfigjson]"}
        return {**super().body, "details": {"name": "biospark-registry", "kind": "secrets", "causes": [cause]}}


class World:
    """The cluster with the operator, and where the planted value may be."""

    def __init__(self, run: Restricted, planted: Planted) -> None:
        self.run, self.planted, self.hidden = run, planted, set[Place]()
        self.tools = Tools(Path(run.kubeconfig))

    def give(self, name: str, type_: str, data: Mapping[str, str], **spec: Any) -> Site:
        """Create a Secret beside the operator, and an environment that refers to it."""
        metadata = {"name": name, "namespace": NAMESPACE, "annotations": {ENVIRONMENTS: "*"}}
        manifest = {"apiVersion": "v1", "kind": "Secret", "type": type_, "metadata": metadata, "stringData": data}
        apply(self.tools, [manifest])
        self.hidden.add(Place("", "secrets", NAMESPACE, name))
        site = self.run.site()
        site.apply(registry={"pullSecretRef": {"name": name}}, **spec)
        return site

    async def copied(self, site: Site) -> None:
        """Wait until the environment has its copy."""
        await becomes(site, ("True", "Succeeded"))
        self.hidden.add(copy_of(site))

    async def seen(self, *, also_where_it_may_be: bool = False) -> list[str]:
        """Return where in the cluster the value is found."""
        found = []
        objects = await asyncio.to_thread(all_objects, self.run.kubeconfig)
        for place, item in objects.items():
            known = place in self.hidden and not also_where_it_may_be
            looked_at = {key: value for key, value in item.items() if not (known and key == "data")}
            if self.planted.is_in("\n".join(strings(looked_at))):
                found.append(str(place))
        return sorted(found)

    def clean_up(self) -> None:
        for place in self.hidden:
            if place.namespace == NAMESPACE:
                self.tools.kubectl("delete", "secret", place.name, "-n", NAMESPACE, "--ignore-not-found")


def strings(value: Any) -> Iterator[str]:
    """Yield all keys and texts in an object."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield key
            yield from strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from strings(below)
    else:
        yield str(value)


def copy_of(site: Site) -> Place:
    return Place("", "secrets", site.namespace, "biospark-registry")


async def becomes(site: Site, wanted: tuple[str, str], seconds: float = 30) -> None:
    async def so() -> bool:
        return await site.told("RegistryReady") == wanted

    await site.until(so, f"RegistryReady becomes {wanted}", seconds)


async def test_no_value_of_a_pull_secret_is_seen_anywhere_else(own_control_plane: str, tmp_path: Path) -> None:
    async with restricted(own_control_plane, tmp_path) as run:
        world = World(run, Planted.new())
        try:
            await everything_that_touches_secrets(world)
            assert await world.seen() == []
            # The search finds what there is to find.
            assert await world.seen(also_where_it_may_be=True) == sorted(map(str, world.hidden))
            assert not world.planted.is_in(run.operator.log.read_text())
            assert not world.planted.is_in(run.operator.ask("/metrics")[1])
        finally:
            world.clean_up()


async def everything_that_touches_secrets(world: World) -> None:
    planted, good = world.planted, {KEY: docker_config(world.planted)}
    bad = [world.give(f"pull-{name}", *content(planted)) for name, content in BAD.items()]
    used, huge = world.give("pull-good", TYPE, good), world.give("pull-huge", TYPE, {KEY: docker_config(planted, HUGE)})
    plan = world.give("pull-plan", TYPE, good, mode="Plan")
    refused = world.give("pull-refused", TYPE, good)
    for site in bad:
        await becomes(site, ("False", "PullSecretInvalid"))
    for site in (used, huge, refused):
        await world.copied(site)
    await becomes(plan, ("Unknown", "PlanOnly"))
    assert "biospark-registry" in json.dumps((await plan.body())["status"]["plan"])
    await somebody_changes_the_copy(used, planted)
    await the_api_server_refuses(world, refused)


async def somebody_changes_the_copy(site: Site, planted: Planted) -> None:
    """Let the value be drift: what was there before the repair must not be told either."""
    foreign = base64.b64encode(json.dumps({"auths": {planted.value: {}}}).encode()).decode()
    patch = json.dumps({"data": {KEY: foreign}})
    site.kubectl("patch", "secret", "biospark-registry", "-n", site.namespace, "--type=merge", "-p", patch)

    async def repaired() -> bool:
        copy = await site.get("v1", "Secret", "biospark-registry")
        return copy is not None and copy["data"][KEY] != foreign

    await site.until(repaired, "the copy is put back")


async def the_api_server_refuses(world: World, site: Site) -> None:
    """Let each write of the copy, and each read of its source, be answered with words that quote the value."""
    copy = f"/api/v1/namespaces/{site.namespace}/secrets/biospark-registry"
    source = f"/api/v1/namespaces/{NAMESPACE}/secrets/pull-refused"
    for method, path, statuses in (("PATCH", copy, REFUSALS), ("GET", source, (403, 500))):
        for status in statuses:
            site.kubectl("delete", "secret", "biospark-registry", "-n", site.namespace, "--ignore-not-found")

            def matches(call: Call, method: str = method, path: str = path) -> bool:
                return (call.method, call.path) == (method, path)

            with world.run.proxy.add(
                matches, Quoting(status, REFUSALS[status].format(value=world.planted.value))
            ) as rule:
                # What did not change is not read again.
                site.kubectl("annotate", "secret", "pull-refused", "-n", NAMESPACE, "--overwrite", f"tried={status}")
                await rule.hit()
                await passed(site)
                assert await site.told("RegistryReady") not in (None, ("True", "Succeeded"))
    await ask_again(site)
    await world.copied(site)


async def test_no_value_that_was_made_is_seen_anywhere_else(own_control_plane: str, tmp_path: Path) -> None:
    with postgres_server(18) as server:
        async with restricted(own_control_plane, tmp_path) as run:
            deploy.hand_over(Tools(Path(run.kubeconfig)), server)
            site = run.site()
            site.apply(database={"server": deploy.database(server)}, api={"bootstrapAdmin": {"email": "a@b.example"}})
            await site.until(lambda: secrets_are_ready(site), "the secrets are ready", 60)
            made = [await made_values(site)]
            await the_api_server_refuses_a_repair(run, site, made[0])
            for break_it in ("the key", "the Secret"):
                await somebody_breaks(site, break_it)
                made.append(await made_values(site))
            plan = run.site()
            plan.apply(mode="Plan", database={"server": deploy.database(server)})
            await site.until(lambda: plan.told("SecretsReady"), "the plan is made")
            await passed(site)
            places = {Place("", "secrets", site.namespace, name) for name in MADE}
            objects = await asyncio.to_thread(all_objects, run.kubeconfig)
            log, metrics = run.operator.log.read_text(), run.operator.ask("/metrics")[1]
        texts = {str(place): "\n".join(strings(without_data(place, item, places))) for place, item in objects.items()}
        planted = [Planted(value) for values in made for value in values]
        assert len({value.value for value in planted}) >= 8
        shown = {"the log": log, "the metrics": metrics, "the server's log": server.log.read_text(), **texts}
        assert [where for where, text in shown.items() if any(value.is_in(text) for value in planted)] == []
        # The search finds what there is to find.
        last = [Planted(value) for value in made[-1]]
        held = "\n".join("\n".join(strings(objects[place])) for place in places)
        assert [value for value in last if not value.is_in(held)] == []


#: The Secrets with values that the operator makes.
MADE = ("biospark-api", "biospark-database", "biospark-database-reader")


def without_data(place: Place, item: Mapping[str, Any], known: set[Place]) -> Mapping[str, Any]:
    return {key: value for key, value in item.items() if not (place in known and key == "data")}


async def secrets_are_ready(site: Site) -> bool:
    return await site.told("SecretsReady") == await site.told("DatabaseReady") == ("True", "Succeeded")


async def made_values(site: Site) -> list[str]:
    """Return passwords, and of the private key a line of its middle: whoever shows it shows one of its lines."""
    values = []
    for name in MADE:
        found = await site.get("v1", "Secret", name)
        assert found is not None
        texts = secret_data.texts(found)
        values += [text for key, text in texts.items() if key.endswith("password")]
        values += [texts[key].splitlines()[10] for key in texts if key == "token-key.pem"]
    assert len(values) == 4
    return values


async def somebody_breaks(site: Site, what: str) -> None:
    """Let values be drift, and wait for others."""
    before = await made_values(site)
    if what == "the key":
        broken = '{"stringData":{"token-key.pem":"oh no"}}'
        site.kubectl("patch", "secret", "biospark-api", "-n", site.namespace, "--type=merge", "-p", broken)
    else:
        site.kubectl("delete", "secret", *MADE, "-n", site.namespace)

    async def others() -> bool:
        found = [await site.get("v1", "Secret", name) for name in MADE]
        keys = [(secret or {}).get("data", {}).get("token-key.pem") for secret in found]
        return all(found) and keys[0] != base64.b64encode(b"oh no").decode() and await made_values(site) != before

    await site.until(others, f"{what} is made anew", 40)


async def the_api_server_refuses_a_repair(run: Restricted, site: Site, made: list[str]) -> None:
    """Let the writes of a Secret, which hold a password, be answered with words that quote it."""
    path = f"/api/v1/namespaces/{site.namespace}/secrets/biospark-api"
    removed = '{"data":{"token-public-keys.pem":null}}'
    for status in REFUSALS if os.environ.get("BIOSPARK_LONG") else (422,):
        words = REFUSALS[status]
        with run.proxy.add(
            lambda call: (call.method, call.path) == ("PATCH", path), Quoting(status, words.format(value=made[0]))
        ) as rule:
            site.kubectl("patch", "secret", "biospark-api", "-n", site.namespace, "--type=merge", "-p", removed)
            await passed(site)
            assert rule.hits
            assert await site.told("SecretsReady") not in (None, ("True", "Succeeded"))
        await ask_again(site)
        await site.until(lambda: secrets_are_ready(site), "the repair is made", 30)
