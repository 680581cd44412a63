"""What is planned for a database, without a server: from what shall be and what is to SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components.database import credentials, judge, marks, wanted
from biospark_operator.components.database.marks import Mark
from biospark_operator.components.database.names import (
    LONGEST,
    Names,
    database_id,
    parse_database_id,
    parse_role_id,
    role_id,
)
from biospark_operator.components.database.plan import plan
from biospark_operator.components.database.state import (
    PUBLIC,
    Grant,
    Inside,
    Membership,
    Relation,
    Seen,
    SeenDatabase,
    SeenExtension,
    SeenRole,
    SeenServer,
)
from biospark_operator.components.handover import Uptake
from biospark_operator.components.secrets.store import Credential, KubernetesSecrets, Slot
from biospark_operator.engine.component import Environment, Identity
from biospark_operator.engine.outcome import Blocked, Failed
from biospark_operator.objects.ownership import Origin, Standing
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = Names("biospark_dev")
OURS = marks.marked(None, Mark("dev", "uid-of-dev", Origin.CREATED))
ID = 4242
OWNERS = marks.marked(None, Mark("dev", "uid-of-dev", Origin.CREATED, creates=ID, holds=ID))
ANOTHERS = marks.marked(None, Mark("other", "uid-of-other", Origin.CREATED))


def env(**database: Any) -> Environment:
    server = {"host": "db.example", "adminSecretRef": {"name": "admin"}}
    spec = {key: database.pop(key) for key in ("adoptionPolicy", "profile") if key in database}
    return environment(database={"server": server, **database}, **spec)


def server(**changes: Any) -> SeenServer:
    return replace(SeenServer(180006, "18.6", False, "admin", False, "C.UTF-8"), **changes)


STORE = KubernetesSecrets(FakeCluster(), "database")


def nothing(**changes: Any) -> Seen:
    """Return a server without anything of ours."""
    return replace(Seen(server(), "db.example:5432", NOW, slots=slots()), **changes)


def slots(*secrets: Manifest) -> dict[str, Slot]:
    """Return what the store has, as it was read of Secrets."""
    live = {found["metadata"]["name"]: found for found in secrets}
    return {
        account.secret: STORE.slot(env(), account.secret, live.get(account.secret))
        for account in credentials.accounts(NAMES)
    }


def everything(**changes: Any) -> Seen:
    """Return a server on which all is as it shall be."""
    roles = {
        name: SeenRole(
            name, role.login, role.inherit, role.connection_limit, comment=OWNERS if name == NAMES.owner else OURS
        )
        for name, role in wanted.roles(NAMES, None).items()
        if name != NAMES.logins[1]
    }
    pairs = {pair for pair in wanted.memberships(NAMES) if pair[1] in roles} | {(NAMES.owner, "admin")}
    on_database = {Grant(role, p) for role, privileges in wanted.on_database(NAMES).items() for p in privileges}
    defaults = {
        kind: frozenset({*(Grant(NAMES.app, p) for p in app), *(Grant(NAMES.reader, p) for p in reader)})
        for kind, (app, reader) in wanted.ON_OBJECTS.items()
    }
    return replace(
        nothing(),
        roles=roles,
        memberships=tuple(Membership(role, member, "admin") for role, member in sorted(pairs)),
        database=SeenDatabase(NAMES.owner, "UTF8", "C.UTF-8", -1, frozenset(on_database), OURS, object_id=ID),
        inside=Inside(
            public_grants=frozenset({Grant(NAMES.app, "USAGE"), Grant(NAMES.reader, "USAGE")}), defaults=defaults
        ),
        slots=slots(*(secret(account.secret, account.logins[0]) for account in credentials.accounts(NAMES))),
        login_works=True,
        **changes,
    )


def secret(name: str, user: str, rotated_at: datetime = NOW) -> Manifest:
    """Return a Secret as the operator applied it."""
    held = credentials.Credentials(user, "p" * 43, rotated_at)
    specified = env()
    assert specified.spec.database.server
    wanted_ = credentials.handed_over(specified, specified.spec.database.server, held, None)
    made = STORE.manifest(specified, name, wanted_)
    metadata = {key: value for key, value in made["metadata"].items() if key not in ("name", "namespace")}
    fields = {f"f:{key}": _tree(value) for key, value in {**made, "metadata": metadata}.items() if key in _APPLIED}
    entry = {"manager": "biospark-operator", "operation": "Apply", "fieldsV1": fields}
    return {**made, "metadata": {**made["metadata"], "managedFields": [entry]}}


_APPLIED = ("data", "type", "metadata")


def _tree(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"f:{key}": _tree(below) for key, below in value.items()}
    if isinstance(value, list):
        return {f'k:{{"uid":"{item["uid"]}"}}': _tree(item) for item in value}
    return {}


def sql(specified: Environment, seen: Seen) -> list[str]:
    return [action.summary for action in plan(specified, seen)]


def test_where_all_is_as_it_shall_be_nothing_is_planned() -> None:
    assert sql(env(), everything()) == []


def test_everything_is_made_in_the_order_of_need() -> None:
    text = "\n".join(sql(env(), nothing()))
    steps = (
        'CREATE ROLE "biospark_dev_owner" NOLOGIN',
        'GRANT "biospark_dev_owner" TO "admin" WITH INHERIT TRUE, SET TRUE',
        'CREATE DATABASE "biospark_dev"',
        'REVOKE ALL ON DATABASE "biospark_dev" FROM PUBLIC',
        'REVOKE ALL ON SCHEMA "public" FROM PUBLIC',
        "ALTER DEFAULT PRIVILEGES",
        "PASSWORD '…'",
    )
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


def test_membership_has_no_options_before_postgresql_16() -> None:
    old = server(version_number=150018, version="15.18")
    assert not [text for text in sql(env(), nothing(server=old)) if "INHERIT TRUE" in text]
    assert 'GRANT "biospark_dev_owner" TO "admin"' in sql(env(), nothing(server=old))


def test_a_superuser_needs_no_membership() -> None:
    assert not [text for text in sql(env(), nothing(server=server(superuser=True))) if 'TO "admin"' in text]


def with_role(name: str, **changes: Any) -> Seen:
    seen = everything()
    return replace(seen, roles={**seen.roles, name: replace(seen.roles[name], **changes)})


def with_database(**changes: Any) -> Seen:
    seen = everything()
    assert seen.database
    return replace(seen, database=replace(seen.database, **changes))


def with_inside(**changes: Any) -> Seen:
    seen = everything()
    assert seen.inside
    return replace(seen, inside=replace(seen.inside, **changes))


APP_1 = NAMES.logins[0]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (with_role(NAMES.owner, login=True), ['ALTER ROLE "biospark_dev_owner" NOLOGIN']),
        (with_role(APP_1, powers=frozenset({"SUPERUSER"})), [f'ALTER ROLE "{APP_1}" NOSUPERUSER']),
        (with_role(APP_1, expires=True), [f"ALTER ROLE \"{APP_1}\" VALID UNTIL 'infinity'"]),
        (
            with_role(NAMES.migrator, expires=True, expired=True),
            [f"ALTER ROLE \"{NAMES.migrator}\" PASSWORD NULL VALID UNTIL 'infinity'"],
        ),
        (
            replace(
                everything(), memberships=(*everything().memberships, Membership("pg_read_all_data", APP_1, "boss"))
            ),
            [f'REVOKE "pg_read_all_data" FROM "{APP_1}" GRANTED BY "boss"'],
        ),
        (with_database(connection_limit=7), ['ALTER DATABASE "biospark_dev" CONNECTION LIMIT -1']),
        (with_database(allows_connections=False), ['ALTER DATABASE "biospark_dev" ALLOW_CONNECTIONS true']),
        (with_inside(public_owner=None), ['CREATE SCHEMA IF NOT EXISTS "public"']),
        (
            with_inside(hidden_from_reader=(Relation("TABLE", "public", 'o"dd'),)),
            ['GRANT SELECT ON TABLE "public"."o""dd" TO "biospark_dev_reader"'],
        ),
        (
            replace(everything(), login_works=False, sessions={NAMES.logins[1]: 1}),
            [f"ALTER ROLE \"{APP_1}\" PASSWORD '…'; write it into Secret {credentials.APP_SECRET}"],
        ),
    ],
)
def test_a_difference_costs_one_statement(seen: Seen, expected: list[str]) -> None:
    assert sql(env(), seen) == expected


def test_password_of_a_migration_that_may_be_under_way_is_left() -> None:
    assert sql(env(), with_role(NAMES.migrator, expires=True)) == []


def test_grants_of_others_are_left_and_named() -> None:
    seen = with_database(grants=everything().database.grants | {Grant("analyst", "CONNECT")})  # type: ignore[union-attr]
    assert sql(env(), seen) == []
    assert judge.notes(env(), seen) == ["rights on it are also granted to analyst"]


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (nothing(server=server(version_number=140011, version="14.11")), Reason.DATABASE_INCOMPATIBLE, "14.11"),
        (nothing(server=server(read_only=True)), Reason.SERVER_UNAVAILABLE, "read-only"),
        (with_database(encoding="LATIN1"), Reason.DATABASE_INCOMPATIBLE, "LATIN1"),
        (with_database(comment=ANOTHERS), Reason.DATABASE_CONFLICT, "BioSparkEnvironment other"),
        (with_role(NAMES.reader, comment="theirs"), Reason.NOT_OWNED, "role biospark_dev_reader"),
        (with_database(comment=None, owner="dba", object_id=7), Reason.NOT_OWNED, marks.offer("dev")),
        (
            with_database(comment=marks.offer("dev"), owner="dba", object_id=7),
            Reason.NOT_OWNED,
            "adoptionPolicy: IfUnowned",
        ),
        (
            with_database(comment=marks.offer("other"), owner="dba", object_id=7),
            Reason.DATABASE_CONFLICT,
            "hand it over",
        ),
    ],
)
def test_what_is_refused_is_explained(seen: Seen, reason: Reason, words: str) -> None:
    refused = judge.refusal(env(), seen)
    assert isinstance(refused, Blocked | Failed)
    assert (refused.reason, words in refused.message) == (reason, True)


def test_a_limit_that_leaves_the_api_too_few_connections_is_refused_before_it_is_set() -> None:
    specified = env(connectionLimit=3)
    for seen in (nothing(), everything()):
        refused = judge.refusal(specified, seen)
        assert isinstance(refused, Blocked)
        assert refused.reason == Reason.INVALID_SPEC
        assert "write at least 5" in refused.message


@pytest.mark.parametrize("host", ["db.example", "10.0.0.5", "2001:db8::1"])
@pytest.mark.parametrize("authority", [None, b"certificate"])
def test_the_uri_of_the_credentials_works_as_it_is(host: str, authority: bytes | None) -> None:
    wanted_server: dict[str, Any] = {"host": host, "port": 6432, "adminSecretRef": {"name": "admin"}}
    if authority:
        wanted_server["caSecretRef"] = {"name": "ca"}
    specified = environment(database={"server": wanted_server, "name": "a-b_C"})
    assert specified.spec.database.server
    held = credentials.Credentials("a-b_C_app_1", "p/?#@:%& ü", NOW)
    made = credentials.handed_over(specified, specified.spec.database.server, held, authority)
    expected = {"host": host, "port": "6432", "dbname": "a-b_C", "user": "a-b_C_app_1", "password": "p/?#@:%& ü"}
    if authority:
        expected |= {"sslmode": "verify-full", "sslrootcert": "/etc/biospark/database/ca.crt"}
    else:
        expected |= {"sslmode": "require"}
    assert conninfo_to_dict(made.text("uri")) == expected


def test_a_database_that_was_created_and_not_marked_is_marked() -> None:
    (text,) = sql(env(), with_database(comment=None))
    assert text.startswith("COMMENT ON DATABASE")
    assert '"Created"' in text


def test_an_adopted_database_keeps_its_comment_and_remembers_its_owner() -> None:
    seen = with_database(comment=f"precious\n{marks.offer('dev')}", owner="dba", object_id=7)
    text = "\n".join(sql(env(adoptionPolicy="IfUnowned"), seen))
    assert 'OWNER TO "biospark_dev_owner"; GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "biospark_dev" TO "dba"' in text
    assert "precious\n" in text
    assert '"former_owner": "dba"' in text


def test_everybody_who_came_in_as_everybody_is_named_before_that_ends() -> None:
    seen = with_database(
        comment=marks.offer("dev"), owner="dba", object_id=7, grants=frozenset({Grant(PUBLIC, "CONNECT")})
    )
    seen = replace(seen, inside=Inside(bystanders=("analyst",)))
    text = "\n".join(sql(env(adoptionPolicy="IfUnowned"), seen))
    assert text.index('GRANT CONNECT ON DATABASE "biospark_dev" TO "analyst"') < text.index("FROM PUBLIC")
    assert 'GRANT USAGE ON SCHEMA "public" TO "analyst"' in text
    assert 'GRANT CREATE, USAGE ON SCHEMA "public" TO "dba"' in text


@pytest.mark.parametrize(
    ("extension", "found", "expected"),
    [
        ({"name": "pg_trgm"}, None, ['SET LOCAL search_path = public; CREATE EXTENSION "pg_trgm"']),
        (
            {"name": "pg_trgm", "schema": "s", "version": "1.5"},
            None,
            ['CREATE SCHEMA IF NOT EXISTS "s"; CREATE EXTENSION "pg_trgm" SCHEMA "s" VERSION "1.5"'],
        ),
        ({"name": "pg_trgm"}, SeenExtension("1.6", "x"), []),
        ({"name": "pg_trgm", "version": "1.6"}, SeenExtension("1.6", "x"), []),
        (
            {"name": "pg_trgm", "version": "1.6"},
            SeenExtension("1.5", "x"),
            ['ALTER EXTENSION "pg_trgm" UPDATE TO "1.6"'],
        ),
    ],
)
def test_extensions(extension: dict[str, str], found: SeenExtension | None, expected: list[str]) -> None:
    assert sql(env(extensions=[extension]), with_inside(extensions={"pg_trgm": found} if found else {})) == expected


def rotating(**changes: Any) -> Seen:
    """Return a server after the Secret was written: both logins are there."""
    seen = everything()
    second = NAMES.logins[1]
    secrets = {**seen.slots, **slots(secret(credentials.APP_SECRET, second))}
    secrets[credentials.READER_SECRET] = seen.slots[credentials.READER_SECRET]
    roles = {**seen.roles, second: replace(seen.roles[APP_1], name=second)}
    memberships = (*seen.memberships, Membership(NAMES.app, second, "admin"))
    made = replace(seen, slots=secrets, roles=roles, memberships=memberships, now=NOW + timedelta(hours=1))
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("seen", "dropped"),
    [
        (rotating(), True),
        (rotating(uptake=Uptake(True, credentials.stamp(NOW))), True),
        (rotating(uptake=Uptake(True)), False),
        (rotating(uptake=Uptake(True, "2020-01-01T00:00:00Z")), False),
        (rotating(sessions={APP_1: 1}), False),
        (rotating(now=NOW + timedelta(seconds=59)), False),
    ],
)
def test_the_old_login_is_dropped_when_nobody_needs_it(seen: Seen, dropped: bool) -> None:
    actions = plan(env(), seen)
    assert [action.summary for action in actions] == ([f'DROP ROLE "{APP_1}"'] if dropped else [])
    assert all(action.routine and not action.destructive for action in actions)


@pytest.mark.parametrize(("hours", "due"), [(719, False), (720, True)])
def test_the_profile_says_when_credentials_are_due(hours: int, due: bool) -> None:
    production = env(profile="Production")
    seen = replace(everything(), now=NOW + timedelta(hours=hours))
    planned = [text for text in sql(production, seen) if "PASSWORD" in text]
    assert len(planned) == (2 if due else 0)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"username": "eve", "password": "p" * 43},
        {"username": APP_1, "password": "short"},
    ],
)
def test_credentials_that_are_not_ours_are_none(data: dict[str, str]) -> None:
    account, _ = credentials.accounts(NAMES)
    held = Credential({key: value.encode() for key, value in data.items()}, {"rotated-at": credentials.stamp(NOW)})
    assert credentials.stored(account, Slot(account.secret, "id", "where", held)) is None


@pytest.mark.parametrize("database", ["a", "x" * 50, "x" * 58, "x" * 63, "_" * 57])
def test_every_name_fits_and_differs(database: str) -> None:
    names = Names(database)
    assert all(len(role.encode()) <= LONGEST for role in names.roles)
    assert len(set(names.roles)) == len(names.roles)


def test_long_names_that_begin_alike_have_roles_of_their_own() -> None:
    first, second = Names("x" * 62 + "a"), Names("x" * 62 + "b")
    assert not set(first.roles) & set(second.roles)


@pytest.mark.parametrize("host", ["db.example", "10.0.0.5", "2001:db8::1"])
@pytest.mark.parametrize("authority", [None, {"name": "ca"}, {"name": "ca", "key": "root.pem"}])
def test_an_id_leads_back_to_server_and_database(host: str, authority: dict[str, str] | None) -> None:
    wanted_server: dict[str, Any] = {"host": host, "port": 6432, "adminSecretRef": {"name": "admin"}}
    if authority:
        wanted_server["caSecretRef"] = authority
    specified = environment(database={"server": wanted_server}).spec.database.server
    assert specified
    id_ = database_id(specified, "biospark_dev")
    assert parse_database_id(id_) == (specified, "biospark_dev")
    assert parse_role_id(role_id(specified, "biospark_dev", "a_owner")) == "a_owner"
    assert parse_database_id(role_id(specified, "biospark_dev", "a_owner")) is None
    assert parse_role_id(id_) is None


@pytest.mark.parametrize("text", ["v1 Secret a/b", "postgresql://x", "postgresql://h:1/d?admin=a&ssl=No", "", "::"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_database_id(text) is None


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (None, Standing.UNOWNED),
        ("theirs", Standing.UNOWNED),
        (OURS, Standing.OURS),
        (f"theirs\n{OURS}", Standing.OURS),
        (f"{OURS}\ntheirs", Standing.UNOWNED),
        (ANOTHERS, Standing.ANOTHERS),
        (marks.PREFIX + "{broken", Standing.UNOWNED),
        (marks.marked(None, Mark("dev", "uid-of-dev", Origin.RELEASED)), Standing.OFFERED),
        (marks.marked(None, Mark("dev", "uid-of-an-earlier", Origin.RELEASED)), Standing.OFFERED),
        (marks.marked(None, Mark("other", "uid-of-dev", Origin.RELEASED)), Standing.ANOTHERS),
        (marks.offer("dev"), Standing.OFFERED),
        (f"theirs\n{marks.offer('dev')}", Standing.OFFERED),
        (marks.offer("other"), Standing.ANOTHERS),
        (marks.marked(None, Mark("dev", "uid-of-dev", Origin.OFFERED)), Standing.OFFERED),
        (marks.marked(None, Mark("dev", "uid-of-an-earlier", Origin.OFFERED)), Standing.ANOTHERS),
    ],
)
def test_marks_say_whose_something_is(comment: str | None, expected: Standing) -> None:
    assert marks.standing(comment, Identity("dev", "uid-of-dev")) is expected


def test_a_mark_replaces_a_mark_and_nothing_else() -> None:
    first = marks.marked("of others\nin lines", Mark("a", "1", Origin.ADOPTED, "dba"))
    second = marks.marked(first, Mark("b", "2", Origin.CREATED))
    assert second.startswith("of others\nin lines\n")
    assert marks.parse(second) == Mark("b", "2", Origin.CREATED)
    assert marks.unmarked(second) == "of others\nin lines"
    assert marks.unmarked(marks.marked(None, Mark("a", "1", Origin.CREATED))) is None


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, (-1, -1, -1)), (1, (1, 1, 1)), (20, (16, 2, 2)), (100, (88, 10, 2))]
)
def test_connections_are_shared_out(limit: int | None, expected: tuple[int, int, int]) -> None:
    shares = wanted.shares(limit)
    assert (shares.login, shares.reader, shares.migrator) == expected
