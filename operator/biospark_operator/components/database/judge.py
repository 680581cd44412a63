"""How far a database is: refused, incompatible, on its way, or ready, and what others should know of it. Pure."""

from __future__ import annotations

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy
from biospark_operator.clients.objects import ObjectRef
from biospark_operator.components import ownership
from biospark_operator.components.database import credentials, marks, wanted
from biospark_operator.components.database.marks import Origin, Standing
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import Seen
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Failed


def refusal(env: Environment, seen: Seen) -> Blocked | Failed | None:
    """Say why nothing may be done at all, or None where something may."""
    if seen.server.version_number < wanted.OLDEST:
        return Blocked(
            Reason.DATABASE_INCOMPATIBLE,
            f"{seen.where} is PostgreSQL {seen.server.version}; move to PostgreSQL 15 or newer",
        )
    if seen.server.read_only:
        return Failed(
            Reason.SERVER_UNAVAILABLE,
            f"{seen.where} is read-only; point spec.database.server at the primary, or see why it accepts no writes",
        )
    return _foreign(env, seen) or _fixed(env, seen)


def _foreign(env: Environment, seen: Seen) -> Blocked | None:
    names, adopts = Names(env.spec.database.name), env.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED
    things = [(f"role {name}", role.comment) for name, role in sorted(seen.roles.items())]
    if seen.database is not None and not _was_created_here(env, seen):
        things.insert(0, (f"database {names.database}", seen.database.comment))
    for what, comment in things:
        match marks.standing(comment, env.identity):
            case Standing.ANOTHERS:
                mark = marks.parse(comment)
                owner = mark.environment if mark else ""
                return Blocked(
                    Reason.DATABASE_CONFLICT,
                    f"{what} on {seen.where} belongs to the environment {owner}; create this environment with another "
                    "spec.database.name",
                )
            case Standing.UNOWNED if not adopts:
                way_out = "drop or rename it, or set spec.adoptionPolicy: IfUnowned to take it over"
                return Blocked(Reason.NOT_OWNED, ownership.not_created_here(f"{what} on {seen.where}", way_out))
    for secret in seen.secrets.values():
        if not ownership.is_ours(secret, env.identity):
            refused = ownership.not_created_here(ObjectRef.of(secret).short, "delete or rename it")
            return Blocked(Reason.NOT_OWNED, refused)
    return None


def _was_created_here(env: Environment, seen: Seen) -> bool:
    """Whether we created the database and were stopped before we could mark it: our own owner has it."""
    names, database = Names(env.spec.database.name), seen.database
    if database is None or database.comment is not None or database.owner != names.owner:
        return False
    owner = seen.roles.get(names.owner)
    mark = marks.parse(owner.comment if owner else None)
    return mark is not None and mark.uid == env.uid and mark.origin is Origin.CREATED


def _fixed(env: Environment, seen: Seen) -> Blocked | None:
    if seen.database is None or seen.database.encoding == wanted.ENCODING:
        return None
    return Blocked(
        Reason.DATABASE_INCOMPATIBLE,
        f"database {env.spec.database.name} on {seen.where} has the encoding {seen.database.encoding}, which can't be "
        f"changed; dump it and restore it into one with {wanted.ENCODING}",
    )


def notes(env: Environment, seen: Seen) -> list[str]:
    """Return what is not ours to change and worth knowing."""
    names, found = Names(env.spec.database.name), []
    if seen.database is not None:
        if seen.database.collation != seen.server.collation:
            found.append(f"its collation {seen.database.collation} is not the server's {seen.server.collation}")
        ours = {*names.roles, seen.server.admin}
        if strangers := sorted({grant.grantee for grant in seen.database.grants} - ours):
            found.append(f"rights on it are also granted to {', '.join(strangers)}")
        members = {m.member for m in seen.memberships if m.role in names.roles} - ours
        if members:
            found.append(f"also members of its roles: {', '.join(sorted(members))}")
    if seen.inside is not None and seen.inside.foreign_owners:
        owners = ", ".join(f"{owner} ({number})" for owner, number in seen.inside.foreign_owners.items())
        found.append(f"tables in it belong to others, so migrations can't change them: {owners}")
    account, _ = credentials.accounts(names)
    held = credentials.stored(account, seen.secrets.get(account.secret))
    if held is not None and account.other(held.user) in seen.roles:
        found.append(f"the login {account.other(held.user)} is dropped when no pod needs it and it has no session")
    return found
