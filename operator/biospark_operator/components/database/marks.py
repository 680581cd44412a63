"""Marks databases and roles as belonging to an environment, by their comment, and recognises the marks. Pure.

What marks mean is said by `objects.ownership`; the comment carries them. The mark is its last line, so what others
wrote before it stays. It says which environment by name and uid, whether the thing was created or adopted, and for an
adopted database who owned it before: that is who gets it back, and how it was. `Released` is what is left on something
that was kept when its environment went, and `Offered` is written by whoever administers the server. Both name the
environment that may take the thing over: who may write environments has no say in that.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from biospark_operator.engine.component import Identity
from biospark_operator.objects.ownership import Origin, Standing, standing_of

PREFIX = "biospark-operator "
_RIGHTS = frozenset({"CONNECT", "CREATE", "TEMPORARY", "USAGE"})


@dataclass(frozen=True)
class Former:
    """How a database was before it was adopted: what it gets back when its environment goes."""

    #: The line of its comment that offered it.
    offer: str
    connection_limit: int
    #: What everybody might do with it, and who was granted that by name in place of it.
    public: tuple[str, ...]
    granted: tuple[str, ...]
    #: The same of its schema `public`, and who owned that.
    schema_owner: str | None
    schema_public: tuple[str, ...]
    schema_granted: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """What the last line of a comment says."""

    environment: str
    uid: str
    origin: Origin
    former_owner: str | None = None
    #: On the owner role, the object id under which the database is, or is about to be, created for the environment.
    creates: int | None = None
    #: On the owner role, the object id of the database that was there.
    holds: int | None = None
    #: On the owner role, whether that database had a schema: migrations were applied.
    filled: bool = False
    former: Former | None = None


def parse(comment: str | None) -> Mark | None:
    """Return the mark in a comment, or None where there is none."""
    last = line(comment)
    if not last.startswith(PREFIX):
        return None
    try:
        said = json.loads(last.removeprefix(PREFIX))
        origin = Origin(said["origin"])
        return Mark(
            said["environment"],
            said.get("uid", "") if origin is Origin.OFFERED else said["uid"],
            origin,
            said.get("former_owner"),
            _number(said.get("creates")),
            _number(said.get("holds")),
            said.get("filled") is True,
            _former(said.get("former")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def ours(comment: str | None, owner: Identity) -> Mark | None:
    """Return the mark in a comment if it says that the thing is the environment's."""
    return parse(comment) if standing(comment, owner) is Standing.OURS else None


def standing(comment: str | None, owner: Identity) -> Standing:
    """Say whose something with this comment is, as the environment `owner` sees it."""
    mark = parse(comment)
    if mark is None:
        return Standing.UNOWNED
    return standing_of(mark.environment, mark.uid, mark.origin, owner)


def marked(comment: str | None, mark: Mark) -> str:
    """Return a comment with `mark` in place of the one it has, if any; the rest stays."""
    said = {key: value for key, value in asdict(mark).items() if value is not None and value is not False}
    return "\n".join([*_foreign(comment), PREFIX + json.dumps(said)])


def offer(environment: str) -> str:
    """Return the line that offers something to an environment, as an administrator writes it."""
    return PREFIX + json.dumps({"environment": environment, "origin": Origin.OFFERED})


def line(comment: str | None) -> str:
    """Return the line of a comment that has the mark."""
    return (comment or "").rpartition("\n")[2]


def restored(comment: str | None, former: Former) -> str:
    """Return a comment as it was before the thing was adopted, but for what others wrote since."""
    return "\n".join([*_foreign(comment), former.offer])


def unmarked(comment: str | None) -> str | None:
    """Return what others wrote of a comment, or None where that is nothing."""
    return "\n".join(_foreign(comment)) or None


def _number(said: object) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _former(said: Any) -> Former | None:
    """Read how a database was. Rights become keywords of SQL, so none is read that is none."""
    if said is None:
        return None
    return Former(
        offer=str(said["offer"]),
        connection_limit=int(said["connection_limit"]),
        public=tuple(right for right in said["public"] if right in _RIGHTS),
        granted=tuple(map(str, said["granted"])),
        schema_owner=None if said["schema_owner"] is None else str(said["schema_owner"]),
        schema_public=tuple(right for right in said["schema_public"] if right in _RIGHTS),
        schema_granted=tuple(map(str, said["schema_granted"])),
    )


def _foreign(comment: str | None) -> list[str]:
    lines = (comment or "").split("\n") if comment else []
    return lines[:-1] if lines and lines[-1].startswith(PREFIX) else lines
