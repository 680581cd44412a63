"""A PostgreSQL server for the tests of the API: real, on loopback, gone at the end.

It has the roles that an operator would make: an owner without login, a migrator that may become the owner, and
the API's role, which may read and write rows.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, pool

from biospark_api.schema import grant_to_api, migrate
from dev.cluster import postgres
from tests import postgres as servers

API_PASSWORD = "api-Secret-of-the-tests"
MIGRATOR_PASSWORD = "migrator-Secret-of-the-tests"
# Nothing here reads the server's log, which has every statement otherwise.
_SETUP = f"""
ALTER ROLE ALL SET log_statement = none;
CREATE ROLE owner NOLOGIN;
CREATE ROLE migrator LOGIN PASSWORD '{MIGRATOR_PASSWORD}' IN ROLE owner;
CREATE ROLE api LOGIN PASSWORD '{API_PASSWORD}';
"""


class Server:
    """A running server with the roles; `stop` and `start` are what an outage is made of."""

    def __init__(self, server: postgres.Server) -> None:
        self.port = server.port
        self._server = server
        with self.connect() as connection:
            connection.execute(_SETUP)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server.up()

    def stop(self) -> None:
        """Stop it at once, as a node that dies does."""
        self._server.stop(signal.SIGQUIT)

    def connect(
        self, database: str = "postgres", user: str = postgres.SUPERUSER, **options: Any
    ) -> psycopg.Connection[Any]:
        """A connection in autocommit."""
        passwords = {postgres.SUPERUSER: self._server.password, "migrator": MIGRATOR_PASSWORD, "api": API_PASSWORD}
        return psycopg.connect(
            self._server.conninfo(user, passwords[user], database), **{"autocommit": True, **options}
        )

    def create_database(self, name: str, template: str = "template0", locale: str | None = None) -> None:
        """A database that `owner` owns."""
        statement = sql.SQL("CREATE DATABASE {} OWNER owner TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        if locale:
            statement += sql.SQL(" LOCALE {}").format(locale)
        with self.connect() as connection:
            connection.execute(statement)

    def create_migrated(self, name: str) -> None:
        """A database with the schema of this release, and the rights of the API's role."""
        self.create_database(name)
        self.migrate(name)

    def migrate(self, name: str) -> None:
        """Give a database the schema of this release, and the API's role its rights."""
        with self.connect(name, user="migrator", options="-c role=owner", autocommit=False) as connection:
            engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=pool.StaticPool)
            with engine.connect() as borrowed:
                migrate(borrowed)
                borrowed.rollback()
            grant_to_api(connection, "api")

    def drop_database(self, name: str) -> None:
        """Remove it with all its connections."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running(major: int = postgres.MAJORS[-1], purpose: str = "api") -> Iterator[Server]:
    """A server of this worker; `purpose` gives a test that stops it one of its own."""
    with servers.server(major, purpose) as started:
        yield Server(started)
