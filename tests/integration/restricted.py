"""The operator as the chart lets it run: a process with the chart's rights and no others, all its calls recorded."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biospark_operator.api.v1alpha1.environment import RECONCILE_REQUESTED_AT
from biospark_operator.clients.kubernetes.client import KubernetesClient, connected
from biospark_operator.components.outside import ENVIRONMENTS
from dev.cluster import programs
from dev.deploy import NAMESPACE, RELEASE, Tools
from tests.chaos.apiproxy import ApiProxy
from tests.operator_process import LEASE, Operator, Site
from tests.unit.chart.helm import Helm, Manifest

ROLES, BINDINGS = ("ClusterRole", "Role"), ("ClusterRoleBinding", "RoleBinding")


def chart_rights() -> Sequence[Manifest]:
    """Return the operator's ServiceAccount, the roles that are bound to it, and their bindings, from the chart."""
    manifests = Helm(programs.path("helm")).manifests()
    bindings = [item for item in manifests if item["kind"] in BINDINGS and item["subjects"][0]["name"] == RELEASE]
    bound = {(item["roleRef"]["kind"], item["roleRef"]["name"]) for item in bindings}
    roles = [item for item in manifests if (item["kind"], item["metadata"]["name"]) in bound]
    return [*(item for item in manifests if item["kind"] == "ServiceAccount"), *roles, *bindings]


@dataclass
class Restricted:
    """A running operator, the proxy that its calls go through, and a client of the administrator."""

    kubeconfig: str
    client: KubernetesClient
    proxy: ApiProxy
    operator: Operator
    _sites: list[Site] = field(default_factory=list)

    def site(self) -> Site:
        """Return a new environment to work on; nothing is created yet."""
        self._sites.append(Site(self.client, self.kubeconfig, self.operator))
        return self._sites[-1]

    async def clean_up(self) -> None:
        """Take the environments away that are left, whatever became of the operator."""
        for site in self._sites:
            if await site.body():
                site.patch({"spec": {"deletionProtection": False}, "metadata": {"finalizers": None}})
            for kind, name in (("bse", site.name), ("namespace", site.namespace)):
                site.kubectl("delete", kind, name, "--ignore-not-found", "--wait=false")


@asynccontextmanager
async def restricted(
    kubeconfig: str, folder: Path, rights: Sequence[Manifest] | None = None
) -> AsyncIterator[Restricted]:
    """Yield an operator that works with the chart's rights, or others, by a token of the chart's ServiceAccount.

    Its calls go through the event loop of the test: what takes seconds belongs into a thread, or the operator waits
    for it as well, and loses its Lease.
    """
    tools = Tools(Path(kubeconfig))
    apply(tools, chart_rights() if rights is None else rights)
    tools.kubectl("delete", "lease", LEASE.name, "-n", NAMESPACE, "--ignore-not-found")
    token = tools.kubectl("create", "token", RELEASE, "-n", NAMESPACE).strip()
    async with ApiProxy(kubeconfig) as proxy, connected(kubeconfig=kubeconfig) as client:
        operator = Operator(proxy.kubeconfig(folder, token), folder / "log").start()
        run = Restricted(kubeconfig, client, proxy, operator)
        try:
            yield run
        finally:
            if operator.alive:
                operator.kill()
            await run.clean_up()


def apply(tools: Tools, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Apply manifests as the administrator."""
    everything = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    tools.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(everything))


def pull_secret(name: str, password: str) -> Mapping[str, Any]:
    """Return credentials for a registry, as a Secret beside the operator."""
    config = {"auths": {"registry.example": {"username": "robot", "password": password}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {ENVIRONMENTS: "*"}},
        "stringData": {".dockerconfigjson": json.dumps(config)},
    }


async def handled(site: Site) -> bool:
    """Whether a pass has begun since the last `ask_again`."""
    body = await site.body()
    request = (body["metadata"].get("annotations") or {}).get(RECONCILE_REQUESTED_AT)
    return bool((body.get("status") or {}).get("lastHandledReconcileAt") == request)


async def ask_again(site: Site) -> None:
    """Ask for a pass over an environment."""
    request = f"{RECONCILE_REQUESTED_AT}={uuid.uuid4().hex}"
    await asyncio.to_thread(site.kubectl, "annotate", "bse", site.name, "--overwrite", request)


async def passed(site: Site) -> None:
    """Wait until a whole pass was made. When one begins it says so: once a second one does, the first is over."""
    for _ in range(2):
        await ask_again(site)
        await site.until(lambda: handled(site), "a pass begins")
