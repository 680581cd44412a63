"""PostgreSQL servers for tests: one of each major for each worker, and what a test may ask of it.

`Site` is a server as one test sees it: an administrator of the kind that the test is about, names that no other
test uses, and connections by hand to look at what is there. It leaves nothing behind.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from dev.cluster.postgres import MAJORS, SUPERUSER, Server
from tests.instances import of_worker

#: Server and kind of administrator of everything that has to work everywhere.
KINDS = tuple((major, superuser) for major in MAJORS for superuser in (True, False))


def kind_id(kind: tuple[int, bool]) -> str:
    """Return what a test with this server and administrator is called."""
    return f"{kind[0]}-{'superuser' if kind[1] else 'createrole'}"


@contextmanager
def server(major: int, purpose: str = "") -> Iterator[Server]:
    """Run a server of this worker; `purpose` gives a test that stops it one of its own."""
    running = Server.of(of_worker("db", purpose), major)
    try:
        running.up()
        yield running
    finally:
        running.down()


@dataclass
class Site:
    """A server as one test sees it."""

    server: Server
    superuser: bool
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")

    @property
    def admin(self) -> str:
        """The role that the operator logs in with."""
        return SUPERUSER if self.superuser else f"{self.name}_admin"

    @property
    def password(self) -> str:
        """Its password."""
        return self.server.password

    def sql(
        self, statement: str | sql.Composable, *params: object, database: str = "postgres", user: str = SUPERUSER,
        password: str | None = None,
    ) -> list[tuple[object, ...]]:  # fmt: skip
        """Execute a statement, as the superuser unless another is named, and return the rows."""
        with self.connected(database, user, password) as connection:
            cursor = connection.execute(statement, params or None)  # type: ignore[arg-type]
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def connected(
        self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None
    ) -> Iterator[psycopg.Connection]:
        """Open a session by hand."""
        conninfo = self.server.conninfo(user, password or self.server.password, database)
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
            yield connection

    def dumped(self, database: str) -> bytes:
        """Return a dump of a database, made by the server's own pg_dump as the superuser."""
        return self.program("pg_dump", "--format=custom", f"--dbname={self.server.conninfo(database=database)}")

    def restore(self, dump: bytes, database: str, *options: str) -> None:
        """Restore a dump with the server's own pg_restore as the superuser; an error ends it."""
        into = f"--dbname={self.server.conninfo(database=database)}"
        self.program("pg_restore", "--exit-on-error", into, *options, input=dump)

    def program(self, name: str, *arguments: str, input: bytes = b"") -> bytes:  # noqa: A002 - subprocess's name
        """Run one of the server's programs and return what it wrote."""
        command = [str(self.server.programs / name), *arguments]
        done = subprocess.run(command, input=input, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def scalar(self, statement: str, *params: object, database: str = "postgres") -> object:
        """Execute a query and return its only value."""
        ((value,),) = self.sql(statement, *params, database=database)
        return value

    def __enter__(self) -> Site:
        if not self.superuser:
            role = sql.Identifier(self.admin)
            self.sql(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}").format(role, sql.Literal(self.password))
            )
        return self

    def __exit__(self, *_: object) -> None:
        for (database,) in self.sql("SELECT datname FROM pg_database WHERE strpos(datname, %s) > 0", self.name):
            self.sql(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(str(database))))
            self.sql(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(database))))
        roles = [
            str(role) for (role,) in self.sql("SELECT rolname FROM pg_roles WHERE strpos(rolname, %s) > 0", self.name)
        ]
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)", roles)
        for role in roles:
            self.sql(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        # The administrator made the others, so it goes last.
        for role in sorted(roles, key=lambda role: role == self.admin):
            self.sql(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
