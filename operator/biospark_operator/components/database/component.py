"""The database as a component: what to read, how to carry actions out. Decisions are in `plan` and `judge`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.environment import ABANDON_SERVERS, ROTATE_REQUESTED_AT
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.address import Login
from biospark_operator.clients.postgres.errors import LoginRefusedError
from biospark_operator.clients.postgres.server import Server
from biospark_operator.clients.postgres.session import Session
from biospark_operator.components import database, namespace
from biospark_operator.components.database import credentials, existence, judge, marks, removal, system_catalogs, wanted
from biospark_operator.components.database import plan as planning
from biospark_operator.components.database import statements as do
from biospark_operator.components.database.access import Access
from biospark_operator.components.database.actions import Run, SetPassword, Write
from biospark_operator.components.database.credentials import Credentials
from biospark_operator.components.database.names import (
    Names,
    parse_database_id,
    parse_role_id,
)
from biospark_operator.components.database.state import Seen
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.secrets.store import CredentialStore
from biospark_operator.engine.component import Action, Environment, Identity, Removed
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Progressing, Ready
from biospark_operator.objects.component import POLL
from biospark_operator.objects.kinds import SECRET, Kind
from biospark_operator.objects.ownership import Standing

#: What stays in the status when it can't be seen any more: from this it is known what is missing.
_REMEMBERED = ("objectId", "schemaRevision", "targetRevision")


class Quiet:
    """For how long nobody was seen in databases that are to be taken over. After a restart it begins anew."""

    def __init__(self) -> None:
        self._looks: dict[Hashable, tuple[datetime, datetime]] = {}

    def seconds(self, key: Hashable, seen: Seen) -> float:
        """Take note of a look at a database, and return for how many seconds looks found nobody.

        A look counts only together with one that was not long before it.
        """
        first, last = self._looks.pop(key, (seen.now, seen.now))
        if any(seen.sessions.values()):
            return 0.0
        if seen.now - last > timedelta(seconds=2 * judge.QUIET):
            first = seen.now
        self._looks[key] = first, seen.now
        return (seen.now - first).total_seconds()


@dataclass(frozen=True)
class DatabaseComponent:
    """The database of an environment, its roles and its credentials; satisfies `engine.component.Component`."""

    access: Access
    store: CredentialStore
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    quiet: Quiet = field(default_factory=Quiet)
    name: str = database.NAME
    condition: str = ConditionType.DATABASE_READY
    outside: bool = True
    kinds: frozenset[Kind] = frozenset({SECRET})
    requires: frozenset[str] = frozenset({namespace.NAME})

    def enabled(self, env: Environment) -> bool:
        """Whether the specification or the platform names a server."""
        return env.spec.database.server is not None

    def targets(self, env: Environment) -> Sequence[str]:
        """Return the ids of the database, its roles, and its credentials."""
        return wanted.targets(env, self.store)

    async def observe(self, env: Environment) -> Seen:
        """Read server, database, roles and credentials, and log in as the API does."""
        server, names = await self.access.to(_server(env)), Names(env.spec.database.name)
        slots = {name: await self.store.read(env, name) for name in credentials.SECRETS}
        async with server.session() as session:
            about = await system_catalogs.server(session)
            seen = Seen(
                server=about,
                where=str(server.address),
                now=self.clock(),
                roles=await system_catalogs.roles(session, names),
                memberships=await system_catalogs.memberships(session, names, about.version_number),
                database=await system_catalogs.database(session, names.database),
                sessions=await system_catalogs.sessions(session, names),
                slots=slots,
                authority=server.address.authority,
            )
            if any(marks.standing(role.comment, env.identity) is Standing.OFFERED for role in seen.roles.values()):
                uses = await system_catalogs.uses(session, names)
                seen = replace(seen, roles={n: replace(role, elsewhere=uses[n]) for n, role in seen.roles.items()})
        if existence.takes_over(env, seen):
            seen = replace(seen, quiet_for=self.quiet.seconds((env.uid, names.database), seen))
        if self.refuse(env, seen) is not None or seen.database is None or not seen.database.allows_connections:
            return seen
        async with server.session(names.database) as session:
            seen = replace(seen, inside=await system_catalogs.inside(session, names, owned=names.owner in seen.roles))
        return replace(
            seen,
            login_works=await self._login_works(server, names, seen),
            uptake=await DATABASE_LOGIN.uptake(self.access.cluster, env),
        )

    def refuse(self, env: Environment, seen: Seen) -> Blocked | Failed | None:
        """Say why nothing may be done at all, or None where something may."""
        return judge.refusal(env, seen)

    def plan(self, env: Environment, seen: Seen) -> Sequence[Action]:
        """Return what is to be done, in order."""
        return planning.plan(env, seen)

    async def apply(self, env: Environment, action: Action) -> None:
        """Execute the statements of an action, all or none, or write credentials."""
        match action.payload:
            case Run(statements, database, role, transaction):
                server = await self.access.to(_server(env))
                async with server.session(database) as session:
                    await session.run(_doing(action), statements, role=role, transaction=transaction)
            case SetPassword() as wish:
                await self._set_password(env, action, wish)
            case Write(slot, wanted):
                await self.store.write(env, slot, wanted)

    def judge(self, env: Environment, seen: Seen) -> Outcome:
        """Say how far the database is."""
        name = env.spec.database.name
        if pending := self.plan(env, seen):
            more = f" and {len(pending) - 1} more" if len(pending) > 1 else ""
            return Progressing(Reason.PROGRESSING, f"still to do: {pending[0].summary[:200]}{more}", POLL)
        version = f"PostgreSQL {seen.server.version}"
        message = f"database {name} on {seen.where} ({version}) and its roles are as specified"
        return Ready(Reason.SUCCEEDED, "; ".join([message, *judge.notes(env, seen)]))

    def facts(self, env: Environment, seen: Seen) -> Mapping[str, Any]:
        """Return `status.database`."""
        account, _ = credentials.accounts(Names(env.spec.database.name))
        held = credentials.stored(account, seen.slots.get(account.secret))
        object_id = seen.database.object_id if seen.database else None
        anew = existence.begins_anew(env, existence.owner_mark(env, seen), object_id)
        known = {} if anew else existence.remembered(env)
        told = {key: known[key] for key in _REMEMBERED if key in known}
        told |= {"name": env.spec.database.name, "serverVersion": seen.server.version}
        if seen.database is not None and judge.refusal(env, seen) is None:
            told["objectId"] = object_id
        if held is not None:
            told |= {"activeUser": held.user, "rotatedAt": credentials.stamp(held.rotated_at)}
        return {"database": told}

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        """Drop or give back databases with their roles, see `removal`, and remove the credentials."""
        ids = list(targets)
        databases = {id_: found for id_ in ids if (found := parse_database_id(id_)) is not None}
        released: list[str] = [] if owner.deleting else [id_ for id_ in ids if not self.store.knows(id_)]
        waiting: dict[str, str] = {}
        for id_, (server, name) in databases.items() if owner.deleting else ():
            names = Names(name)
            became, why = await self._removed(server, names, owner)
            if became == "waiting":
                waiting[id_] = why
            elif became == "kept":
                released += [id_, *(other for other in ids if parse_role_id(other) in names.roles)]
        kept = [id_ for id_ in ids if self.store.knows(id_)]
        await asyncio.gather(*(self.store.remove(owner, id_) for id_ in kept))
        released += [id_ for id_ in kept if owner.orphans]
        return Removed(waiting, tuple(released), tuple(id_ for id_ in ids if id_ not in {*released, *waiting}))

    async def _removed(self, server: EffectiveDatabaseServer, names: Names, owner: Identity) -> tuple[str, str]:
        """Remove or give back a database, and say what became of it, see `removal`.

        What is on a server that a human abandons stays as it is. Raises with this way out where the server fails.
        """
        address = f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"
        if address in owner.abandoned:
            return "kept", ""
        try:
            return await removal.removed(await self.access.to(server), names, owner)
        except OutsideError as error:
            way_out = (
                f"{error.message}; only if this server is gone for good annotate the environment with "
                f"{ABANDON_SERVERS}: {address} to leave behind what is there"
            )
            raise type(error)(way_out, reason=error.reason, retry_after=error.retry_after) from None

    async def _set_password(self, env: Environment, action: Action, wish: SetPassword) -> None:
        server = await self.access.to(_server(env))
        password = credentials.new_password()
        async with server.session() as session:
            await set_password(session, Login(wish.login, password), wish.statements)
        held = Credentials(wish.login, password, self.clock(), env.annotations.get(ROTATE_REQUESTED_AT))
        wanted = credentials.handed_over(env, _server(env), held, server.address.authority)
        await self.store.write(env, wish.slot, wanted)

    async def _login_works(self, server: Server, names: Names, seen: Seen) -> bool | None:
        account, _ = credentials.accounts(names)
        held = credentials.stored(account, seen.slots.get(account.secret))
        if held is None or held.user not in seen.roles:
            return None
        try:
            await server.try_login(Login(held.user, held.password), names.database)
        except LoginRefusedError:
            return False
        except OutsideError:
            # All its connections are in use, or a right is missing: that says nothing about the password.
            return None
        return True


def _server(env: Environment) -> EffectiveDatabaseServer:
    server = env.spec.database.server
    if server is None:
        raise LookupError("the component is enabled only with a server")
    return server


def _doing(action: Action) -> str:
    """Return what an action is about, for messages: its SQL may be long, its beginning says enough."""
    return action.summary if len(action.summary) <= 120 else f"{action.summary[:119]}…"


async def set_password(
    session: Session, login: Login, before: Sequence[do.Statement] = (), *, seconds: float | None = None
) -> None:
    """Give a role a password, after other statements in the same transaction; the server gets a verifier of it.

    With `seconds` it is good for so long only, by the clock of the server.
    """
    options: list[do.Option] = [sql.SQL("PASSWORD {}").format(sql.Literal(session.verifier(login)))]
    if seconds is not None:
        options.append(do.expires(await system_catalogs.moment(session, seconds)))
    statements = [*await _silence(session), *before, do.alter_role(login.user, options)]
    await session.run(f"set the password of {login.user}", statements)


async def _silence(session: Session) -> list[do.Statement]:
    """Return what keeps the verifier of a password out of the server's log, where we may ask for that."""
    about = await system_catalogs.server(session)
    if not about.superuser:
        return []
    return [sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(key), sql.Literal(value)) for key, value in _QUIET]


_QUIET = (("log_statement", "none"), ("log_min_error_statement", "panic"), ("log_min_duration_statement", "-1"))
