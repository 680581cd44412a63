"""What is observed of a schema, and the actions on it: plain values that `verdict` reads and makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from biospark_api.schema import Comparison
from biospark_operator.components.database.marks import Mark
from biospark_operator.components.schema.migration import Run


@dataclass(frozen=True, slots=True)
class Seen:
    """A schema. As it is made, it is that of a database which is still to be created."""

    where: str
    #: The newest migration that was applied, None where none was.
    revision: str | None = None
    #: By migration that was applied, its checksum then.
    history: Mapping[str, str] = field(default_factory=dict)
    #: How it differs from the model; None where it is not at the newest migration, to which the model belongs.
    comparison: Comparison | None = None
    missing_agents: tuple[str, ...] = ()
    #: By role and table that our owner has: the privileges there are.
    rights: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    #: Object id of the database, and what the owner role says of it.
    object_id: int | None = None
    owner: Mark | None = None
    #: The migrations that are under way.
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class Migrate:
    """Apply one migration; `last` is the last one of those that are to be applied."""

    revision: str
    last: str


@dataclass(frozen=True, slots=True)
class Note:
    """Write on the owner role that there is a schema."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Execute statements about rights, as the owner."""

    statements: tuple[sql.Composed, ...]
