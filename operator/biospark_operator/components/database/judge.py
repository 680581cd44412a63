"""How far a database is: refused, incompatible, on its way, or ready, and what others should know of it. Pure."""

from __future__ import annotations

from biospark_operator.api.v1alpha1.environment import ALLOW_EMPTY_DATABASE, KIND, TAKE_OVER_FROM
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy
from biospark_operator.components.database import credentials, existence, marks, sizing, wanted
from biospark_operator.components.database.marks import Mark
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import Seen
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Failed
from biospark_operator.objects import ownership
from biospark_operator.objects.ownership import Origin, Standing

#: Seconds for which no login of a predecessor may have a session before it counts as gone, and between looks.
QUIET, LOOK = 300.0, 30.0


def refusal(env: Environment, seen: Seen) -> Blocked | Failed | None:
    """Say why nothing may be done at all, or None where something may."""
    if (too_few := sizing.too_few_connections(env)) is not None:
        return Blocked(Reason.INVALID_SPEC, too_few)
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
    return _foreign(env, seen) or _alive(env, seen) or _missing(env, seen) or _fixed(env, seen)


def _foreign(env: Environment, seen: Seen) -> Blocked | None:
    names, adopts = Names(env.spec.database.name), env.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED
    things = [(f"role {name}", role.comment) for name, role in sorted(seen.roles.items())]
    if seen.database is not None and not _is_to_be_marked(env, seen):
        things.insert(0, (f"database {names.database}", seen.database.comment))
    for what, comment in things:
        mark, thing = marks.parse(comment), f"{what} on {seen.where}"
        match marks.standing(comment, env.identity):
            case Standing.ANOTHERS if mark is not None and _is_a_namesakes(env, mark):
                return Blocked(
                    Reason.DATABASE_CONFLICT,
                    f"{thing} belongs to an environment {env.name} with the uid {mark.uid}: one of another cluster, or "
                    f"this one before its cluster was lost; only in the second case annotate it with {TAKE_OVER_FROM}: "
                    f"{mark.uid} to take over what that had, else create it with another spec.database.name",
                )
            case Standing.ANOTHERS:
                owner = mark.environment if mark else ""
                another = "create this environment with another spec.database.name"
                if mark is not None and mark.origin in (Origin.RELEASED, Origin.OFFERED):
                    hand_over = f"{another}, or have the administrator of the server hand it over"
                    return Blocked(Reason.DATABASE_CONFLICT, ownership.kept_for(thing, owner, hand_over))
                return Blocked(Reason.DATABASE_CONFLICT, ownership.belongs_to(thing, f"{KIND} {owner}", another))
            case Standing.UNOWNED:
                return _unowned(env, thing, role=what.startswith("role "))
            case Standing.OFFERED if not adopts:
                kept = mark is not None and mark.origin is Origin.RELEASED
                return Blocked(
                    Reason.NOT_OWNED,
                    f"{thing} {'was kept when an earlier' if kept else 'is offered to this'} environment"
                    f"{f' {env.name} was deleted' if kept else ''}; set spec.adoptionPolicy: IfUnowned to take it over",
                )
    if adopts and (refused := _not_to_be_taken(env, seen)) is not None:
        return refused
    for slot in seen.slots.values():
        if slot.refused is not None:
            return Blocked(Reason.NOT_OWNED, slot.refused)
    return None


def _is_a_namesakes(env: Environment, mark: Mark) -> bool:
    return mark.environment == env.name and mark.origin in (Origin.CREATED, Origin.ADOPTED)


