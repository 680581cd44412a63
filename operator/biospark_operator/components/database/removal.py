"""Takes a database away when its environment is deleted, or gives it back. Only what is marked as ours is touched.

With `deletionPolicy: Delete` a database that was created goes, sessions or not, and then its roles. With `Retain`
all of it stays, and so does one that was adopted, which goes back to who owned it before, as it was. The marks then
say which environment may adopt it again. A database that the specification of a living environment does not want any
more is left as it is: a new host name may well be another name of the same server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from biospark_operator.clients.postgres.server import Server
from biospark_operator.clients.postgres.session import Session
from biospark_operator.components.database import marks, system_catalogs
from biospark_operator.components.database import statements as do
from biospark_operator.components.database.marks import Former, Mark
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import Membership, SeenDatabase, SeenRole, SeenServer
from biospark_operator.engine.component import Identity
from biospark_operator.objects.ownership import Origin, Standing


@dataclass(frozen=True)
class Remains:
    """What is there of a database when it is to be removed."""

    names: Names
    server: SeenServer
    roles: Mapping[str, SeenRole]
    memberships: Sequence[Membership]
    database: SeenDatabase | None

    def mark_of_database(self, owner: Identity) -> Mark | None:
        """Return our mark on the database. Also without one it is ours if we created it and could not mark it."""
        if self.database is None or marks.parse(self.database.comment) is not None:
            return marks.ours(self.database.comment, owner) if self.database else None
        role = self.roles.get(self.names.owner)
        mark = marks.ours(role.comment if role else None, owner)
        if mark is None or mark.creates != self.database.object_id:
            return None
        return Mark(mark.environment, mark.uid, Origin.CREATED)

    def ours(self, owner: Identity) -> list[SeenRole]:
        """Return the roles that are marked as the environment's."""
        return [role for role in self.roles.values() if marks.standing(role.comment, owner) is Standing.OURS]


async def observed(server: Server, names: Names) -> Remains:
    """Read what is there."""
    async with server.session() as session:
        about = await system_catalogs.server(session)
        return Remains(
            names,
            about,
            await system_catalogs.roles(session, names),
            await system_catalogs.memberships(session, names, about.version_number),
            await system_catalogs.database(session, names.database),
        )


async def removed(server: Server, names: Names, owner: Identity) -> tuple[str, str]:
    """Remove or give back what is ours. Return what became of it, "gone" or "kept", or what is waited for."""
    found = await observed(server, names)
    mark = found.mark_of_database(owner)
    ours = found.ours(owner)
    if found.database is not None and mark is None and marks.standing(found.database.comment, owner) != Standing.OURS:
        # The database is somebody else's. Roles of ours may hold on to it, so they are not touched either.
        return "gone", ""
    keeps = owner.retain or (mark is not None and mark.origin is Origin.ADOPTED)
    if mark is not None and keeps:
        await _give_back(server, found, mark, ours)
        return "kept", ""
    if owner.retain and ours:
        await _release_roles(server, ours)
        return "kept", ""
    async with server.session() as session:
        await _act_as(session, found, [role.name for role in ours])
    if mark is not None and (waits := await _drop_database(server, found, ours)):
        return "waiting", waits
    return await _drop_roles(server, ours)


async def _give_back(server: Server, found: Remains, mark: Mark, ours: Sequence[SeenRole]) -> None:
    """Take our marks away, last that of the database, so that nothing is forgotten if we are stopped."""
    name, database = found.names.database, found.database
    before = database.comment if database else None
    async with server.session() as session:
        await _act_as(session, found, [role.name for role in ours])
        owner = mark.former_owner if mark.former_owner in await _existing(session, [mark.former_owner]) else None
    if owner is not None and mark.former is not None:
        await _restored(server, found.names, mark.former)
    async with server.session() as session:
        for role in ours:
            await _release(session, role)
        comment = marks.marked(before, replace(mark, origin=Origin.RELEASED, former=None))
        if owner is not None and mark.former is not None:
            comment = marks.restored(before, mark.former)
        statements = [do.comment_database(name, comment)]
        if owner is not None and owner != found.names.owner:
            statements = [*statements, do.own_database(name, owner)]
        await session.run(f"give database {name} back", statements)


async def _restored(server: Server, names: Names, former: Former) -> None:
    """Put rights on a database that was adopted, and on its schema, back as they were."""
    ours = (names.app, names.reader, names.migrator)
    async with server.session(names.database) as session:
        granted = [*ours, *await _existing(session, former.schema_granted)]
        statements = [do.revoke_schema_of("public", granted)]
        if former.schema_public:
            statements.append(do.open_schema("public", former.schema_public))
        if former.schema_owner is not None and await session.rows("read the schema public", _PUBLIC):
            await session.run(f"give rights in {names.database} back", statements, role=names.owner)
            if former.schema_owner not in ("pg_database_owner", names.owner):
                await session.run("give the schema public back", [do.own_schema("public", former.schema_owner)])
    async with server.session() as session:
        granted = [*ours, *await _existing(session, former.granted)]
        statements = [do.revoke_database_of(names.database, granted)]
        if former.public:
            statements.append(do.open_database(names.database, former.public))
        statements.append(do.limit_database(names.database, former.connection_limit))
        await session.run(f"give rights on {names.database} back", statements, role=names.owner)


