"""Marks databases and roles as belonging to an environment, by their comment, and recognises the marks. Pure.

The mark is the last line of the comment, so what others wrote before it stays. It says which environment by name
and uid, whether the thing was created or adopted, and for an adopted database who owned it before: that is who
gets it back. `released` is what is left on something that was kept when its environment went; it may be adopted.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from biospark_operator.engine.component import Identity

PREFIX = "biospark-operator "


class Origin(StrEnum):
    """How something came to its environment."""

    CREATED = "Created"
    ADOPTED = "Adopted"
    RELEASED = "Released"


class Standing(StrEnum):
    """Whose something is."""

    OURS = "Ours"
    UNOWNED = "Unowned"
    ANOTHERS = "Anothers"


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


def parse(comment: str | None) -> Mark | None:
    """Return the mark in a comment, or None where there is none."""
    last = (comment or "").rpartition("\n")[2]
    if not last.startswith(PREFIX):
        return None
    try:
        said = json.loads(last.removeprefix(PREFIX))
        return Mark(
            said["environment"],
            said["uid"],
            Origin(said["origin"]),
            said.get("former_owner"),
            _number(said.get("creates")),
            _number(said.get("holds")),
            said.get("filled") is True,
        )
    except (ValueError, KeyError, TypeError):
        return None


def ours(comment: str | None, owner: Identity) -> Mark | None:
    """Return the mark in a comment if it says that the thing is the environment's."""
    return parse(comment) if standing(comment, owner) is Standing.OURS else None


def standing(comment: str | None, owner: Identity) -> Standing:
    """Say whose something with this comment is, as the environment `owner` sees it."""
    mark = parse(comment)
    if mark is None or mark.origin is Origin.RELEASED:
        return Standing.UNOWNED
    return Standing.OURS if mark.uid == owner.uid else Standing.ANOTHERS


def marked(comment: str | None, mark: Mark) -> str:
    """Return a comment with `mark` in place of the one it has, if any; the rest stays."""
    said = {key: value for key, value in asdict(mark).items() if value is not None and value is not False}
    return "\n".join([*_foreign(comment), PREFIX + json.dumps(said)])


def unmarked(comment: str | None) -> str | None:
    """Return what others wrote of a comment, or None where that is nothing."""
    return "\n".join(_foreign(comment)) or None


def _number(said: object) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _foreign(comment: str | None) -> list[str]:
    lines = (comment or "").split("\n") if comment else []
    return lines[:-1] if lines and lines[-1].startswith(PREFIX) else lines
