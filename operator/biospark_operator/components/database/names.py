"""What a database and its roles are called, and the ids under which the inventory keeps them. Pure.

Roles belong to the whole server, so their names derive from the database's, which is the environment's own. A
name that would be longer than the 63 bytes that PostgreSQL takes is shortened and gets a hash: PostgreSQL would
cut it silently, and two roles would be one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.formats import SecretReference, WholeSecretReference

#: Bytes.
LONGEST = 63
SCHEME = "postgresql"


@dataclass(frozen=True)
class Names:
    """The names of a database and of everything that belongs to it on its server."""

    database: str

    @cached_property
    def owner(self) -> str:
        """Owns the database and what migrations make; nobody logs in as it."""
        return self._role("owner")

    @cached_property
    def app(self) -> str:
        """Holds the rights of the API; nobody logs in as it."""
        return self._role("app")

    @cached_property
    def logins(self) -> tuple[str, str]:
        """As which the API logs in: one at a time, the other during a rotation."""
        return self._role("app_1"), self._role("app_2")

    @cached_property
    def migrator(self) -> str:
        """Runs migrations, acting as the owner."""
        return self._role("migrator")

    @cached_property
    def reader(self) -> str:
        """Reads everything and changes nothing: for probes and reporting."""
        return self._role("reader")

    @property
    def permanent(self) -> tuple[str, ...]:
        """The roles that are always there, in the order in which they are made."""
        return self.owner, self.app, self.migrator, self.reader

    @property
    def roles(self) -> tuple[str, ...]:
        """All roles that may be there."""
        return *self.permanent, *self.logins

    def _role(self, suffix: str) -> str:
        name = f"{self.database}_{suffix}"
        if len(name.encode()) <= LONGEST:
            return name
        digest = hashlib.sha256(self.database.encode()).hexdigest()[:8]
        return f"{self.database[: LONGEST - len(suffix) - len(digest) - 2]}_{digest}_{suffix}"


def database_id(server: EffectiveDatabaseServer, database: str) -> str:
    """Return the id of a database. It also says how to get there: on deletion nothing else may."""
    way = {"ssl": server.ssl_mode.value, "admin": server.admin_secret_ref.name}
    if server.ca_secret_ref is not None:
        way["ca"] = server.ca_secret_ref.name
        if server.ca_secret_ref.key:
            way["key"] = server.ca_secret_ref.key
    return f"{_base(server)}/{quote(database, safe='')}?{urlencode(way)}"


def role_id(server: EffectiveDatabaseServer, database: str, role: str) -> str:
    """Return the id of a role."""
    return f"{_base(server)}/{quote(database, safe='')}#{quote(role, safe='')}"


def parse_database_id(text: str) -> tuple[EffectiveDatabaseServer, str] | None:
    """Return server and database of an id, or None where it is no id of a database."""
    try:
        url = urlsplit(text)
        way = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.scheme != SCHEME or url.fragment or "admin" not in way or not url.hostname or not url.port:
            return None
        return EffectiveDatabaseServer(
            host=url.hostname,
            port=url.port,
            ssl_mode=SslMode(way["ssl"]),
            ca_secret_ref=SecretReference(name=way["ca"], key=way.get("key")) if "ca" in way else None,
            admin_secret_ref=WholeSecretReference(name=way["admin"]),
        ), unquote(url.path.removeprefix("/"))
    except (ValueError, KeyError):
        return None


def parse_role_id(text: str) -> str | None:
    """Return the role of an id, or None where it is no id of a role."""
    url = urlsplit(text)
    return unquote(url.fragment) if url.scheme == SCHEME and url.fragment else None


def _base(server: EffectiveDatabaseServer) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{SCHEME}://{host}:{server.port}"
