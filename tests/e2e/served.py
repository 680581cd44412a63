"""An environment with a database, whose API one is logged in to, and requests to it that go on during a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from biospark_operator.objects import secret_data
from dev import deploy
from dev.cluster.postgres import Server
from tests.e2e.conftest import Deployed

EMAIL = "admin@biospark.example"
PATIENTS = "/api/v1/patients"
#: A namespace as Staging has it. The profile itself is Development, which may speak to a server without TLS.
STAGING = {"podSecurity": "Restricted", "quota": {"cpu": "4", "memory": "8Gi", "pods": 40}}
#: Requests of one thread per second, at most: the load leaves the machine to what is tested.
RATE = 25.0
#: Seconds for which a careful client asks again where it got no answer.
PATIENCE = 5.0


def patient() -> dict[str, str]:
    """Return a patient nobody else has."""
    return {"first_name": "Ada", "last_name": uuid.uuid4().hex, "date_of_birth": "1985-12-10"}


class Served:
    """The environment. `apply` keeps what it needs: the server of its database and the first administrator.

    `way` says how to get to the server, as `spec.database.server` does.
    """

    def __init__(self, env: Deployed, server: Server, **way: Any) -> None:
        self.env, self.server, self.spec = env, server, dict[str, Any]()
        self.way = {**deploy.database(server), **way}
        self.token = ""

    @property
    def database(self) -> str:
        """Name of the database."""
        return f"biospark_{self.env.name}"

    def apply(self, **spec: Any) -> None:
        """Create or change the environment; what was given before stays."""
        self.spec |= spec
        database = {"server": self.way, "connectionLimit": 40}
        api = {"replicas": 2, "bootstrapAdmin": {"email": EMAIL}, **self.spec.get("api", {})}
        self.env.apply(deletionPolicy="Delete", **{"namespace": STAGING, **self.spec, "database": database, "api": api})

    def up(self) -> None:
        """Make the environment, and return when one is logged in."""
        self.apply()
        self.env.until("Ready", "True", seconds=120)
        self.log_in()

    def secret(self) -> Mapping[str, str]:
        """Return the values of the API's Secret."""
        return secret_data.texts(json.loads(self.env.kubectl("get", "secret", "biospark-api", "-o", "json")))

    def log_in(self) -> None:
        """Log in as the first administrator, with the password of the Secret."""
        credentials = {"email": EMAIL, "password": self.secret()["bootstrap-admin-password"]}
        with self.client() as client:
            # The administrator is made by the first replica that finds the schema.
            self.env.eventually(
                lambda: client.post("/api/v1/auth/login", json=credentials).status_code == 200, "a login"
            )
            self.token = client.post("/api/v1/auth/login", json=credentials).json()["token"]

    def client(self, token: str = "") -> httpx.Client:
        """Return a client of the API's Service; it asks as `token` if one is given."""
        address = self.env.kubectl("get", "service", "biospark-api", "-o", "jsonpath={.spec.clusterIP}")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Without certificates, which nothing here needs: reading them takes longer than the requests.
        return httpx.Client(base_url=f"http://{address}", headers=headers, timeout=20, verify=False, trust_env=False)

    def pods(self) -> dict[str, str]:
        """Return the addresses of the pods that are not on their way out, by name."""
        found = json.loads(self.env.kubectl("get", "pods", "-l", "app=biospark", "-o", "json"))["items"]
        return {
            pod["metadata"]["name"]: pod["status"].get("podIP", "")
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
        }

    def kill(self, pod: str) -> None:
        """End the process of a pod without any chance to clean up, as when its memory is used up."""
        uid = self.env.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
        killed = 0
        # The node is of this machine, so its processes can be seen here.
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (
                    f"/pod{uid}/" in (process / "cgroup").read_text()
                    and b"biospark-api" in (process / "cmdline").read_bytes()
                ):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        assert killed == 1, f"{killed} processes of pod {pod} were found"

    def restarts(self, pod: str) -> str:
        """Return how often the container of a pod was started again."""
        return self.env.kubectl("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}")

    def read_secrets_now(self) -> None:
        """Let the kubelet look at the Secrets of all pods at once, which it does every minute or so by itself."""
        pods = [f"pod/{name}" for name in self.pods()]
        self.env.kubectl("annotate", "--overwrite", *pods, f"biospark-tests/at={time.time():.3f}")


class Load:
    """Reads and writes with a token, until the end of the block. What went wrong is in `failures`.

    Both are made over a connection that is kept, as a gateway does, and over a new one each time, which meets every
    pod. With `again` a request that got no answer is sent again.
    """

    def __init__(self, served: Served, *, again: bool = False) -> None:
        self.served, self.again = served, again
        self.failures: list[str] = []
        self.created: list[str] = []
        self.asked: Counter[str] = Counter()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(what, kept))
            for what in (self._read, self._create)
            for kept in (True, False)
        ]

    def _run(self, request: Callable[[httpx.Client], None], kept: bool) -> None:
        with self.served.client(self.served.token) as client:
            if not kept:
                client.headers["Connection"] = "close"
            while not self._ended.is_set():
                try:
                    request(client)
                except httpx.HTTPError as error:
                    self.failures.append(f"{time.strftime('%X')} {request.__name__}: {error!r}")
                self._ended.wait(1 / RATE)

    def _read(self, client: httpx.Client) -> None:
        self._note("GET", self._sent(client, client.build_request("GET", PATIENTS, params={"limit": 5})), 200)

    def _create(self, client: httpx.Client) -> None:
        # With the key it may be sent again: it is done once.
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = patient()
        answer = self._sent(client, client.build_request("POST", PATIENTS, json=body, headers=key))
        if self._note("POST", answer, 201):
            self.created.append(body["last_name"])

    def _sent(self, client: httpx.Client, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return client.send(request)
            except httpx.TransportError:
                if not self.again or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _note(self, method: str, answer: httpx.Response, wanted: int) -> bool:
        self.asked[method] += 1
        if answer.status_code != wanted:
            self.failures.append(f"{time.strftime('%X')} {method}: {answer.status_code} {answer.text[:300]}")
        return answer.status_code == wanted

    def more(self, number: int = 40, seconds: float = 30) -> None:
        """Wait until so many more requests of each kind were answered."""
        before = self.asked.copy()
        self.served.env.eventually(
            lambda: all(self.asked[method] >= before[method] + number for method in ("GET", "POST")),
            f"{number} more answers of each kind; {self.asked}, {self.failures[:5]}",
            seconds,
        )

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Fail if a request failed, or what was created is not there exactly once."""
        assert self.failures == [], "\n".join([*self.failures[:20], self.served.env.dump()])
        conninfo = self.served.server.conninfo(database=self.served.database)
        query = "SELECT last_name, count(*) FROM patients WHERE last_name = ANY(%s) GROUP BY last_name"
        with psycopg.connect(conninfo) as connection:
            found = dict(connection.execute(query, (self.created,)).fetchall())
        assert found == dict.fromkeys(self.created, 1)


@contextmanager
def database_server(address: str, major: int = 18) -> Iterator[Server]:
    """Run a PostgreSQL server at an address that pods reach."""
    server = Server.of(f"{os.environ.get('BIOSPARK_INSTANCE', 'e2e')}-db", major, address)
    try:
        server.up()
        yield server
    finally:
        server.down()
