"""A control plane for operator processes, and a proxy before it that tests can let fail.

Everything here needs the control plane of the local cluster. `BIOSPARK_INSTANCE` names another instance than
`chaos`, for those who run these tests side by side on one machine.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import KubernetesClient, connected
from tests.chaos.apiproxy import ApiProxy
from tests.operator_process import Operator, Site, cluster_of_this_worker

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests told by `record_property`, such as what a sample was made of."""
    told = [
        (report.nodeid, *told) for report in terminalreporter.getreports("passed") for told in report.user_properties
    ]
    if told:
        terminalreporter.section("what the chaos tests did")
    for nodeid, what, how in dict.fromkeys(told):
        terminalreporter.line(f"{nodeid.rpartition('::')[2]}: {what}: {how}")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[str]:
    """Path of the kubeconfig of a control plane of this worker alone, with the definition of environments."""
    with cluster_of_this_worker(os.environ.get("BIOSPARK_INSTANCE", "chaos")) as kubeconfig:
        yield kubeconfig


@pytest.fixture
async def proxy(control_plane: str) -> AsyncIterator[ApiProxy]:
    """A proxy before the control plane."""
    async with ApiProxy(control_plane) as made:
        yield made


@pytest.fixture
async def client(control_plane: str) -> AsyncIterator[KubernetesClient]:
    """A client of the test itself, which goes past the proxy."""
    async with connected(kubeconfig=control_plane) as opened:
        yield opened


@pytest.fixture
def operator(proxy: ApiProxy, tmp_path: Path) -> Iterator[Operator]:
    """An operator whose API server is the proxy, running."""
    one = Operator(proxy.kubeconfig(tmp_path), tmp_path / "operator.log").start()
    yield one
    if one.alive:
        one.kill()


@pytest.fixture
async def site(client: KubernetesClient, control_plane: str, operator: Operator) -> AsyncIterator[Site]:
    """An environment of its own for each test, taken away at its end whatever became of the operator."""
    made = Site(client, control_plane, operator)
    yield made
    if await made.body():
        made.patch({"spec": {"deletionProtection": False}, "metadata": {"finalizers": None}})
        made.kubectl("delete", "bse", made.name, "--ignore-not-found", "--wait=false")
        made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")
