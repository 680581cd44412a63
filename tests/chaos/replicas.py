"""Replicas of the operator, each with a proxy of its own before the API server, and what tests ask about them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.objects import Manifest
from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import Call
from tests.operator_process import LEASE, Operator, Site


def about_lease(call: Call) -> bool:
    """Whether a call is about the Lease."""
    return "/leases" in call.path


def working(call: Call) -> bool:
    """Whether a call changes something that only the leader may change."""
    return call.mutating and not about_lease(call)


@dataclass
class Replica:
    """One process and its way to the API server."""

    operator: Operator
    proxy: ApiProxy

    @property
    def name(self) -> str:
        return self.operator.name

    def work(self, since: int = 0) -> Sequence[Call]:
        """Return the calls of `proxy.calls[since:]` that only the leader may make."""
        return [call for call in self.proxy.calls[since:] if working(call)]

    def pause(self) -> None:
        """Stop the process as a hypervisor or a starved node does: it does not notice."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        self._signal(signal.SIGCONT)

    async def ended(self, seconds: float) -> int:
        """Return the exit code of the process. Raises `subprocess.TimeoutExpired`."""
        assert self.operator.process is not None
        return await asyncio.to_thread(self.operator.process.wait, seconds)

    def _signal(self, number: int) -> None:
        assert self.operator.process is not None
        self.operator.process.send_signal(number)


async def lease(client: KubernetesClient) -> Manifest:
    """Return the Lease, an empty one where there is none."""
    return await client.get(LEASE) or {"spec": {}}


async def holder(client: KubernetesClient) -> str | None:
    """Return who holds the Lease."""
    found: str | None = (await lease(client))["spec"].get("holderIdentity")
    return found


@asynccontextmanager
async def another(site: Site) -> AsyncIterator[Site]:
    """Give one more environment on the same cluster, taken away at the end whatever became of the operator."""
    made = Site(site.client, site.kubeconfig, site.operator)
    try:
        yield made
    finally:
        if await made.body():
            made.patch({"metadata": {"finalizers": None}})
            made.kubectl("delete", "bse", made.name, "--ignore-not-found", "--wait=false")
            made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")
