"""A real API server for the tests here, shared by all of them, with the CRD installed.

The operator runs in the process of the test: `operate` gives passes over one environment, which is deleted with
all that it made when the test ends. Tests tell themselves apart by the names of their environments.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.environment import FINALIZER
from biospark_operator.api.v1alpha1.limits import Limits
from biospark_operator.clients.kubernetes.client import KubernetesClient, connected
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import catalog
from biospark_operator.components.namespace import ADOPTABLE_BY
from biospark_operator.engine.passes import Admission, Memory, Next
from biospark_operator.engine.reconcile import Reconciler
from biospark_operator.runtime.admission import admission, identity_of
from biospark_operator.runtime.leader import SoleReplica
from biospark_operator.runtime.orphaning import OrphaningTrace
from biospark_operator.runtime.store import KubernetesStore
from dev.cluster import Size
from dev.deploy import Tools
from tests.clusters import shared
from tests.operator_process import cluster_of_this_worker

OPERATOR_NAMESPACE = "biospark-system"
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[str]:
    """Path of the kubeconfig of a control plane that has the CRD."""
    with shared("integration", Size.CONTROL_PLANE) as cluster:
        path = str(cluster.kubeconfig)
        run = kubectl_of(path)
        Tools(cluster.kubeconfig).define()
        run("create", "namespace", OPERATOR_NAMESPACE, check=False)
        yield path


@pytest.fixture(scope="session")
def own_control_plane() -> Iterator[str]:
    """Path of the kubeconfig of a control plane on which one operator process runs at a time, and nothing else.

    For tests that look at everything in the cluster. Each parallel worker has its own.
    `BIOSPARK_INSTANCE` names another instance, for those who run these tests side by side on one machine.
    """
    with cluster_of_this_worker(os.environ.get("BIOSPARK_INSTANCE", "rights")) as path:
        yield path


@pytest.fixture(scope="session")
def kubectl(kubeconfig: str) -> Kubectl:
    """kubectl against the shared control plane: `kubectl(*args, input=None, check=True)`."""
    return kubectl_of(kubeconfig)


def kubectl_of(kubeconfig: str) -> Kubectl:
    program = str(Path(sys.prefix) / "bin" / "kubectl")

    def run(*args: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:  # noqa: A002
        command = [program, "--kubeconfig", kubeconfig, *args]
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)} failed: {done.stderr}")
        return done

    return run


def admitted(limits: Limits) -> Admission:
    """Return the admission of an operator with these limits."""
    return admission(Platform(apiImage="registry.example/api:1", limits=limits), OPERATOR_NAMESPACE)


class Operated:
    """One environment and an operator that does nothing but the passes a test asks for."""

    def __init__(self, name: str, client: KubernetesClient, kubectl: Kubectl) -> None:
        self.name, self.client, self._kubectl = name, client, kubectl
        self.namespace = f"biospark-{name}"
        self.memory = Memory()
        self.reconciler = Reconciler(
            components=catalog.components(client, Platform(), operator_namespace=OPERATOR_NAMESPACE),
            admit=admitted(Limits()),
            identify=identity_of,
            store=KubernetesStore(client, "tests"),
            orphaning=OrphaningTrace(client, client, OPERATOR_NAMESPACE),
            leadership=SoleReplica(),
            operator_version="tests",
        )

    def limit(self, **limits: Any) -> None:
        """Let other limits hold than the default."""
        self.reconciler = dataclasses.replace(self.reconciler, admit=admitted(Limits.model_validate(limits)))

    def kubectl(self, *args: str, **options: Any) -> str:
        """Run kubectl and return what it prints."""
        return self._kubectl(*args, **options).stdout

    def apply(self, **spec: Any) -> None:
        """Create or change the environment; `spec` is laid over the smallest one."""
        body = {
            "apiVersion": "biospark.ai/v1alpha1",
            "kind": "BioSparkEnvironment",
            # The finalizer is kopf's work; without it a deleted environment would be gone at once.
            "metadata": {"name": self.name, "finalizers": [FINALIZER]},
            "spec": {"profile": "Development", "host": f"{self.name}.biospark.example", **spec},
        }
        self.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", input=json.dumps(body))

    def foreign_namespace(self) -> None:
        """Create the namespace as somebody else, who lets the environment take it over."""
        self.kubectl("create", "namespace", self.namespace)
        self.consent()

    def consent(self) -> None:
        """Let the environment take its namespace over, as who administers it does."""
        self.kubectl("annotate", "namespace", self.namespace, f"{ADOPTABLE_BY}={self.name}")

    async def run(self, *, changed: bool = True) -> Next:
        """Make one pass."""
        return await self.reconciler.reconcile(self.name, self.memory, changed=changed)

    async def settle(self) -> None:
        """Make passes until two in a row change nothing."""
        before: Any = None
        for _ in range(20):
            await self.run()
            if (now := await self.versions()) == before:
                return
            before = now
            await asyncio.sleep(0.2)
        raise AssertionError(f"does not settle: {await self.status()}")

    async def torn_down(self, seconds: float = 60) -> None:
        """Delete the environment until all of it is gone; raises TimeoutError with what is waited for."""
        self.kubectl("delete", "bse", self.name, "--wait=false")
        try:
            async with asyncio.timeout(seconds):
                while not (await self.reconciler.teardown(self.name, self.memory)).gone:
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise TimeoutError(await self.message("Ready")) from None

    async def get(self, api_version: str, kind: str, name: str) -> Manifest | None:
        """Return an object of the environment's namespace."""
        return await self.client.get(ObjectRef(api_version, kind, self.namespace, name))

    async def body(self) -> Manifest:
        """Return the environment as it is stored."""
        found = await self.reconciler.store.read(self.name)
        assert found is not None
        return found

    async def status(self) -> Any:
        """Return its status."""
        return (await self.body())["status"]

    async def told(self, type_: str) -> tuple[str, str] | None:
        """Return status and reason of a condition."""
        conditions = {c["type"]: c for c in (await self.status()).get("conditions", ())}
        return (conditions[type_]["status"], conditions[type_]["reason"]) if type_ in conditions else None

    async def message(self, type_: str) -> str:
        """Return the message of a condition."""
        return next(c["message"] for c in (await self.status())["conditions"] if c["type"] == type_)

    async def versions(self) -> dict[str, str]:
        """Return the resourceVersion of everything in the inventory, and of the environment itself."""
        body = await self.body()
        refs = [ObjectRef.parse(entry["id"]) for entry in body["status"].get("inventory", ())]
        # The Deployment's status moves on its own; what we write shows in its generation.
        found = {str(ref): await self.client.get(ref) for ref in refs}
        versions = {
            id_: str(live["metadata"].get("generation") or live["metadata"]["resourceVersion"])
            for id_, live in found.items()
            if live is not None and live["kind"] != "ResourceQuota"
        }
        return {**versions, self.name: body["metadata"]["resourceVersion"]}


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[KubernetesClient]:
    """A client of the operator on the shared control plane."""
    async with connected(kubeconfig=kubeconfig) as opened:
        yield opened


@pytest.fixture
async def operate(client: KubernetesClient, kubectl: Kubectl) -> AsyncIterator[Callable[[], Operated]]:
    """Make environments to operate: `operate()` gives one with a name of its own."""
    async with AsyncExitStack() as stack:

        def make() -> Operated:
            operated = Operated(f"t{uuid.uuid4().hex[:8]}", client, kubectl)
            stack.push_async_callback(_cleaned, operated)
            return operated

        yield make


async def _cleaned(operated: Operated) -> None:
    unheld = '{"metadata":{"finalizers":null}}'
    operated.kubectl("patch", "bse", operated.name, "--type=merge", "-p", unheld, check=False)
    operated.kubectl("delete", "bse", operated.name, "--ignore-not-found", "--wait=false")
    operated.kubectl("delete", "namespace", operated.namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture
def env(operate: Callable[[], Operated]) -> Operated:
    """One environment to operate."""
    return operate()
