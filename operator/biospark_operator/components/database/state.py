"""What is observed of a database, its roles and its credentials: plain values that `plan` and `judge` read.

Passwords are among them, so nothing here has them in its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from biospark_operator.components.handover import Uptake
from biospark_operator.components.secrets.store import Slot

PUBLIC = "PUBLIC"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One right of one role, or of `PUBLIC`."""

    grantee: str
    privilege: str


@dataclass(frozen=True, slots=True)
class SeenRole:
    """A role; attributes by the names that SQL has for them, such as `SUPERUSER`, in `powers`."""

    name: str
    login: bool
    inherit: bool
    connection_limit: int
    powers: frozenset[str] = frozenset()
    expires: bool = False
    expired: bool = False
    comment: str | None = None
    #: Where else than in the environment's database it owns something or has rights, as far as that was read.
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Membership:
    """`member` is a member of `role`, as `grantor` granted."""

    role: str
    member: str
    grantor: str
    inherit: bool = True
    set: bool = True


@dataclass(frozen=True, slots=True)
class SeenDatabase:
    """A database as the server's system catalogs have it.

    `is_whole` is false where DROP DATABASE was interrupted: nothing in it can be read any more.
    """

    owner: str
    encoding: str
    collation: str
    connection_limit: int
    grants: frozenset[Grant]
    comment: str | None = None
    allows_connections: bool = True
    object_id: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class SeenExtension:
    """An extension that is installed in the database."""

    version: str
    schema: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence of the owner."""

    kind: str
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Inside:
    """What can only be seen from within the database. As it is made, it is that of a new one."""

    public_owner: str | None = "pg_database_owner"
    public_grants: frozenset[Grant] = frozenset({Grant(PUBLIC, "USAGE")})
    #: By kind: what objects that the owner makes from now on grant.
    defaults: Mapping[str, frozenset[Grant]] = field(
        default_factory=lambda: {
            "FUNCTIONS": frozenset({Grant(PUBLIC, "EXECUTE")}),
            "TYPES": frozenset({Grant(PUBLIC, "USAGE")}),
        }
    )
    #: What the role of the API, and that of readers, has no right at all on.
    hidden_from_app: tuple[Relation, ...] = ()
    hidden_from_reader: tuple[Relation, ...] = ()
    extensions: Mapping[str, SeenExtension] = field(default_factory=dict)
    #: Who else owns or may use tables and the like in the schema public.
    bystanders: tuple[str, ...] = ()
    #: How many tables and the like belong to whom else.
    foreign_owners: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeenServer:
    """The server and the operator's own role there."""

    version_number: int
    version: str
    read_only: bool
    admin: str
    superuser: bool
    collation: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a pass looked at."""

    server: SeenServer
    where: str
    now: datetime
    roles: Mapping[str, SeenRole] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    database: SeenDatabase | None = None
    inside: Inside | None = None
    #: Open sessions by role.
    sessions: Mapping[str, int] = field(default_factory=dict)
    #: The places of the credentials, by name.
    slots: Mapping[str, Slot] = field(default_factory=dict, repr=False)
    #: Whether the API can log in with its credentials; None where that was not tried.
    login_works: bool | None = None
    #: Which credentials the pods of the API have.
    uptake: Uptake = field(default_factory=Uptake)
    authority: bytes | None = field(default=None, repr=False)
    #: Seconds for which none of the logins was seen in a database that is to be taken over.
    quiet_for: float = 0.0
