"""Which database is the environment's own: whether it was created here, and whether one that was there is gone. Pure.

A database has an object id, and one that is made anew has another. What the operator creates gets an id that is
known beforehand and stands on the owner role (`Mark.creates`) before CREATE DATABASE is sent: so a database with this
id was created here, also where the operator was killed before it could mark it, and one that was made by hand was not.

What was there is known from two places, as each may be lost: from the status, and from the owner role
(`Mark.holds`). A human who consents to an empty database names the one that is lost, by its id. What is then created
has another one, so the consent holds for this loss and for no later one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from biospark_operator.api.v1alpha1.environment import ALLOW_EMPTY_DATABASE
from biospark_operator.components.database import marks
from biospark_operator.components.database.marks import Mark
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import Seen
from biospark_operator.engine.component import Environment
from biospark_operator.objects.ownership import Standing

#: Object ids below are PostgreSQL's own, from the second on there are none.
_FIRST_ID, _END_OF_IDS = 1 << 14, 1 << 32


def remembered(env: Environment) -> Mapping[str, Any]:
    """Return what the status tells of this database; nothing where it tells of another one."""
    told: Mapping[str, Any] = env.status.get("database") or {}
    return told if told.get("name") == env.spec.database.name else {}


def owner_mark(env: Environment, seen: Seen) -> Mark | None:
    """Return our mark on the owner role."""
    owner = seen.roles.get(Names(env.spec.database.name).owner)
    return marks.ours(owner.comment if owner else None, env.identity)


def takes_over(env: Environment, seen: Seen) -> bool:
    """Whether anything there is still the predecessor's, from which this environment is to take over."""
    comments = [role.comment for role in seen.roles.values()]
    comments += [seen.database.comment] if seen.database else []
    return any(marks.standing(comment, env.identity) is Standing.PREDECESSORS for comment in comments)


def was_created(env: Environment, seen: Seen) -> bool:
    """Whether the database is the one that this environment's CREATE DATABASE made, marked or not."""
    mark = owner_mark(env, seen)
    return seen.database is not None and mark is not None and mark.creates == seen.database.object_id


def begins_anew(env: Environment, mark: Mark | None, object_id: int | None) -> bool:
    """Whether the database was created here since the status was written: what that tells is of the one before.

    `mark` is ours on the owner role.
    """
    created = mark is not None and mark.creates is not None and mark.creates == object_id
    return created and _id_in_status(env) != object_id


def was_emptied(env: Environment, mark: Mark | None, object_id: int | None) -> bool:
    """Whether a database without a schema had one before, or stands where one was that had one."""
    if begins_anew(env, mark, object_id):
        return False
    return remembered(env).get("schemaRevision") is not None or (mark is not None and mark.filled)


def lost(env: Environment, seen: Seen) -> int | None:
    """Return the object id of the database that was there and is gone, or None where there is nothing missing."""
    if seen.database is not None:
        return None
    owner = seen.roles.get(Names(env.spec.database.name).owner)
    comment = owner.comment if owner else None
    mark = marks.parse(comment)
    known = marks.standing(comment, env.identity) in (Standing.OURS, Standing.PREDECESSORS)
    return _id_in_status(env) or (mark.holds if mark is not None and known else None)


def consent(env: Environment, object_id: int) -> str:
    """Return what a human writes who does without a database that is lost."""
    return f"{env.spec.database.name}/{object_id}"


def may_be_created(env: Environment, seen: Seen) -> bool:
    """Whether an empty database may take the place: nothing is lost, or a human consents to do without it."""
    missing = lost(env, seen)
    return missing is None or env.annotations.get(ALLOW_EMPTY_DATABASE) == consent(env, missing)


def intended_id(env: Environment, seen: Seen) -> int:
    """Return the object id under which the database is to be created.

    It is the same as often as it is asked, until the database is there.
    """
    mark, missing = owner_mark(env, seen), lost(env, seen)
    if mark is not None and mark.creates is not None and mark.holds is None and mark.creates != missing:
        return mark.creates
    digest = hashlib.sha256(f"{env.uid}/{env.spec.database.name}/{missing or ''}".encode()).digest()
    return _FIRST_ID + int.from_bytes(digest[:8]) % (_END_OF_IDS - _FIRST_ID)


def _id_in_status(env: Environment) -> int | None:
    found = remembered(env).get("objectId")
    return found if isinstance(found, int) else None