def _alive(env: Environment, seen: Seen) -> Blocked | Failed | None:
    """Say why a predecessor may still be alive, from which this environment is to take over.

    An API that is alive has sessions, and comes back within minutes when its pods or the server are restarted.
    """
    if not existence.takes_over(env, seen):
        return None
    logins = sorted(role for role, number in seen.sessions.items() if number)
    if logins:
        return Blocked(
            Reason.DATABASE_CONFLICT,
            f"{', '.join(logins)} has a session on {seen.where}: the environment with "
            f"the uid {env.identity.predecessor} is alive; stop its API, or remove the annotation {TAKE_OVER_FROM}",
        )
    if seen.quiet_for < QUIET:
        return Failed(
            Reason.PROGRESSING,
            f"database {env.spec.database.name} on {seen.where} is taken over from the environment with the uid "
            f"{env.identity.predecessor} once none of its logins had a session for {QUIET / 60:.0f} minutes",
            LOOK,
        )
    return None


def _unowned(env: Environment, thing: str, *, role: bool) -> Blocked:
    """Say what is to be done about what nobody gave to this environment. A role of others is never taken over."""
    other = (
        "have the administrator of the server rename the role"
        if role
        else (
            "have the administrator of the server offer it to this one: the last line of its comment has to be "
            f"{marks.offer(env.name)}"
        )
    )
    way_out = f"create this environment with another spec.database.name, or {other}"
    return Blocked(Reason.NOT_OWNED, ownership.not_created_here(thing, way_out))


def _not_to_be_taken(env: Environment, seen: Seen) -> Blocked | None:
    """Say what stands in the way of taking over what may be taken over."""
    names, database = Names(env.spec.database.name), seen.database
    offered = database is not None and marks.standing(database.comment, env.identity) is Standing.OFFERED
    if database is not None and offered and not database.allows_connections:
        return Blocked(
            Reason.NOT_OWNED,
            f"database {names.database} on {seen.where} accepts no connections, so it can't be taken over as it is; "
            f'run ALTER DATABASE "{names.database}" ALLOW_CONNECTIONS true',
        )
    for name, role in sorted(seen.roles.items()):
        mark = marks.parse(role.comment)
        if mark is None or marks.standing(role.comment, env.identity) is not Standing.OFFERED:
            continue
        if mark.origin is Origin.OFFERED:
            return _unowned(env, f"role {name} on {seen.where}", role=True)
        others = {*names.roles, seen.server.admin}
        found = [
            *(sorted(role.powers)),
            *(f"rights in {place}" for place in role.elsewhere),
            *(f"membership of {m.role}" for m in seen.memberships if m.member == name and m.role not in others),
            *(f"the member {m.member}" for m in seen.memberships if m.role == name and m.member not in others),
        ]
        if found:
            return Blocked(
                Reason.NOT_OWNED,
                f"role {name} on {seen.where} was kept when an earlier environment {env.name} was deleted, and is used "
                f"otherwise since: it has {', '.join(found)}; take that away, or rename the role",
            )
    return None


def _is_to_be_marked(env: Environment, seen: Seen) -> bool:
    """Whether we created the database and it has no mark, because we were stopped or somebody took it away."""
    return existence.was_created(env, seen) and marks.parse(seen.database.comment if seen.database else None) is None


def _missing(env: Environment, seen: Seen) -> Blocked | None:
    name = env.spec.database.name
    if seen.database is not None and not seen.database.is_whole:
        return Blocked(
            Reason.DATABASE_MISSING,
            f"database {name} on {seen.where} is what an interrupted DROP DATABASE left, and can't be read any more; "
            "drop it and restore it",
        )
    missing = existence.lost(env, seen)
    if missing is None or existence.may_be_created(env, seen):
        return None
    return Blocked(
        Reason.DATABASE_MISSING,
        f"database {name} was there and is not on {seen.where} any more; restore it there, or correct "
        "spec.database.server if this is the wrong server; only where its data may be lost annotate the environment "
        f"with {ALLOW_EMPTY_DATABASE}: {existence.consent(env, missing)} to begin with an empty one",
    )


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
    held = credentials.stored(account, seen.slots.get(account.secret))
    if held is not None and account.other(held.user) in seen.roles:
        found.append(f"the login {account.other(held.user)} is dropped when no pod needs it and it has no session")
    return found
