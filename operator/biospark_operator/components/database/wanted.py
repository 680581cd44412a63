"""What a database, its roles and their rights shall be. Pure; read by `plan`.

The API gets rows and nothing else: it logs in as one of two roles that are members of a third, which holds the
rights. What migrations make belongs to the owner, whose default privileges give the rest their share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from biospark_operator.components.database import credentials
from biospark_operator.components.database.names import Names, database_id, role_id
from biospark_operator.components.database.state import Grant
from biospark_operator.components.secrets.store import CredentialStore
from biospark_operator.engine.component import Environment

ENCODING = "UTF8"
#: The oldest PostgreSQL that works: before 15 everybody might create tables in the schema public.
OLDEST = 150000


def targets(env: Environment, store: CredentialStore) -> Sequence[str]:
    """Return the ids of the database, its roles, and its credentials."""
    server, names = env.spec.database.server, Names(env.spec.database.name)
    if server is None:
        return []
    roles = [role_id(server, names.database, role) for role in names.roles]
    return [database_id(server, names.database), *roles, *(store.id(env, name) for name in credentials.SECRETS)]


@dataclass(frozen=True, slots=True)
class Role:
    """A role as it shall be. It never has powers over the server.

    `one_time` says that it gets a password for one login at a time, which expires; else passwords never do.
    """

    name: str
    login: bool
    inherit: bool
    connection_limit: int
    one_time: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """How many connections each login may have, -1 for no limit."""

    login: int
    reader: int
    migrator: int


def shares(limit: int | None) -> Shares:
    """Divide the connections of a database: readers and migrations get a tenth, so the API never takes all."""
    if limit is None:
        return Shares(-1, -1, -1)
    reader, migrator = max(1, limit // 10), max(1, min(2, limit // 10))
    return Shares(max(1, limit - reader - migrator), reader, migrator)


def roles(names: Names, limit: int | None) -> Mapping[str, Role]:
    """Return all roles that may be there, in the order in which they are made."""
    share = shares(limit)
    all_roles = (
        Role(names.owner, login=False, inherit=True, connection_limit=-1),
        Role(names.app, login=False, inherit=True, connection_limit=-1),
        # It has the owner's rights only where it asks for them.
        Role(names.migrator, login=True, inherit=False, connection_limit=share.migrator, one_time=True),
        Role(names.reader, login=True, inherit=True, connection_limit=share.reader),
        *(Role(login, login=True, inherit=True, connection_limit=share.login) for login in names.logins),
    )
    return {role.name: role for role in all_roles}


def memberships(names: Names) -> frozenset[tuple[str, str]]:
    """Return the pairs of role and member among our own roles."""
    return frozenset({(names.owner, names.migrator), *((names.app, login) for login in names.logins)})


def on_database(names: Names) -> Mapping[str, frozenset[str]]:
    """Return the rights on the database by role. Everybody else has none but what somebody granted by name."""
    connect = frozenset({"CONNECT"})
    owner = frozenset({"CONNECT", "CREATE", "TEMPORARY"})
    return {names.owner: owner, names.app: connect, names.reader: connect, names.migrator: connect}


#: By kind: what the API and readers may do with what the owner makes.
ON_OBJECTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = MappingProxyType(
    {
        "TABLES": (frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"}), frozenset({"SELECT"})),
        "SEQUENCES": (frozenset({"USAGE", "SELECT"}), frozenset({"SELECT"})),
        "FUNCTIONS": (frozenset({"EXECUTE"}), frozenset()),
        "TYPES": (frozenset({"USAGE"}), frozenset({"USAGE"})),
        "SCHEMAS": (frozenset({"USAGE"}), frozenset({"USAGE"})),
    }
)


def missing(wanted: frozenset[str], role: str, grants: frozenset[Grant]) -> frozenset[str]:
    """Return the rights that `role` should have and has not."""
    return wanted - {grant.privilege for grant in grants if grant.grantee == role}
