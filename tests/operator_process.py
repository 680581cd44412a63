"""The real operator as a process, the control plane it works on, and an environment under test.

Used by the tests that are about the process: that it ends and comes back, and what becomes of its work then.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from dev.cluster import Size
from dev.deploy import NAMESPACE, Tools
from tests.clusters import shared

LEASE = ObjectRef("coordination.k8s.io/v1", "Lease", NAMESPACE, "biospark-operator")
#: Seconds for the garbage collector to do its part. It looks for new kinds, such as environments on a cluster that was
#: just made, twice a minute.
COLLECTED = 90


@contextmanager
def cluster_of_this_worker(purpose: str) -> Iterator[str]:
    """Yield the kubeconfig of a control plane for operator processes, one for each parallel worker.

    The operator works on every environment of a cluster: two workers on one would fight over the Lease.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with shared(f"{purpose}-{worker}", Size.CONTROL_PLANE) as cluster:
        tools = Tools(cluster.kubeconfig)
        tools.define()
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        tools.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(manifest))
        yield str(cluster.kubeconfig)


class Process(Protocol):
    """What tests do with a process."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def spawned(environment: Mapping[str, str], log: Path) -> Process:
    """Start the operator with these environment variables; all that it prints is appended to `log`."""
    with log.open("ab") as output:
        command = [sys.executable, "-m", "biospark_operator.runtime.main"]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


@dataclass
class Operator:
    """One process. Restarts under the same name continue its Lease, as a restarted container of a pod does.

    `kubeconfig` says where it believes the API server to be; `settings` are laid over those of all tests.
    """

    kubeconfig: str
    log: Path
    name: str = "first"
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    spawn: Callable[[Mapping[str, str], Path], Process] = spawned
    process: Process | None = None

    def start(self) -> Operator:
        """Start the process; it needs about two seconds until it works."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {
            "NAMESPACE": NAMESPACE,
            "POD_NAME": self.name,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "LOG_LEVEL": "DEBUG",
            "PLATFORM__API_IMAGE": "registry.example/api:1",
            **self.settings,
        }
        env = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        env |= {"KUBECONFIG": self.kubeconfig, **{f"BIOSPARK_OPERATOR_{k}": v for k, v in settings.items()}}
        self.process = self.spawn(env, self.log)
        return self

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End the process without any chance to clean up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def terminate(self, seconds: float = 20) -> int:
        """Ask the process to end, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, seconds)

    def ask(self, path: str) -> tuple[int, str]:
        """Return what the health and metrics server answers; status 0 while it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, sample: str) -> float | None:
        """Return the value of a metric, given with its labels as the text format writes them."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else None


@dataclass
class Site:
    """An environment under test and the API server it is on."""

    client: KubernetesClient
    kubeconfig: str
    operator: Operator
    name: str = field(default_factory=lambda: f"p{uuid.uuid4().hex[:8]}")

    @property
    def namespace(self) -> str:
        return f"biospark-{self.name}"

    def kubectl(self, *args: str, text: str | None = None) -> str:
        return Tools(Path(self.kubeconfig)).kubectl(*args, text=text)

    def apply(self, **spec: Any) -> None:
        """Create or change the environment; `spec` is laid over the smallest one."""
        body = {
            "apiVersion": "biospark.ai/v1alpha1",
            "kind": "BioSparkEnvironment",
            "metadata": {"name": self.name},
            "spec": {"profile": "Development", "host": f"{self.name}.biospark.example", **spec},
        }
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(body))

    def patch(self, change: dict[str, Any]) -> None:
        """Merge `change` into the environment."""
        self.kubectl("patch", "bse", self.name, "--type=merge", "-p", json.dumps(change))

    def delete(self) -> None:
        """Ask for the deletion of the environment."""
        self.kubectl("delete", "bse", self.name, "--wait=false")

    async def get(self, api_version: str, kind: str, name: str) -> Manifest | None:
        """Return an object of the environment's namespace."""
        return await self.client.get(ObjectRef(api_version, kind, self.namespace, name))

    async def policy(self) -> Manifest | None:
        """Return a network policy that every environment has."""
        return await self.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-default-deny")

    async def body(self) -> Any:
        """Return the environment as it is stored, or None."""
        return await self.client.get(ObjectRef("biospark.ai/v1alpha1", "BioSparkEnvironment", None, self.name))

    async def told(self, type_: str) -> tuple[str, str] | None:
        """Return status and reason of a condition."""
        conditions = ((await self.body() or {}).get("status") or {}).get("conditions", ())
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == type_), None)

    async def settled(self) -> None:
        """Wait until everything but the pods, for which there is no node, is there."""

        async def there() -> bool:
            body = await self.body()
            status = body.get("status") or {}
            done = status.get("observedGeneration") == body["metadata"]["generation"]
            return done and await self.told("WorkloadReady") == ("False", "Unschedulable")

        await self.until(there, "is settled", 40)

    async def until(self, holds: Callable[[], Awaitable[Any]], what: str, seconds: float = 20) -> Any:
        """Wait until `holds` returns something true, and return it; tells all that is known if it never does."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := await holds()):
                    await asyncio.sleep(0.1)
                return found
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}\n{self._told()}") from None

    def _told(self) -> str:
        status = self.kubectl("get", "bse", self.name, "-o", "yaml", "--ignore-not-found")
        events = self.kubectl("get", "events", "-A", "--field-selector", f"involvedObject.name={self.name}")
        return f"{status}\n{events}\n{self.operator.log.read_text()[-6000:]}"
