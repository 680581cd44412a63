"""The schema as a component: what to read, and how migrations are run. Decisions are in `verdict`.

Migrations are run as the migrator, acting as the owner, so that what they make belongs to the owner and its default
privileges hold. The migrator has a password only while a run lasts, and one that is good for its first seconds: nobody
has to keep it, and nobody else can log in as it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg
import sqlalchemy
from psycopg import Connection
from sqlalchemy import event, pool
from sqlalchemy.exc import DBAPIError

from biospark_api.schema import (
    API_PRIVILEGES,
    DEFAULT_AGENTS,
    FINGERPRINT,
    HEAD,
    HISTORY,
    READER_PRIVILEGES,
    VERSIONS,
    Comparison,
    DifferentTablesError,
    compare,
    migrate,
    statements,
)
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.postgres.address import Login
from biospark_operator.clients.postgres.errors import MissingDatabaseError, translated
from biospark_operator.clients.postgres.server import Server
from biospark_operator.clients.postgres.session import Session
from biospark_operator.components import database, schema
from biospark_operator.components.database import marks
from biospark_operator.components.database.access import Access
from biospark_operator.components.database.component import set_password
from biospark_operator.components.database.credentials import new_password
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.statements import comment_role, take_password
from biospark_operator.components.schema import verdict
from biospark_operator.components.schema.comparisons import Comparisons
from biospark_operator.components.schema.migration import Run, Runs
from biospark_operator.components.schema.state import Grant, Migrate, Note, Seen
from biospark_operator.engine.component import Action, Environment, Identity, Removed
from biospark_operator.engine.errors import OutsideError, RejectedError, StillRunningError, UnavailableError
from biospark_operator.engine.outcome import Blocked, Outcome

logger = logging.getLogger(__name__)

#: Seconds that one statement of a migration may take, and that it waits for a lock: all who come after it wait, too.
STATEMENT, LOCK = 900, 5
#: Seconds in which the migrator has to have logged in.
LOGIN = 20
#: Failures in a row after which a human is called. It is tried on, slowly.
BUDGET = 5
_SETTINGS = {"search_path": "public", "statement_timeout": f"{STATEMENT}s", "lock_timeout": f"{LOCK}s"}
#: Classes of SQLSTATE whose primary message names objects and never values.
_NAMING = ("42", "23", "0A", "2B")


@dataclass(frozen=True)
class SchemaComponent:
    """The schema of an environment's database; satisfies `engine.component.Component`."""

    access: Access
    runs: Runs = field(default_factory=Runs)
    comparisons: Comparisons = field(default_factory=Comparisons)
    name: str = schema.NAME
    condition: str = ConditionType.SCHEMA_READY
    outside: bool = True
    requires: frozenset[str] = frozenset({database.NAME})

    def enabled(self, env: Environment) -> bool:
        """Whether the environment has a database."""
        return env.spec.database.server is not None

    def targets(self, env: Environment) -> Sequence[str]:
        """Return nothing: the schema comes and goes with its database."""
        return ()

    async def observe(self, env: Environment) -> Seen:
        """Read the migrations that were applied, compare the schema, and read rights."""
        server = await self.access.to(_server(env))
        seen, key = Seen(str(server.address)), _key(env)
        run = self.runs.get(key)
        if run is not None and not run.is_over:
            return replace(seen, run=run)
        self.runs.take(key)
        names = Names(env.spec.database.name)
        try:
            async with server.session(names.database) as session:
                seen, fingerprint = await _read(session, names, env.identity, seen)
        except MissingDatabaseError:
            return seen
        if seen.revision != HEAD:
            return seen
        found = await self.comparisons.of(fingerprint, seen.where, partial(_compared, server, names))
        return replace(seen, comparison=found)

    def refuse(self, env: Environment, seen: Seen) -> Blocked | None:
        """Say why this version of the operator must leave the schema alone, or None where it need not."""
        return verdict.refusal(env, seen)

    def plan(self, env: Environment, seen: Seen) -> Sequence[Action]:
        """Return what is to be done, in order."""
        return verdict.plan(env, _server(env), seen)

    async def apply(self, env: Environment, action: Action) -> None:
        """Run migrations, or execute statements about rights."""
        match action.payload:
            case Migrate() as wish:
                await self._migrated(env, wish)
            case Grant(wanted):
                names, server = Names(env.spec.database.name), await self.access.to(_server(env))
                async with server.session(names.database) as session:
                    await session.run("set rights on tables", wanted, role=names.owner)
            case Note():
                async with (await self.access.to(_server(env))).session() as session:
                    await _note(session, Names(env.spec.database.name), env.identity)

    def judge(self, env: Environment, seen: Seen) -> Outcome:
        """Say how far the schema is."""
        return verdict.judge(env, seen)

    def facts(self, env: Environment, seen: Seen) -> Mapping[str, Any]:
        """Return the part of `status.database` that is about the schema."""
        wanted = {"targetRevision": verdict.target(env)}
        return {"database": wanted | ({"schemaRevision": seen.revision} if seen.revision is not None else {})}

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        """Remove nothing: the database takes its schema along."""
        return Removed()

    async def _migrated(self, env: Environment, wish: Migrate) -> None:
        key = _key(env)
        run = self.runs.get(key)
        if run is None or (run.is_over and wish.revision not in run.applied):
            run = self.runs.start(key, partial(self._run, env, wish.last))
        if wish.revision in run.applied:
            return
        if not await self.runs.wait(run):
            raise StillRunningError(verdict.under_way(env, run), reason=Reason.MIGRATING)
        if wish.revision not in run.applied:
            self.runs.take(key)

    async def _run(self, env: Environment, last: str, run: Run) -> None:
        """Apply all migrations up to `last`, and set the rights on what they made."""
        key, names = _key(env), Names(env.spec.database.name)
        server = await self.access.to(_server(env))
        login = Login(names.migrator, new_password())
        try:
            async with server.session() as session:
                await set_password(session, login, seconds=LOGIN)
            try:
                work = partial(_upgraded, names, last, run, server.may_act)
                await server.in_thread(login, names.database, work, **_SETTINGS, role=names.owner)
            finally:
                # Where that fails nobody knows the password; it expires, and a later pass takes it away.
                with contextlib.suppress(OutsideError):
                    async with server.session() as session:
                        await session.run("take a password away", [take_password(names.migrator)])
                        if run.applied:
                            await _note(session, names, env.identity)
        except _FAULTS as error:
            problem = error if isinstance(error, OutsideError) else _problem(error, env, run, str(server.address))
            failures = self.runs.failed(key)
            if failures < BUDGET or isinstance(problem, RejectedError):
                raise problem from None
            raise RejectedError(f"{problem.message}; it failed {failures} times", reason=problem.reason) from None
        self.runs.succeeded(key)
        logger.info("the schema of database %s is at migration %s", names.database, last)


