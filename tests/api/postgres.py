"""A PostgreSQL server for the tests of the API: real, on loopback, gone at the end.

It has the roles that an operator would make: an owner without login, a migrator that may become the owner, and
the API's role, which may read and write rows. Servers refuse to run as root, so root starts it as `nobody`.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from dev.cluster import packages

API_PASSWORD = "api-Secret-of-the-tests"
_ROLES = f"""
CREATE ROLE owner NOLOGIN;
CREATE ROLE migrator LOGIN PASSWORD 'migrator-Secret-of-the-tests' IN ROLE owner;
CREATE ROLE api LOGIN PASSWORD '{API_PASSWORD}';
"""


class Server:
    """A running server; `stop` and `start` are what an outage is made of."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.programs = programs
        self.port = _free_port()
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(home, self._user)
        (home / "password").write_text("superuser-Secret-of-the-tests")
        data = ["-D", str(home / "data"), "-U", "postgres", "--auth=scram-sha-256", "--no-sync"]
        self._run("initdb", *data, f"--pwfile={home / 'password'}", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.home} -c fsync=off -c max_connections=60"
        self._run(
            "pg_ctl", "start", "--wait", "-D", str(self.home / "data"), "-l", str(self.home / "log"), "-o", options
        )

    def stop(self) -> None:
        """Stop it at once, as a node that dies does."""
        if not (self.home / "data" / "postmaster.pid").exists():
            return
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate", "-D", str(self.home / "data"))

    def connect(self, database: str = "postgres", user: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A connection in autocommit."""
        password = f"{'superuser' if user == 'postgres' else user}-Secret-of-the-tests"
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=user, password=password, autocommit=True, **options
        )

    def create_database(self, name: str, template: str = "template0") -> None:
        """A database that `owner` owns."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER owner TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )

    def drop_database(self, name: str) -> None:
        """Remove it with all its connections."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            user=self._user,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server would keep a pipe open
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "USER": self._user or getpass.getuser()},
        )
        if done.returncode:
            log = self.home / "log"
            raise AssertionError(f"{program} failed: {done.stderr!r} {log.read_text() if log.exists() else ''}")


@contextmanager
def running() -> Iterator[Server]:
    """A server with the three roles."""
    # Debian keeps the programs of each version in a directory of its own; the package also brings this one.
    packages.ensure({"pg_ctlcluster": "postgresql"}, print)
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert versions, "there is no PostgreSQL server: install Debian's package postgresql"
    home = Path(tempfile.mkdtemp(prefix="biospark-pg-"))
    try:
        server = Server(home, versions[-1].parent)
        server.start()
        try:
            with server.connect() as connection:
                connection.execute(_ROLES)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_sql(connection: psycopg.Connection[Any], query: str, seconds: float = 10) -> None:
    """Wait until a query's first value is true."""
    deadline = time.monotonic() + seconds
    while not connection.execute(query).fetchone()[0]:  # type: ignore[index]
        assert time.monotonic() < deadline, f"never came true: {query}"
        time.sleep(0.01)
