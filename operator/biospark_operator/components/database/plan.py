"""From what shall be and what is to what is to be done. Pure.

Each action is one transaction, or one statement that can't be in one, and its summary is the SQL. The order is
that of need: roles, database, rights, credentials, extensions, and last what is not needed any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.components.database import credentials, existence, marks, wanted
from biospark_operator.components.database import statements as do
from biospark_operator.components.database.actions import Run, SetPassword, Write
from biospark_operator.components.database.credentials import Account
from biospark_operator.components.database.marks import Former, Mark
from biospark_operator.components.database.names import Names, database_id, role_id
from biospark_operator.components.database.state import PUBLIC, Grant, Inside, Seen, SeenDatabase, SeenRole
from biospark_operator.components.database.statements import Statement
from biospark_operator.components.database.system_catalogs import WITH_OPTIONS
from biospark_operator.engine.component import Action, Environment
from biospark_operator.objects.ownership import Origin, Standing


def plan(env: Environment, seen: Seen) -> list[Action]:
    """Return what is to be done, in order."""
    if env.spec.database.server is None:
        return []
    return list(_Planner(env, env.spec.database.server, seen).actions())


@dataclass(frozen=True)
class _Planner:
    env: Environment
    server: EffectiveDatabaseServer
    seen: Seen

    @property
    def names(self) -> Names:
        return Names(self.env.spec.database.name)

    @property
    def inside(self) -> Inside:
        return self.seen.inside or Inside()

    def actions(self) -> Iterator[Action]:
        """Yield all actions."""
        yield from self.roles()
        yield from self.database()
        yield from self.rights_inside()
        for account in credentials.accounts(self.names):
            yield from self.credentials(account)
        yield from self.extensions()
        yield from self.retirement()

    def roles(self) -> Iterator[Action]:
        """Make the permanent roles, and keep all that exist as they shall be."""
        for role in wanted.roles(self.names, self.env.spec.database.connection_limit).values():
            found = self.seen.roles.get(role.name)
            if found is not None:
                yield from self.role(role, found)
            elif role.name in self.names.permanent:
                yield self.run(Verb.CREATE, self.role_id(role.name), *self.creation(role))
        yield from self.memberships()

    def role(self, role: wanted.Role, found: SeenRole) -> Iterator[Action]:
        """Repair one role."""
        statements: list[Statement] = []
        if options := _attributes(role, found):
            statements.append(do.alter_role(role.name, options))
        mark = self.role_mark(role.name, found.comment)
        if marks.standing(found.comment, self.env.identity) is not Standing.OURS:
            statements.append(do.comment_role(role.name, marks.marked(found.comment, mark)))
        elif mark != marks.parse(found.comment):
            noted = do.comment_role(role.name, marks.marked(found.comment, mark))
            yield self.run(Verb.UPDATE, self.role_id(role.name), noted, routine=True)
        statements += [
            do.revoke_role(m.role, m.member, m.grantor if self.seen.server.version_number >= WITH_OPTIONS else None)
            for m in self.seen.memberships
            if m.member == role.name and (m.role, m.member) not in wanted.memberships(self.names)
        ]
        if statements:
            yield self.run(Verb.UPDATE, self.role_id(role.name), *statements)
        if role.one_time and found.expired:
            # Who gave it was killed before it took it away. Nobody knows it, and nobody can log in with it any more.
            yield self.run(Verb.UPDATE, self.role_id(role.name), do.take_password(role.name), routine=True)

    def creation(self, role: wanted.Role) -> list[Statement]:
        """Return what makes a role; the mark comes with it, so there is never one without."""
        made = do.create_role(role.name, login=role.login, inherit=role.inherit, connection_limit=role.connection_limit)
        return [made, do.comment_role(role.name, marks.marked(None, self.role_mark(role.name)))]

    def role_mark(self, role: str, comment: str | None = None) -> Mark:
        """Return the mark of a role. The owner's says which database is, or is about to be, its own."""
        there = marks.parse(comment)
        if role not in self.seen.roles:
            kept = self.mark(Origin.CREATED)
        elif there is None or marks.standing(comment, self.env.identity) is not Standing.OURS:
            # What is taken over was not created here, and neither was its database.
            kept = replace(there or self.mark(Origin.ADOPTED), environment=self.env.name, uid=self.env.uid)
            kept = replace(kept, origin=Origin.ADOPTED, creates=None)
        else:
            kept = there
        if role != self.names.owner:
            return kept
        if self.seen.database is not None:
            return replace(kept, holds=self.seen.database.object_id)
        return replace(kept, creates=existence.intended_id(self.env, self.seen), holds=None, filled=False)

    def memberships(self) -> Iterator[Action]:
        """Make our roles members of each other, and the operator's role of the owner, so that it may act as it."""
        there = {(m.role, m.member) for m in self.seen.memberships}
        for role, member in sorted(wanted.memberships(self.names)):
            exists = member in self.seen.roles or member in self.names.permanent
            if exists and (role, member) not in there:
                yield self.run(Verb.UPDATE, self.role_id(member), do.grant_role(role, member))
        if self.seen.server.superuser:
            return
        admin, options = self.seen.server.admin, self.seen.server.version_number >= WITH_OPTIONS
        held = [m for m in self.seen.memberships if (m.role, m.member) == (self.names.owner, admin)]
        able = any(m.set for m in held) and (any(m.inherit for m in held) or not options)
        if not able:
            yield self.run(
                Verb.UPDATE, self.role_id(self.names.owner), do.grant_role(self.names.owner, admin, options=options)
            )

    def database(self) -> Iterator[Action]:
        """Make the database, and keep it as it shall be."""
        name, owner, found = self.names.database, self.names.owner, self.seen.database
        created = found is None or existence.was_created(self.env, self.seen)
        if found is None:
            object_id = existence.intended_id(self.env, self.seen)
            made = do.create_database(name, owner, object_id)
            yield self.run(Verb.CREATE, self.database_id(), made, transaction=False)
            found = _as_created(owner, object_id)
        statements: list[Statement] = []
        if marks.standing(found.comment, self.env.identity) is not Standing.OURS:
            taken = self.adopted(found) if found.owner != owner else self.mark(Origin.ADOPTED)
            there = marks.parse(found.comment)
            if there is not None and marks.standing(found.comment, self.env.identity) is Standing.PREDECESSORS:
                # It was not created for this resource, whatever it was for the one before.
                taken = replace(there, uid=self.env.uid, origin=Origin.ADOPTED)
            mark = self.mark(Origin.CREATED) if created else taken
            statements.append(do.comment_database(name, marks.marked(found.comment, mark)))
        if found.owner != owner:
            # How it was is written down with the first change. Who owned it keeps its rights, which go with ownership
            # otherwise.
            keep = do.grant_database(name, wanted.on_database(self.names)[owner], found.owner)
            yield self.run(Verb.UPDATE, self.database_id(), *statements, do.own_database(name, owner), keep)
            statements = []
        if any(grant.grantee == PUBLIC for grant in found.grants):
            # Who came in as everybody does goes on to come in.
            statements += [do.grant_database(name, {"CONNECT"}, role) for role in self.bystanders(found)]
            statements.append(do.revoke_database(name))
        for role, privileges in wanted.on_database(self.names).items():
            grants = frozenset() if role == owner and found.owner != owner else found.grants
            if lacking := wanted.missing(privileges, role, grants):
                statements.append(do.grant_database(name, lacking, role))
        if (limit := self.env.spec.database.connection_limit or -1) != found.connection_limit:
            statements.append(do.limit_database(name, limit))
        if not found.allows_connections:
            statements.append(do.admit_to_database(name, allowed=True))
        if statements:
            yield self.run(Verb.UPDATE, self.database_id(), *statements, role=owner)
        if self.seen.database is None:
            known = self.seen.roles.get(owner)
            comment = known.comment if known else None
            holding = replace(self.role_mark(owner, comment), holds=found.object_id)
            noted = do.comment_role(owner, marks.marked(comment, holding))
            yield self.run(Verb.UPDATE, self.role_id(owner), noted, routine=True)

    def rights_inside(self) -> Iterator[Action]:
        """Set rights on the schema, on what will be made, and on what nobody was let at."""
        names, inside = self.names, self.inside
        if inside.public_owner not in (None, "pg_database_owner", names.owner):
            yield self.within(do.own_schema("public", "pg_database_owner"), role=None)
            # The rights of the owner that was go with it; it may be one of ours.
            inside = replace(inside, public_grants=inside.public_grants & {Grant(PUBLIC, "USAGE")})
        statements: list[Statement] = []
        if inside.public_owner is None:
            statements.append(do.create_schema("public"))
        elif any(grant.grantee == PUBLIC for grant in inside.public_grants):
            former = self.former_owner()
            for role in sorted({*self.bystanders(self.seen.database), *([former] if former else [])}):
                statements.append(do.grant_schema("public", role, create=role == former))
            statements.append(do.revoke_schema("public"))
        statements += [
            do.grant_schema("public", role)
            for role in (names.app, names.reader)
            if wanted.missing(frozenset({"USAGE"}), role, inside.public_grants)
        ]
        for kind, (app, reader) in wanted.ON_OBJECTS.items():
            grants = inside.defaults.get(kind, frozenset())
            if any(grant.grantee == PUBLIC for grant in grants):
                statements.append(do.revoke_by_default(names.owner, kind))
            for role, privileges in ((names.app, app), (names.reader, reader)):
                if lacking := wanted.missing(privileges, role, grants):
                    statements.append(do.grant_by_default(names.owner, kind, lacking, role))
        for index, (role, hidden) in enumerate(
            ((names.app, inside.hidden_from_app), (names.reader, inside.hidden_from_reader))
        ):
            statements += [do.grant_relation(r, wanted.ON_OBJECTS[f"{r.kind}S"][index], role) for r in hidden]
        if statements:
            yield self.within(*statements, role=names.owner)

    def credentials(self, account: Account) -> Iterator[Action]:
        """Give an account a login that works, and the credentials in the store that say so."""
        slot = self.seen.slots[account.secret]
        held = credentials.stored(account, slot)
        if held is None:
            first = next((login for login in account.logins if login in self.seen.roles), account.logins[0])
            yield self.password(account, first)
            return
        refused = self.seen.login_works is False and account.secret == credentials.APP_SECRET
        following = account.other(held.user)
        free = following == held.user or not self.seen.sessions.get(following)
        if held.user not in self.seen.roles:
            yield self.password(account, held.user)
            return
        if refused:
            yield self.password(account, following if free else held.user)
            return
        if free and credentials.is_due(self.env, held, self.seen.now):
            yield self.password(account, following, routine=True)
            return
        desired = credentials.handed_over(self.env, self.server, held, self.seen.authority)
        if paths := slot.differs(desired):
            yield Action(Verb.UPDATE, slot.id, f"set {', '.join(paths)}", payload=Write(slot, desired))

    def password(self, account: Account, login: str, *, routine: bool = False) -> Action:
        """Set a new password, of a login that is made if it is missing."""
        making: tuple[Statement, ...] = ()
        if login not in self.seen.roles and login not in self.names.permanent:
            role = wanted.roles(self.names, self.env.spec.database.connection_limit)[login]
            making = (*self.creation(role), do.grant_role(self.names.app, login))
        shown = do.shown([*making, do.alter_role(login, [do.HIDDEN_PASSWORD])])
        slot = self.seen.slots[account.secret]
        shown += f"; write it into {slot.where}"
        payload = SetPassword(slot, login, making)
        verb = Verb.CREATE if making else Verb.UPDATE
        return Action(verb, self.role_id(login), shown, routine=routine, payload=payload)

    def extensions(self) -> Iterator[Action]:
        """Create, update and move extensions. A superuser's are the server's business, others are the owner's."""
        role = None if self.seen.server.superuser else self.names.owner
        for extension in self.env.spec.database.extensions:
            found, schema = self.inside.extensions.get(extension.name), extension.schema_name
            room = [do.create_schema(schema)] if schema and (found is None or found.schema != schema) else []
            if found is None:
                made = do.create_extension(extension.name, schema, extension.version)
                statements = [*room, *([] if schema else [do.USE_PUBLIC]), made]
                yield self.within(*statements, role=role, verb=Verb.CREATE)
                continue
            changes = list(room)
            if extension.version and extension.version != found.version:
                changes.append(do.update_extension(extension.name, extension.version))
            if schema and schema != found.schema:
                changes.append(do.move_extension(extension.name, schema))
            if changes:
                yield self.within(*changes, role=role)

    def retirement(self) -> Iterator[Action]:
        """Drop the login that was in use before, once nobody needs it."""
        account, _ = credentials.accounts(self.names)
        held = credentials.stored(account, self.seen.slots[account.secret])
        if (
            held is None
            or credentials.is_due(self.env, held, self.seen.now)
            or not credentials.is_rolled_out(self.seen, held)
        ):
            return
        old = account.other(held.user)
        if old in self.seen.roles and not self.seen.sessions.get(old):
            yield self.run(Verb.DELETE, self.role_id(old), do.drop_role(old), routine=True)

    def bystanders(self, database: SeenDatabase | None) -> tuple[str, ...]:
        """Return who has a right to something in a database that is or was adopted."""
        if database is None or (database.owner == self.names.owner and self.former_owner() is None):
            return ()
        return self.inside.bystanders

    def former_owner(self) -> str | None:
        """Return who owned the database before it was adopted, None for one that was created."""
        database = self.seen.database
        if database is None:
            return None
        mark = marks.parse(database.comment)
        if mark is not None and mark.uid == self.env.uid:
            return mark.former_owner
        return database.owner if database.owner != self.names.owner else None

    def adopted(self, found: SeenDatabase) -> Mark:
        """Return the mark of a database that is taken over, with what it gets back when it is released."""
        inside, bystanders = self.inside, self.inside.bystanders
        connecting = {grant.grantee for grant in found.grants if grant.privilege == "CONNECT"}
        using = {grant.grantee for grant in inside.public_grants if grant.privilege == "USAGE"}
        former = Former(
            offer=marks.line(found.comment),
            connection_limit=found.connection_limit,
            public=tuple(sorted(grant.privilege for grant in found.grants if grant.grantee == PUBLIC)),
            granted=tuple(role for role in bystanders if role not in connecting),
            schema_owner=inside.public_owner,
            schema_public=tuple(sorted(grant.privilege for grant in inside.public_grants if grant.grantee == PUBLIC)),
            schema_granted=tuple(sorted({*bystanders, found.owner} - using)),
        )
        return replace(self.mark(Origin.ADOPTED, found.owner), former=former)

    def mark(self, origin: Origin, former_owner: str | None = None) -> Mark:
        return Mark(self.env.name, self.env.uid, origin, former_owner)

    def database_id(self) -> str:
        return database_id(self.server, self.names.database)

    def role_id(self, role: str) -> str:
        return role_id(self.server, self.names.database, role)

    def within(self, *statements: Statement, role: str | None, verb: Verb = Verb.UPDATE) -> Action:
        run = Run(statements, self.names.database, role)
        return Action(verb, self.database_id(), do.shown(statements), payload=run)

    def run(
        self,
        verb: Verb,
        target: str,
        *statements: Statement,
        role: str | None = None,
        transaction: bool = True,
        routine: bool = False,
    ) -> Action:
        run = Run(statements, role=role, transaction=transaction)
        return Action(verb, target, do.shown(statements), routine=routine, payload=run)


def _attributes(role: wanted.Role, found: SeenRole) -> list[do.Option]:
    options = [do.role_option(power, on=False) for power in sorted(found.powers)]
    if found.login != role.login:
        options.append(do.role_option("LOGIN", on=role.login))
    if found.inherit != role.inherit:
        options.append(do.role_option("INHERIT", on=role.inherit))
    if found.connection_limit != role.connection_limit:
        options.append(do.role_limit(role.connection_limit))
    if found.expires and not role.one_time:
        options.append(do.NEVER_EXPIRES)
    return options


def _as_created(owner: str, object_id: int) -> SeenDatabase:
    """Return the database as CREATE DATABASE makes it."""
    everybody = [Grant(PUBLIC, privilege) for privilege in ("CONNECT", "TEMPORARY")]
    own = [Grant(owner, privilege) for privilege in ("CONNECT", "CREATE", "TEMPORARY")]
    return SeenDatabase(owner, wanted.ENCODING, "", -1, frozenset([*everybody, *own]), object_id=object_id)