_PUBLIC = "SELECT 1 FROM pg_namespace WHERE nspname = 'public'"


async def _release_roles(server: Server, ours: Sequence[SeenRole]) -> None:
    async with server.session() as session:
        for role in ours:
            await _release(session, role)


async def _release(session: Session, role: SeenRole) -> None:
    mark = marks.parse(role.comment)
    if mark is None:
        return
    comment = marks.marked(role.comment, replace(mark, origin=Origin.RELEASED))
    await session.run(f"give role {role.name} back", [do.comment_role(role.name, comment)])


async def _drop_database(server: Server, found: Remains, ours: Sequence[SeenRole]) -> str | None:
    """Drop the database with everybody in it; return what stands in the way, if anything."""
    name = found.names.database
    async with server.session() as session:
        # Who is let in no more does not come back.
        logins = [role.name for role in ours if role.login]
        await session.run(
            f"lock out the logins of {name}",
            [do.alter_role(login, [do.role_option("LOGIN", on=False)]) for login in logins],
        )
        if found.database is not None and found.database.is_whole:
            await session.run(f"close database {name}", [do.admit_to_database(name, allowed=False)])
    await server.forget(name)
    async with server.session() as session:
        strangers = await session.rows(
            "read sessions",
            """SELECT DISTINCT usename AS role FROM pg_stat_activity a JOIN pg_roles me ON me.rolname = current_user
                WHERE datname = %s AND pid <> pg_backend_pid() AND NOT me.rolsuper
                  AND NOT pg_has_role(usesysid, 'USAGE') AND NOT pg_has_role('pg_signal_backend', 'USAGE')
                ORDER BY 1""",
            name,
        )
        if strangers:
            who = ", ".join(str(row["role"]) for row in strangers)
            return f"sessions of {who} are open in it, which the operator may not end; end them"
        await session.run(f"drop database {name}", [do.drop_database(name)], transaction=False)
    return None


async def _drop_roles(server: Server, ours: Sequence[SeenRole]) -> tuple[str, str]:
    """Drop the roles, those with grants in other databases after these grants."""
    for role in ours:
        if waits := await _taken_out(server, role.name):
            return "waiting", waits
    async with server.session() as session:
        for role in ours:
            end = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}")
            await session.run(f"end sessions of {role.name}", [end.format(sql.Literal(role.name))])
            await session.run(f"drop role {role.name}", [do.drop_role(role.name)])
    return "gone", ""


async def _taken_out(server: Server, role: str) -> str | None:
    """Revoke what the role was granted in other databases; return what is left to others to do, if anything."""
    held = await _dependencies(server, role)
    if owns := sorted(where for where, owned in held.items() if owned):
        return f"role {role} owns objects in {', '.join(owns)}; REASSIGN OWNED or DROP OWNED there"
    for where in held:
        async with server.session(where) as session:
            await session.run(f"take {role} out of its grants", [do.drop_owned(role)])
    if held and (left := await _dependencies(server, role)):
        # Only who may grant on these objects may revoke, and PostgreSQL says nothing where one may not.
        return f"others granted rights to role {role} in {', '.join(left)}; run DROP OWNED BY there as a superuser"
    return None


async def _dependencies(server: Server, role: str) -> dict[str, bool]:
    """Return the databases in which something depends on the role, and whether it owns anything there."""
    async with server.session() as session:
        rows = await session.rows(
            "read dependencies",
            """SELECT coalesce(datname, 'postgres') AS database, bool_or(deptype = 'o') AS owns
                 FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid AND d.refclassid = 'pg_authid'::regclass
                 LEFT JOIN pg_database b ON b.oid = d.dbid
                WHERE r.rolname = %s AND d.classid <> 'pg_auth_members'::regclass GROUP BY 1 ORDER BY 1""",
            role,
        )
    return {row["database"]: row["owns"] for row in rows}


async def _act_as(session: Session, found: Remains, roles: Sequence[str]) -> None:
    """Make the operator's role a member of ours: it needs that to end their sessions and to drop what they own."""
    if found.server.superuser:
        return
    options = found.server.version_number >= system_catalogs.WITH_OPTIONS
    held = {m.role for m in found.memberships if m.member == found.server.admin and m.inherit and m.set}
    statements = [do.grant_role(role, found.server.admin, options=options) for role in roles if role not in held]
    await session.run("become a member of the environment's roles", statements)


async def _existing(session: Session, roles: Iterable[str | None]) -> list[str]:
    wanted = [role for role in roles if role is not None]
    rows = await session.rows("read roles", "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1", wanted)
    return [str(row["rolname"]) for row in rows]
