"""A resource that was restored with another uid, because its cluster was lost, takes over what it had before."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from biospark_operator.api.v1alpha1.environment import TAKE_OVER_FROM
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.components.database import marks
from biospark_operator.components.database.component import Quiet
from biospark_operator.components.database.marks import Origin
from biospark_operator.engine.outcome import Blocked, Failed, Ready
from tests.integration.database.operated import Operated, SecretsCluster

pytestmark = pytest.mark.integration

OLD = "uid-of-dev"
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"


def restored(operated: Operated, **changes: object) -> Operated:
    """Return the environment of the same name in a new cluster: nothing is left of it but what the server has."""
    fresh = {"cluster": SecretsCluster(), "status": {}, "quiet": Quiet(), "uid": "uid-after", **changes}
    return replace(operated, **fresh)  # type: ignore[arg-type]


def consenting(operated: Operated) -> Operated:
    return restored(operated, annotations={TAKE_OVER_FROM: OLD})


async def taken_over(operated: Operated) -> None:
    assert isinstance((await operated.run()).outcome, Failed)
    operated.pass_time(minutes=5)
    report = await operated.settled()
    assert isinstance(report.outcome, Ready), report.outcome


async def refused(operated: Operated) -> str:
    report = await operated.run()
    assert isinstance(report.outcome, Blocked), report.outcome
    assert (report.outcome.reason, report.done) == (Reason.DATABASE_CONFLICT, ())
    return report.outcome.message


@pytest.mark.parametrize("annotations", [{}, {TAKE_OVER_FROM: "another-uid"}, {TAKE_OVER_FROM: ""}])
@pytest.mark.parametrize("policy", ["Never", "IfUnowned"])
async def test_a_namesake_is_told_as_such_and_gets_nothing(
    one: Operated, policy: str, annotations: dict[str, str]
) -> None:
    await one.run()
    namesake = restored(one, spec={"adoptionPolicy": policy}, annotations=annotations)
    assert f"belongs to an environment dev with the uid {OLD}" in await refused(namesake)
    assert f"{TAKE_OVER_FROM}: {OLD} " in await refused(namesake)
    assert (await one.run()).done == ()


async def test_database_and_roles_are_taken_over_with_their_data(operated: Operated) -> None:
    await operated.migrated()
    operated.as_app("INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')")
    after = consenting(operated)
    await taken_over(after)
    assert isinstance((await after.run_schema()).outcome, Ready)
    assert after.as_app("SELECT first_name FROM patients") == [("A",)]
    assert (await after.run()).done == (await after.run_schema()).done == ()
    # The annotation may go or stay.
    after.annotations = {}
    assert (await after.run()).done == ()
    assert "uid-after" in await refused(operated)


async def test_what_was_taken_over_is_never_dropped(operated: Operated) -> None:
    await operated.run()
    after = consenting(operated)
    await taken_over(after)
    mark = marks.parse(str(operated.site.scalar(COMMENT, operated.database)))
    assert mark is not None
    assert (mark.uid, mark.origin) == ("uid-after", Origin.ADOPTED)
    assert (await after.removed()).released
    assert operated.site.sql("SELECT 1 FROM pg_database WHERE datname = %s", operated.database) == [(1,)]


async def test_an_environment_that_is_alive_loses_nothing_to_a_namesake(operated: Operated) -> None:
    await operated.run()
    held, namesake = operated.secret(), consenting(operated)
    with operated.site.connected(operated.database, held["username"], held["password"]):
        for _ in range(3):
            assert f"{held['username']} has a session" in await refused(namesake)
            namesake.pass_time(minutes=4)
    # Its pods are replaced: for a minute nobody is there.
    assert isinstance((await namesake.run()).outcome, Failed)
    namesake.pass_time(minutes=1)
    with operated.site.connected(operated.database, held["username"], held["password"]):
        await refused(namesake)
        namesake.pass_time(minutes=30)
    assert isinstance((await namesake.run()).outcome, Failed)
    namesake.pass_time(minutes=60)
    assert isinstance((await namesake.run()).outcome, Failed), "nobody looked in between"
    assert (await operated.run()).done == ()


async def test_a_database_that_is_not_restored_yet_is_missing_for_the_successor_too(one: Operated) -> None:
    await one.migrated()
    one.by_hand("DROP DATABASE {database} WITH (FORCE)")
    after = consenting(one)
    assert isinstance((await after.run()).outcome, Failed)
    after.pass_time(minutes=5)
    outcome = (await after.run()).outcome
    assert (outcome.reason, outcome.__class__) == (Reason.DATABASE_MISSING, Blocked)


async def test_a_database_whose_restore_has_begun_is_not_migrated_by_the_successor(one: Operated) -> None:
    await one.migrated()
    one.replace_database()
    after = consenting(one)
    await taken_over(after)
    outcome = (await after.run_schema()).outcome
    assert (outcome.reason, outcome.__class__) == (Reason.DATABASE_MISSING, Blocked)


@pytest.mark.parametrize("actions", range(1, 13, 1 if os.environ.get("BIOSPARK_LONG") else 3))
async def test_a_taking_over_that_is_killed_anywhere_goes_on(one: Operated, actions: int) -> None:
    await one.migrated()
    after = consenting(one)
    await after.run()
    after.pass_time(minutes=5)
    await after.stopped_after(actions)
    # The next process knows nothing of the quiet.
    after.quiet = Quiet()
    await after.run()
    after.pass_time(minutes=5)
    assert isinstance((await after.settled()).outcome, Ready)
    assert after.as_app("SELECT count(*) FROM patients") == [(0,)]