#: What a run of migrations may fail with.
_FAULTS = (OutsideError, DBAPIError, psycopg.Error, DifferentTablesError, TimeoutError, LookupError)


def _engine(connection: Connection[Any]) -> sqlalchemy.Engine:
    """Return an engine that has this connection and no other."""
    connection.autocommit = False
    return sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=pool.StaticPool)


def _upgraded(names: Names, last: str, run: Run, may_act: MayAct, connection: Connection[Any]) -> None:
    """Migrate, in a thread. Each statement is sent only while this process may act."""
    engine = _engine(connection)
    event.listen(engine, "before_cursor_execute", lambda *_: may_act())
    event.listen(engine, "commit", lambda *_: may_act())
    with engine.connect() as borrowed:
        migrate(borrowed, last, lock_timeout_ms=LOCK * 1000, applying=run.begins, applied=run.ends)
        found = sqlalchemy.inspect(borrowed).get_table_names()
        borrowed.commit()
    with connection.transaction():
        for role, privileges in ((names.app, API_PRIVILEGES), (names.reader, READER_PRIVILEGES)):
            for statement in statements(role, {name: privileges[name] for name in found if name in privileges}):
                may_act()
                connection.execute(statement)


async def _compared(server: Server, names: Names) -> Comparison:
    try:
        return await server.in_thread(server.admin, names.database, _comparison, **_SETTINGS, role=names.owner)
    except DBAPIError as error:
        raise _translated(error, "compare the schema", str(server.address)) from None


def _comparison(connection: Connection[Any]) -> Comparison:
    with _engine(connection).connect() as borrowed:
        return compare(borrowed)


async def _note(session: Session, names: Names, owner: Identity) -> None:
    """Write on the owner role that its database has a schema, so that one without is known to have lost it."""
    rows = await session.rows("read the owner role", _OWNER, names.owner)
    comment = rows[0]["comment"] if rows else None
    mark = marks.ours(comment, owner)
    if mark is not None and not mark.filled:
        noted = comment_role(names.owner, marks.marked(comment, replace(mark, filled=True)))
        await session.run("note that there is a schema", [noted])


