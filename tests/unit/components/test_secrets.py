"""The secrets of the API: made once, kept while they are good, and never part of what is shown."""

from __future__ import annotations

import asyncio
import base64
import threading
from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components.secrets import component as secrets
from biospark_operator.components.secrets import keys
from biospark_operator.components.secrets.component import ADMIN_PASSWORD, PUBLIC_KEYS, TOKEN_KEY, UNMADE
from biospark_operator.engine.contest import CONTESTED_AFTER, Contest
from biospark_operator.engine.outcome import Blocked, Ready
from tests.fakes.environments import body, environment
from tests.fakes.world import World
from tests.unit.engine.test_reconcile import Bench
from tests.unit.objects.test_objects import Cluster, converged, fields

DATABASE = {"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}}
ENV = environment(database=DATABASE, api={"bootstrapAdmin": {"email": "admin@example.com"}})
SECRET = ObjectRef("v1", "Secret", "biospark-dev", "biospark-api")
KEY = keys.new_signing_key()
GOOD = {TOKEN_KEY: KEY, PUBLIC_KEYS: keys.public_half(KEY), ADMIN_PASSWORD: "seven-Blue-lanterns"}


def encoded(texts: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


def decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in secret["data"].items()}


def live(texts: dict[str, str], *, ours: bool = True, **content: Any) -> Manifest:
    """Return the Secret as it is, with values that were applied by the operator or by somebody else."""
    (secret,) = secrets.build(ENV)
    secret = {**secret, "data": encoded(texts), **content}
    manager = "biospark-operator" if ours else "kubectl"
    applied = [{"manager": manager, "operation": "Apply", "fieldsV1": fields(secret)}]
    metadata = {**secret["metadata"], "uid": "u", "resourceVersion": "1", "managedFields": applied}
    return {**secret, "metadata": metadata}


def planned(found: Manifest | None) -> dict[str, str]:
    (manifest,) = secrets.build(ENV)
    data: dict[str, str] = secrets.planned(ENV, manifest, found).get("data", {})
    return data


def test_only_an_environment_with_a_database_has_secrets() -> None:
    component = secrets.component(Cluster())
    assert component.enabled(ENV)
    assert not component.enabled(environment())


def test_a_password_is_made_only_for_an_administrator_that_is_asked_for() -> None:
    (manifest,) = secrets.build(ENV)
    assert set(secrets.planned(environment(database=DATABASE), manifest, None)["data"]) == {TOKEN_KEY, PUBLIC_KEYS}
    assert planned(None) == {TOKEN_KEY: UNMADE, PUBLIC_KEYS: UNMADE, ADMIN_PASSWORD: UNMADE}


def test_what_is_good_and_ours_stays() -> None:
    assert planned(live(GOOD)) == encoded(GOOD)


def test_what_somebody_else_wrote_stays_and_is_left_to_them() -> None:
    assert planned(live(GOOD, ours=False)) == {}


BAD = {
    TOKEN_KEY: (["", "not a key", KEY[:200]], {TOKEN_KEY, PUBLIC_KEYS}),
    PUBLIC_KEYS: (["", "not a key", KEY], {PUBLIC_KEYS}),
    ADMIN_PASSWORD: (["", "short", "x" * 1025], {ADMIN_PASSWORD}),
}


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "made"), [(key, value, made) for key, (values, made) in BAD.items() for value in values]
)
def test_what_cannot_be_used_is_made_anew_and_nothing_else(key: str, value: str, made: set[str], ours: bool) -> None:
    data = planned(live({**GOOD, key: value}, ours=ours))
    assert {name for name, text in data.items() if text == UNMADE} == made
    without = {name: text for name, text in GOOD.items() if name != key}
    assert planned(live(without, ours=ours)) == data


def test_what_is_no_text_cannot_be_used() -> None:
    found = live(GOOD)
    data = {**found["data"], TOKEN_KEY: base64.b64encode(b"\xff\xfe").decode(), ADMIN_PASSWORD: "no base64"}
    assert planned({**found, "data": data}) == {TOKEN_KEY: UNMADE, PUBLIC_KEYS: UNMADE, ADMIN_PASSWORD: UNMADE}


def test_a_secret_of_another_type_is_replaced_with_the_values_that_it_had() -> None:
    assert planned(live(GOOD, ours=False, type="example.com/other")) == encoded(GOOD)


def test_a_marker_never_reaches_the_api_server() -> None:
    with pytest.raises(ValueError, match="base64"):
        base64.b64decode(UNMADE, validate=True)


def completed(found: Manifest | None) -> dict[str, str]:
    (manifest,) = secrets.build(ENV)
    return decoded(secrets.completed(secrets.planned(ENV, manifest, found), found))


def test_all_that_is_made_is_good_and_another_each_time() -> None:
    one, other = completed(None), completed(None)
    for made in (one, other):
        assert keys.is_signing_key(made[TOKEN_KEY])
        assert made[PUBLIC_KEYS] == keys.public_half(made[TOKEN_KEY])
        assert len(made[ADMIN_PASSWORD]) == 32
    assert not set(one.values()) & set(other.values())


