"""The service as a process of its own on a real database, and clients that are logged in."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import argon2
import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from biospark_api.database.pool import Pool, create_pool
from biospark_api.settings import Settings
from biospark_api.sources import secrets_of
from tests.api.postgres import API_PASSWORD, Server

_SOURCE = Path(__file__).parents[2] / "api_service"
PASSWORD = "seven-Blue-lanterns"
STORED = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
ROLES = ("admin", "clinician", "agent", "auditor")


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A signing key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """The key as it is mounted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """Its public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


KEY = new_key()


class Service:
    """A running process. Its log is kept; what it printed is in `output`."""

    def __init__(
        self, server: Server, database: str, home: Path, *, python: str = sys.executable, **settings: object
    ) -> None:
        self.server = server
        self.database = database
        self.home = home
        self.log = home / "service.log"
        self._tokens: dict[str, str] = {}
        for name, value in {"user": "api", "password": API_PASSWORD, "key": private_pem(KEY)}.items():
            if not (home / name).exists():
                (home / name).write_text(value)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIOSPARK_")}
        self.environ = (
            inherited
            | {"PYTHONPATH": str(_SOURCE)}
            | {
                f"BIOSPARK_{name.upper()}": str(value)
                for name, value in {
                    "environment": "test",
                    "port": 0,
                    "metrics_port": 0,
                    "drain_seconds": 0,
                    "database_host": "127.0.0.1",
                    "database_port": server.port,
                    "database_name": database,
                    "database_ssl_mode": "disable",
                    "database_user_file": home / "user",
                    "database_password_file": home / "password",
                    "token_key_file": home / "key",
                    **settings,
                }.items()
                if value is not None
            }
        )
        self.process = subprocess.Popen(
            [python, "-c", "from biospark_api.main import main; main()"],
            env=self.environ,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self.ports = {serves: self.await_record("Listening", serves=serves)["port"] for serves in ("api", "metrics")}
        self.url = f"http://127.0.0.1:{self.ports['api']}"
        self._clients: list[httpx.Client] = []

    @property
    def output(self) -> str:
        """Everything that it printed so far."""
        return self.log.read_text()

    def records(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.output.splitlines()]

    def await_record(self, message: str, seconds: float = 90, **fields: object) -> dict[str, Any]:
        """The first log record with this message and these fields."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}: {self.output}")
            whole = self.output.rpartition("\n")[0]
            for line in whole.splitlines():
                record = json.loads(line)
                if record["message"] == message and all(record.get(name) == fields[name] for name in fields):
                    found.append(record)
                    return True
            return False

        self.await_true(look, seconds, f"a record {message!r}")
        return found[0]

    def await_true(self, holds: Callable[[], bool], seconds: float = 60, what: str = "it") -> None:
        """Wait until something holds; a wait that times out shows the log."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what} never came; the service's log:\n{self.output}"
            time.sleep(0.02)

    def await_ready(self, seconds: float = 90) -> None:
        """Wait until it takes requests."""
        with self.client() as client:
            self.await_true(lambda: client.get("/readyz").status_code == 200, seconds, "readiness")

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """A client of its own, with a token if one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Without certificates, which nothing here needs: reading them takes longer than the requests.
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False, trust_env=False, **options)
        self._clients.append(client)
        return client

    def add_user(self, email: str, role: str, password_hash: str = STORED) -> str:
        """A user, past the API; the id."""
        with self.server.connect(self.database) as admin:
            row = admin.execute(
                "INSERT INTO users (email, password_hash, role) VALUES (%s, %s, %s)"
                " ON CONFLICT (email) DO UPDATE SET role = excluded.role RETURNING id::text",
                (email, password_hash, role),
            ).fetchone()
        assert row
        return str(row[0])

    def login(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        """The answer to a login that succeeds."""
        with self.client() as client:
            answer = client.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()
        return session

    def token_of(self, role: str) -> str:
        """A token of a user of this role; always the same, so it must stay valid."""
        if role not in self._tokens:
            email = f"{role}@test.example"
            self.add_user(email, role)
            self._tokens[role] = self.login(email)["token"]
        return self._tokens[role]

    def as_role(self, role: str) -> httpx.Client:
        """A client that is logged in as a user of this role."""
        return self.client(self.token_of(role))

    def audit(self, **fields: object) -> list[dict[str, Any]]:
        """Entries of the audit log with these values, the oldest first."""
        with self.server.connect(self.database) as admin:
            cursor = admin.execute(
                "SELECT actor::text, actor_role, action, target::text, outcome, status, request_id"
                " FROM audit_log ORDER BY id"
            )
            names = [column.name for column in cursor.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [row for row in rows if all(row[name] == fields[name] for name in fields)]

    def await_audit(self, **fields: object) -> dict[str, Any]:
        """An entry with these values, once it was written."""
        self.await_true(lambda: bool(self.audit(**fields)), what=f"an audit entry {fields}")
        return self.audit(**fields)[-1]

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """End it, whatever it does."""
        for client in self._clients:
            client.close()
        self.process.kill()
        self.process.wait()


@contextmanager
def running_service(server: Server, database: str, home: Path, **settings: Any) -> Iterator[Service]:
    """A service that is ready, ended afterwards. `settings` may have the interpreter as `python`."""
    service = Service(server, database, home, **settings)
    try:
        service.await_ready()
        yield service
    finally:
        service.close()


@asynccontextmanager
async def pool_of(service: Service) -> AsyncIterator[Pool]:
    """A pool with the rights of a service, for what it does in the background at times of its own."""
    given = {
        name.removeprefix("BIOSPARK_").lower(): value
        for name, value in service.environ.items()
        if name.startswith("BIOSPARK_DATABASE_") and not name.endswith("_FILE")
    }
    credentials = {"database_user": "api", "database_password": API_PASSWORD, "token_key": private_pem(KEY)}
    settings = Settings(**{**given, **credentials})
    pool = create_pool(settings, secrets_of(settings, {}))
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


class Load:
    """Requests from threads until stopped; what came back. What a request raises is raised when the load ends."""

    def __init__(self, request: Callable[[], Any], threads: int) -> None:
        self.results: list[Any] = []
        self._ended = threading.Event()
        self._faults: list[Exception] = []
        self._request = request
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self.results.append(self._request())
        except Exception as fault:
            self._faults.append(fault)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if self._faults and kind is None:
            raise self._faults[0]
