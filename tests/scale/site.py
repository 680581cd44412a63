"""A fresh control plane with fake nodes for each measurement, and the operator's account on it as the chart makes it.

Every measurement begins on an empty cluster: neither what an earlier one left nor its removal is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import Cluster, Size, fakenodes
from dev.cluster import instance as instances
from dev.cluster.process import Components
from dev.deploy import CHART, RELEASE, Tools
from tests.scale import calls
from tests.scale.api import Api, connected
from tests.scale.load import OPERATOR_NAMESPACE, pull_secret
from tests.scale.process import OperatorProcess, cpu_seconds

NODES = 2
DRIVER = "benchmark"
#: Part of a processor below which API server and etcd count as at rest, and how long that may take.
REST, MOST_SECONDS_TO_REST = 0.2, 120
_ENVIRONMENTS_WATCHED = re.compile(
    r'^apiserver_longrunning_requests\{[^}]*resource="biosparkenvironments"[^}]*verb="WATCH"[^}]*\} [1-9]', re.MULTILINE
)
#: What of the chart is the operator's account. The rest is how it runs in a cluster, or the definition.
ACCOUNT_KINDS = frozenset({"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})


@dataclass(frozen=True)
class Site:
    """A cluster to measure on.

    `driver` has all rights and makes the load; `operator_api` is the operator's account, with its rights and no
    more; `operator` is its process, not started yet; `servers` are the process ids of API server and etcd.
    """

    driver: Api
    operator_api: Api
    operator: OperatorProcess
    servers: tuple[int, ...]

    def server_cpu_seconds(self) -> float:
        """Return the processor time that API server and etcd have used."""
        return sum(map(cpu_seconds, self.servers))


@asynccontextmanager
async def fresh(
    instance: str, directory: Path, *, keep: bool = False, profile: Path | None = None
) -> AsyncIterator[Site]:
    """Make a new control plane of this instance, and take it down at the end unless `keep`."""
    cluster = Cluster.for_instance(instance)
    if os.environ.get("CLUSTER", "local") != "local":
        raise RuntimeError("the benchmark needs a local cluster: unset CLUSTER")
    await asyncio.to_thread(cluster.down, lambda _: None)
    async with AsyncExitStack() as stack:
        if not keep:
            stack.push_async_callback(asyncio.to_thread, cluster.down, lambda _: None)
        await asyncio.to_thread(cluster.up, Size.CONTROL_PLANE, lambda _: None)
        await asyncio.to_thread(fakenodes.start, instance, NODES, lambda _: None)
        tools = Tools(cluster.kubeconfig)
        await asyncio.to_thread(_furnish, tools)
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        server = config["clusters"][0]["cluster"]
        authority = base64.b64decode(server["certificate-authority-data"]).decode()
        token = _token(tools, RELEASE)
        driver = await stack.enter_async_context(connected(server["server"], authority, _token(tools, DRIVER)))
        operator_api = await stack.enter_async_context(connected(server["server"], authority, token))
        await calls.begin(driver, OPERATOR_NAMESPACE, RELEASE)
        kubeconfig = directory / "operator.kubeconfig"
        kubeconfig.write_text(json.dumps(_with_token(config, token)))
        operator = OperatorProcess(kubeconfig, directory / "operator.log", profile)
        stack.push_async_callback(operator.stop)
        site = Site(driver, operator_api, operator, _servers(instance))
        await _known_to_the_garbage_collector(site)
        await _at_rest(site)
        yield site


async def _known_to_the_garbage_collector(site: Site) -> None:
    """Wait until it watches environments. It looks for new kinds twice a minute, as no cluster in use makes it.

    Until then it asks the API server, one by one, for all that an environment owns and whether the owner exists.
    """
    for _ in range(MOST_SECONDS_TO_REST):
        if _ENVIRONMENTS_WATCHED.search(await site.driver.text("/metrics")):
            return
        await asyncio.sleep(1)
    raise RuntimeError(f"the garbage collector does not watch environments within {MOST_SECONDS_TO_REST} s")


async def _at_rest(site: Site) -> None:
    """Wait until the servers have done what they do after a start, such as to publish the schemas of all kinds."""
    calm = 0
    for _ in range(MOST_SECONDS_TO_REST):
        before = site.server_cpu_seconds()
        await asyncio.sleep(1)
        calm = calm + 1 if site.server_cpu_seconds() - before < REST else 0
        if calm == 2:
            return
    raise RuntimeError(f"API server and etcd do not come to rest within {MOST_SECONDS_TO_REST} s")


def _servers(instance: str) -> tuple[int, ...]:
    directory = instances.directory_of(instance)
    components = Components(directory / "run", directory / "logs")
    return tuple(pid for name in ("kube-apiserver", "etcd") if (pid := components.pid(name)))


def _furnish(tools: Tools) -> None:
    """Install the definition, the operator's account, that of the load, and the pull secret."""
    tools.define()
    tools.kubectl("create", "namespace", OPERATOR_NAMESPACE)
    chart = tools.helm("template", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE, "--kube-version", "1.35")
    account = [document for document in yaml.safe_load_all(chart) if document and document["kind"] in ACCOUNT_KINDS]
    tools.kubectl("apply", "--server-side", "-f", "-", text=yaml.safe_dump_all([*account, *_driver(), pull_secret()]))


def _driver() -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DRIVER, "namespace": OPERATOR_NAMESPACE}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": DRIVER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": DRIVER, "namespace": OPERATOR_NAMESPACE}],
        },
    ]


def _token(tools: Tools, account: str) -> str:
    return tools.kubectl("create", "token", account, "-n", OPERATOR_NAMESPACE, "--duration=12h").strip()


def _with_token(config: dict[str, Any], token: str) -> dict[str, Any]:
    """Return the kubeconfig with a token instead of the admin's certificate."""
    return {**config, "users": [{"name": config["users"][0]["name"], "user": {"token": token}}]}