def test_tokens_of_a_key_that_was_broken_stay_valid() -> None:
    made = completed(live({**GOOD, TOKEN_KEY: "broken"}))
    assert made[PUBLIC_KEYS] == keys.public_half(made[TOKEN_KEY]) + GOOD[PUBLIC_KEYS]
    assert made[ADMIN_PASSWORD] == GOOD[ADMIN_PASSWORD]


def test_public_keys_that_were_broken_are_those_that_are_left_and_the_signing_one() -> None:
    rest = keys.public_half(keys.new_signing_key())
    made = completed(live({**GOOD, PUBLIC_KEYS: f"{rest}-----BEGIN X-----\n-----END X-----"}))
    assert made == {**GOOD, PUBLIC_KEYS: GOOD[PUBLIC_KEYS] + rest}


async def test_they_are_made_once() -> None:
    cluster = Cluster()
    component = secrets.component(cluster)
    assert await converged(component, ENV) == Ready("Succeeded", "1 object is as specified")
    before = cluster.objects[SECRET]
    assert await converged(secrets.component(cluster), ENV) == Ready("Succeeded", "1 object is as specified")
    assert cluster.objects[SECRET] is before


async def test_no_value_is_part_of_a_plan() -> None:
    cluster = Cluster()
    component = secrets.component(cluster)
    (create,) = component.plan(ENV, await component.observe(ENV))
    assert (create.verb, create.summary) == (Verb.CREATE, "create Secret biospark-dev/biospark-api")
    await component.apply(ENV, create)
    made: Any = cluster.objects[SECRET]
    del made["data"][TOKEN_KEY]
    (repair,) = component.plan(ENV, await component.observe(ENV))
    assert repair.summary == "set data[token-key.pem], data[token-public-keys.pem]"
    assert not [text for text in made["data"].values() if text in repr((create, repair))]
    assert "PRIVATE KEY" not in repr(repair.payload)


async def test_a_repair_is_written_only_on_what_was_seen() -> None:
    cluster = Cluster(live({**GOOD, TOKEN_KEY: "broken"}))
    made: Any = cluster.objects[SECRET]
    made["metadata"]["annotations"] = {"biospark.ai/created-for": ENV.uid}
    component = secrets.component(cluster)
    await converged(component, ENV)
    assert [manifest["metadata"]["resourceVersion"] for manifest in cluster.manifests] == ["1"]


async def test_who_takes_the_key_away_again_and_again_is_noticed() -> None:
    cluster, contest = Cluster(), Contest()
    component = secrets.component(cluster)
    await converged(component, ENV)
    for now in range(CONTESTED_AFTER):
        made: Any = cluster.objects[SECRET]
        del made["data"][TOKEN_KEY]
        (repair,) = component.plan(ENV, await component.observe(ENV))
        await component.apply(ENV, repair)
        contest.repaired("secrets", repair, float(now))
    verdict = contest.verdict("secrets", Ready("Succeeded", ""), float(CONTESTED_AFTER))
    assert isinstance(verdict, Blocked)
    assert verdict.usable


async def test_a_foreign_secret_is_refused_and_left_alone() -> None:
    cluster = Cluster(live(GOOD, ours=False))
    outcome = await converged(secrets.component(cluster), ENV)
    assert isinstance(outcome, Blocked)
    assert outcome.reason == "NotOwned"
    assert cluster.applied == []


async def test_the_loop_goes_on_while_keys_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    release, running, most = threading.Event(), 0, 0

    def slow() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        assert release.wait(10)
        running -= 1
        return KEY

    monkeypatch.setattr(keys, "new_signing_key", slow)
    component = secrets.component(Cluster())
    (create,) = component.plan(ENV, await component.observe(ENV))
    making = [asyncio.create_task(component.apply(ENV, create)) for _ in range(3)]
    # Had one of them blocked the loop, this would never be reached.
    while not running:
        await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*making)
    assert most == 1


@pytest.mark.parametrize("loss", ["the Secret", "its key"])
async def test_a_signing_key_that_is_made_anew_is_a_warning_and_drift(loss: str) -> None:
    cluster = Cluster()
    component = replace(secrets.component(cluster), requires=frozenset())
    bench = Bench(component, world=World(), resource=body(database=DATABASE))  # type: ignore[arg-type]
    await bench.run()
    assert bench.told("Ready") == ("True", "Succeeded")
    if loss == "the Secret":
        del cluster.objects[SECRET]
    else:
        del cluster.objects[SECRET]["data"][TOKEN_KEY]
    await bench.run(changed=True)
    (warning,) = [event for event in bench.store.events if event.type == "Warning"]
    assert warning.reason == "DriftRepaired"
    assert "Secret biospark-dev/biospark-api" in warning.message
    (drift,) = bench.store.body["status"]["drift"]
    assert drift["target"] == str(SECRET)