async def _read(session: Session, names: Names, owner: Identity, seen: Seen) -> tuple[Seen, str]:
    """Return the schema, and what tells it from every other one."""
    (this,) = await session.rows("read which database it is", _DATABASE, names.owner)
    (row,) = await session.rows("read the schema", FINGERPRINT)
    tables, fingerprint = set(row["relations"] or ()), row["fingerprint"] or ""
    versions = await session.rows("read its migration", _VERSION) if VERSIONS in tables else []
    history = await session.rows("read its migrations", _HISTORY) if HISTORY in tables else []
    agents = await session.rows("read agents", _AGENTS) if "agents" in tables else []
    there = {(agent["type"], agent["name"]) for agent in agents}
    rights: dict[str, dict[str, set[str]]] = {}
    for right in await session.rows("read rights on tables", _RIGHTS, [names.app, names.reader], names.owner):
        held = rights.setdefault(right["role"], {}).setdefault(right["relation"], set())
        held.update([right["privilege"]] if right["privilege"] else [])
    revision = versions[0]["version_num"] if versions else None
    return replace(
        seen,
        object_id=this["oid"],
        owner=marks.ours(this["comment"], owner),
        revision=revision,
        history={entry["revision"]: entry["checksum"] for entry in history},
        missing_agents=tuple(name for key, name in DEFAULT_AGENTS.items() if (key, name) not in there)
        if revision is not None
        else (),
        rights={
            role: {table: frozenset(held) for table, held in found.items() if table in API_PRIVILEGES}
            for role, found in rights.items()
        }
        if revision is not None
        else {},
    ), fingerprint


_OWNER = "SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = %s"
_DATABASE = """
SELECT d.oid, shobj_description(r.oid, 'pg_authid') AS comment
  FROM pg_database d LEFT JOIN pg_roles r ON r.rolname = %s WHERE d.datname = current_database()
"""
_VERSION = f"SELECT version_num FROM public.{VERSIONS}"  # noqa: S608 - constants
_HISTORY = f"SELECT revision, checksum FROM public.{HISTORY}"  # noqa: S608 - constants
_AGENTS = "SELECT type, name FROM public.agents"
_RIGHTS = """
SELECT r.rolname AS role, c.relname AS relation, g.privilege_type AS privilege
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
  JOIN pg_roles r ON r.rolname = ANY(%s)
  LEFT JOIN LATERAL aclexplode(c.relacl) g ON g.grantee = r.oid
 WHERE c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) = %s
"""


def _problem(error: Exception, env: Environment, run: Run, where: str) -> OutsideError:
    """Say what the failure of a run means."""
    name = env.spec.database.name
    match error:
        case DifferentTablesError(differences=differences):
            return RejectedError(
                f"database {name} on {where} has tables with the names of ours that are others: "
                f"{'; '.join(differences[: verdict.LISTED])}; make them equal or move them to another schema",
                reason=Reason.SCHEMA_DIFFERS,
            )
        case TimeoutError():
            return UnavailableError(
                f"another migration of database {name} on {where} is under way; retrying", reason=Reason.MIGRATING
            )
        case LookupError():
            return RejectedError(f"database {name} on {where}: {error}", reason=Reason.MIGRATION_UNKNOWN)
    doing = f"apply migration {run.revision} to database {name}" if run.revision else f"migrate database {name}"
    return _translated(error, doing, where)


def _translated(error: Exception, doing: str, where: str) -> OutsideError:
    original = error.orig if isinstance(error, DBAPIError) else error
    problem = translated(original if isinstance(original, Exception) else error, doing, where)
    state = original.sqlstate if isinstance(original, psycopg.Error) else None
    said = original.diag.message_primary if isinstance(original, psycopg.Error) else None
    named = f": {said}" if said and state and state.startswith(_NAMING) and said not in problem.message else ""
    return type(problem)(f"{problem.message}{named}", reason=Reason.MIGRATION_FAILED, retry_after=problem.retry_after)


def _key(env: Environment) -> tuple[str, str]:
    return env.uid, env.spec.database.name


def _server(env: Environment) -> EffectiveDatabaseServer:
    server = env.spec.database.server
    if server is None:
        raise LookupError("the component is enabled only with a server")
    return server
