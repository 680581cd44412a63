"""Credentials are replaced without an outage: the API can log in with what the Secret says at every moment."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from psycopg import OperationalError

from biospark_operator.components.database.actions import SetPassword
from biospark_operator.components.database.credentials import APP_SECRET, READER_SECRET
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.engine.outcome import Ready
from tests.integration.database.operated import Operated

pytestmark = pytest.mark.integration


def request(operated: Operated, value: str = "now") -> None:
    """Ask for a rotation."""
    operated.annotations = {"biospark.ai/rotate-requested-at": value}


def exists(operated: Operated, login: str) -> bool:
    return bool(operated.site.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", login))


async def test_a_rotation_goes_from_one_login_to_the_other_and_back(operated: Operated) -> None:
    first, second = operated.names.logins
    await operated.run()
    for number, (old, new) in enumerate(((first, second), (second, first))):
        operated.roll_out()
        operated.pass_time(hours=1)
        before = operated.secret()
        request(operated, f"{number}")
        report = await operated.run()
        assert isinstance(report.outcome, Ready), report.outcome
        assert all(action.routine for action in report.done)
        assert (operated.secret()["username"], before["username"]) == (new, old)
        assert f"login {old} is dropped when" in report.outcome.message
        # Pods that were not replaced yet go on with what they have.
        for held in (before, operated.secret()):
            operated.site.sql("SELECT 1", user=held["username"], password=held["password"], database=operated.database)
        operated.roll_out()
        operated.pass_time(minutes=2)
        await operated.run()
        assert (exists(operated, old), exists(operated, new)) == (False, True)
        assert operated.as_app("SELECT 1") == [(1,)]
        assert (await operated.run()).done == ()


async def test_the_old_login_stays_while_anybody_needs_it(one: Operated) -> None:
    await one.run()
    one.roll_out()
    old, before = one.names.logins[0], one.secret()
    one.pass_time(hours=1)
    request(one)
    with one.site.connected(one.database, before["username"], before["password"]) as session:
        await one.run()
        one.pass_time(minutes=5)
        await one.run()
        assert exists(one, old), "the pods were not replaced yet"
        one.roll_out(finished=False)
        await one.run()
        assert exists(one, old), "the rollout is not done"
        one.roll_out()
        await one.run()
        assert exists(one, old), "it has a session"
        assert session.execute("SELECT 1").fetchone() == (1,)
    await one.run()
    assert not exists(one, old)


async def test_who_has_just_read_the_secret_may_still_log_in(one: Operated) -> None:
    await one.run()
    one.pass_time(hours=1)
    request(one)
    await one.run()
    one.roll_out()
    one.pass_time(seconds=30)
    await one.run()
    assert exists(one, one.names.logins[0])


async def test_a_second_rotation_waits_for_sessions_of_the_first(one: Operated) -> None:
    await one.run()
    before = one.secret()
    with one.site.connected(one.database, before["username"], before["password"]):
        one.pass_time(hours=1)
        request(one, "1")
        await one.run()
        second = one.secret()
        request(one, "2")
        await one.run()
        assert one.secret() == second
    await one.run()
    assert one.secret()["username"] == one.names.logins[0]
    assert one.secret()["password"] != before["password"]
    assert one.as_app("SELECT 1") == [(1,)]


async def test_the_interval_rotates_and_nothing_does_where_there_is_none(one: Operated) -> None:
    await one.run()
    before = one.secret()
    one.pass_time(days=4000)
    await one.run()
    assert one.secret() == before
    one.wishes = {"credentials": {"rotationInterval": "24h"}}
    await one.run()
    assert one.secret() != before
    again = one.secret()
    one.pass_time(hours=23)
    await one.run()
    assert one.secret() == again


async def test_a_request_is_answered_once_also_by_an_operator_that_was_started_anew(one: Operated) -> None:
    request(one, "before it was made")
    await one.run()
    first = one.secret()
    await one.run()
    assert one.secret() == first
    request(one, "another")
    await one.run()
    second = one.secret()
    assert second != first
    await one.run()
    assert one.secret() == second


async def rotated(operated: Operated, value: str) -> None:
    """Rotate, and let the login before be dropped."""
    operated.roll_out()
    operated.pass_time(hours=1)
    request(operated, value)
    await operated.run()
    operated.roll_out()
    operated.pass_time(minutes=2)
    await operated.settled()


@pytest.mark.parametrize("rotations", [1, 2], ids=["its login is gone", "its login has another password"])
async def test_a_secret_from_a_backup_revives_no_password_that_was_retired(operated: Operated, rotations: int) -> None:
    await operated.run()
    ref = next(ref for ref in operated.cluster.objects if ref.name == APP_SECRET)
    backup, old = operated.cluster.objects[ref], operated.secret()
    for number in range(rotations):
        await rotated(operated, f"{number}")
    current = operated.secret()
    operated.cluster.objects[ref] = backup
    await operated.settled()
    assert operated.secret()["password"] not in (old["password"], current["password"])
    assert operated.as_app("SELECT 1") == [(1,)]
    with pytest.raises(OperationalError):
        operated.site.sql("SELECT 1", database=operated.database, user=old["username"], password=old["password"])
    # Pods that were not replaced yet go on with what they have.
    held = (current["username"], current["password"])
    assert operated.site.sql("SELECT 1", database=operated.database, user=held[0], password=held[1]) == [(1,)]


@pytest.mark.parametrize("interval", [{}, {"credentials": {"rotationInterval": "24h"}}], ids=["never", "daily"])
async def test_a_stamp_from_the_future_does_not_stop_rotation(one: Operated, interval: dict[str, object]) -> None:
    one.wishes = interval
    one.pass_time(days=4000)
    await one.run()
    one.pass_time(days=-3999)
    before = one.secret()
    await one.settled()
    after = one.secret()
    assert after["username"] != before["username"]
    ref = next(ref for ref in one.cluster.objects if ref.name == APP_SECRET)
    assert one.cluster.objects[ref]["metadata"]["annotations"][DATABASE_LOGIN.annotation] == "2026-01-02T00:00:00Z"
    one.roll_out()
    one.pass_time(minutes=2)
    await one.settled()
    assert not exists(one, before["username"])


async def test_a_clock_that_is_a_little_ahead_rotates_nothing(one: Operated) -> None:
    one.pass_time(minutes=4)
    await one.run()
    before = one.secret()
    one.pass_time(minutes=-4)
    await one.run()
    assert one.secret() == before


async def test_readers_get_a_new_password_at_the_same_time(one: Operated) -> None:
    await one.run()
    before = one.secret(READER_SECRET)
    request(one)
    await one.run()
    assert one.secret(READER_SECRET)["password"] != before["password"]
    assert one.as_reader("SELECT 1") == [(1,)]
    with pytest.raises(OperationalError):
        one.site.sql("SELECT 1", database=one.database, user=before["username"], password=before["password"])


@pytest.mark.parametrize("stop", ["before the secret", "after the secret"])
async def test_a_rotation_that_is_killed_is_made_up_for(
    one: Operated, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    await one.run()
    one.roll_out()
    before = one.secret()
    one.pass_time(hours=1)
    request(one)
    apply = one.cluster.apply

    async def killed(*args: object, **kwargs: object) -> object:
        if stop == "after the secret":
            await apply(*args, **kwargs)  # type: ignore[arg-type]
        raise Killed

    monkeypatch.setattr(one.cluster, "apply", killed)
    with pytest.raises(Killed):
        await one.run()
    monkeypatch.setattr(one.cluster, "apply", apply)
    one.site.sql("SELECT 1", database=one.database, user=before["username"], password=before["password"])
    assert one.as_app("SELECT 1") == [(1,)]
    await one.run()
    assert one.secret()["username"] == one.names.logins[1]
    assert one.as_app("SELECT 1") == one.as_reader("SELECT 1") == [(1,)]
    one.roll_out()
    one.pass_time(minutes=2)
    await one.run()
    assert not exists(one, one.names.logins[0])
    assert (await one.run()).done == ()


async def test_a_server_that_goes_away_between_the_steps_loses_nothing(one: Operated) -> None:
    await one.run()
    one.roll_out()
    request(one)
    one.pass_time(hours=1)
    env, component = one.env, one.component
    planned = component.plan(env, await component.observe(env))
    assert isinstance(planned[0].payload, SetPassword)
    with ExitStack() as stack:
        stack.callback(one.by_hand, "ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        one.by_hand("ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await component.apply(env, planned[0])
    await one.settled()
    assert one.as_app("SELECT 1") == [(1,)]


async def test_the_secret_has_all_that_a_client_needs(one: Operated) -> None:
    await one.run()
    held = one.secret()
    assert {key: held[key] for key in ("host", "port", "database", "sslmode")} == {
        "host": "127.0.0.1",
        "port": str(one.site.server.port),
        "database": one.database,
        "sslmode": "disable",
    }
    ref = next(ref for ref in one.cluster.objects if ref.name == APP_SECRET)
    assert one.cluster.objects[ref]["metadata"]["annotations"][DATABASE_LOGIN.annotation] == "2026-01-01T00:00:00Z"
