"""docs/editors.md is true: each of its lines is tried by a user who has the chart's two roles for environments alone.

The API server has the chart's policies. Where a line is about what the operator makes of it, a pass is made.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import connected
from dev.cluster import programs
from dev.deploy import Tools
from tests.integration.conftest import OPERATOR_NAMESPACE, Operated, kubectl_of
from tests.integration.policies import ENVIRONMENTS, Requests, policies, until_refused
from tests.integration.restricted import apply
from tests.unit.api import limit_cases
from tests.unit.api.rule_cases import Json, egress, environment, subject
from tests.unit.chart.helm import Helm

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "editors.md"
EDITOR, ROLES = "editor", ("biospark-environments-view", "biospark-environments-edit")


@dataclass(frozen=True)
class Cluster:
    """An API server with the chart's policies, its administrator, and a user who is an editor and nothing else."""

    kubeconfig: str
    tools: Tools
    editor: Requests

    def stored(self, **spec: Any) -> str:
        """Let the editor create an environment, and return its name."""
        name = f"e{uuid.uuid4().hex[:8]}"
        assert self.editor.create(environment(name, mode="Plan", **spec), dry_run=False) is None
        return name


@pytest.fixture(scope="module")
def cluster(own_control_plane: str) -> Iterator[Cluster]:
    tools = Tools(Path(own_control_plane))
    found = Helm(programs.path("helm")).manifests()
    roles = [item for item in found if item["kind"] == "ClusterRole" and item["metadata"]["name"] in ROLES]
    assert len(roles) == len(ROLES)
    # Aggregated roles would give what they say to many.
    bare = [{**role, "metadata": {"name": role["metadata"]["name"]}} for role in roles]
    apply(tools, [*bare, *(binding(role["metadata"]["name"]) for role in roles)])
    with policies(own_control_plane):
        editor = Requests(own_control_plane, EDITOR)
        until_refused(lambda: editor.create(environment(**limit_cases.FAR)), "denied request")
        name = f"probe-{uuid.uuid4().hex[:8]}"
        assert editor.create(environment(name, mode="Plan", profile="Production"), dry_run=False) is None
        until_refused(lambda: editor.delete(name), "protected from deletion")
        yield Cluster(own_control_plane, tools, editor)
    for left in json.loads(tools.kubectl("get", "bse", "-o", "json"))["items"]:
        name = left["metadata"]["name"]
        tools.kubectl("patch", "bse", name, "--type=merge", "-p", '{"spec":{"deletionProtection":false}}')
        tools.kubectl("delete", "bse", name, "--wait=false")
    for role in ROLES:
        tools.kubectl("delete", f"clusterrole/{role}", f"clusterrolebinding/{role}")


def binding(role: str) -> Json:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": EDITOR}],
    }


Try = Callable[[Cluster], None]


def accepted(*specs: Json) -> Try:
    def line(cluster: Cluster) -> None:
        assert {str(spec): cluster.editor.create(environment(**spec)) for spec in specs} == {
            str(spec): None for spec in specs
        }

    return line


def refused(*specs: Json) -> Try:
    def line(cluster: Cluster) -> None:
        said = {str(spec): cluster.editor.create(environment(**spec)) for spec in specs}
        assert None not in said.values(), said

    return line


def manages_environments(cluster: Cluster) -> None:
    name, editor = cluster.stored(), cluster.editor
    assert editor.refusal("GET", ENVIRONMENTS) is None
    assert editor.refusal("GET", f"{ENVIRONMENTS}/{name}") is None
    assert editor.patch(name, {"spec": {"interval": "5m"}}) is None
    assert editor.delete(name) is None


def lifts_the_protection(cluster: Cluster) -> None:
    name = cluster.stored(profile="Production", deletionPolicy="Delete")
    assert cluster.editor.delete(name) is not None
    assert cluster.editor.patch(name, {"spec": {"deletionProtection": False}}, dry_run=False) is None
    assert cluster.editor.delete(name) is None


def changes(*changes: Json) -> Try:
    def line(cluster: Cluster) -> None:
        name = cluster.stored()
        assert [cluster.editor.patch(name, change) for change in changes] == [None for _ in changes]

    return line


def reaches_nothing_else(cluster: Cluster) -> None:
    inside = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}"
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    named = {"metadata": {"name": "x"}}
    asked = [
        *(
            ("GET", path, None)
            for path in (f"{inside}/secrets", "/api/v1/secrets", "/api/v1/pods", "/api/v1/namespaces")
        ),
        ("GET", f"{inside}/configmaps", None),
        ("POST", "/api/v1/namespaces", named),
        ("PATCH", f"/api/v1/namespaces/{OPERATOR_NAMESPACE}", {"metadata": {"labels": {"x": "y"}}}),
        ("DELETE", f"/api/v1/namespaces/{OPERATOR_NAMESPACE}", None),
        ("POST", f"{inside}/pods", named),
        ("POST", f"{inside}/serviceaccounts/default/token", {}),
        ("POST", f"{rbac}/clusterrolebindings", named),
        ("POST", f"{rbac}/namespaces/{OPERATOR_NAMESPACE}/rolebindings", named),
        ("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", None),
        ("DELETE", ENVIRONMENTS, None),
    ]
    allowed = [(method, path) for method, path, body in asked if cluster.editor.refusal(method, path, body) is None]
    assert allowed == []


def can_not_write_a_status(cluster: Cluster) -> None:
    name = cluster.stored()
    change = {"status": {"operatorVersion": "mine"}}
    assert "cannot patch resource" in (cluster.editor.refusal("PATCH", f"{ENVIRONMENTS}/{name}/status", change) or "")


def can_not_delete_what_is_protected(cluster: Cluster) -> None:
    for spec in ({"profile": "Production"}, {"deletionProtection": True}):
        assert "protected from deletion" in (cluster.editor.delete(cluster.stored(**spec)) or "")


def can_not_lose_the_protection(cluster: Cluster) -> None:
    name = cluster.stored(profile="Production")
    for change in ({"profile": "Development"}, {"profile": "Staging", "deletionPolicy": "Delete"}):
        assert "spec.deletionProtection" in (cluster.editor.patch(name, {"spec": change}) or "")
    name = cluster.stored(deletionProtection=True)
    assert "spec.deletionProtection" in (cluster.editor.patch(name, {"spec": {"deletionProtection": None}}) or "")


def server(profile: str, **members: Any) -> Json:
    return limit_cases.server(profile, **members)


SYSTEM = ("system:unauthenticated", "system:anonymous", "system:authenticated", "system:masters", "system:nodes")
MOST = {"cpu": "64", "memory": "256Gi", "pods": 500, "storage": "2Ti"}

LINES: Mapping[str, Try] = {
    # Can
    "create, change, delete and read every environment, not only their own": manages_environments,
    "give anybody the role Admin in the namespace of an environment": accepted(
        {"access": {"bindings": [{"role": "Admin", "subjects": [{"kind": "User", "name": EDITOR}]}]}}
    ),
    "run any image as the API": accepted({"api": {"image": "anywhere.example/image:1"}}),
    "raise the quota to 64 cores, 256Gi, 500 pods and 2Ti of storage": accepted({"namespace": {"quota": MOST}}),
    "let pods of any namespace connect to the API": accepted(
        {"network": {"ingress": [{"name": "a", "namespace": "anything"}]}}
    ),
    "let the environment connect to any address but those": accepted(
        limit_cases.without(limit_cases.EXCEPT, "0.0.0.0/0"), limit_cases.without(limit_cases.EXCEPT_6, "::/0")
    ),
    "name a PostgreSQL server of their own": accepted(server("Development"), server("Production", **limit_cases.CA)),
    "choose another profile": changes({"spec": {"profile": "Staging"}}, {"spec": {"profile": "Production"}}),
    "lift the protection of an environment": lifts_the_protection,
    "pause an environment by `suspend`": changes({"spec": {"suspend": True}}, {"spec": {"mode": "Plan"}}),
    "take the finalizer of an environment away": changes({"metadata": {"finalizers": None}}),
    # Cannot
    "read or change anything but environments": reaches_nothing_else,
    "write the status of an environment": can_not_write_a_status,
    "ask for `podSecurity: Privileged`": refused(
        *(limit_cases.pods("Privileged", profile) for profile in ("Development", "Staging", "Production")),
        limit_cases.pods("Baseline", "Production"),
    ),
    "set other labels of a namespace": refused(
        *(limit_cases.labels(key) for key in ("istio-injection", "pod-security.kubernetes.io/enforce", "anything"))
    ),
    "bind `system:unauthenticated`": refused(*(subject(kind=k, name=n) for k in ("User", "Group") for n in SYSTEM)),
    "bind a service account of `kube-system`": refused(
        *(limit_cases.account(name) for name in ("kube-system", "kube-public", OPERATOR_NAMESPACE))
    ),
    "turn network isolation off": refused(
        *({"profile": p, "network": {"isolation": "Disabled"}} for p in ("Development", "Staging", "Production"))
    ),
    "reach metadata addresses": refused(
        *(egress(cidr=c) for c in ("169.254.169.254/32", "fd00:ec2::254/128", "0.0.0.0/0", "::/0")),
        egress(cidr="::ffff:169.254.169.254/128"),
        egress(cidr="::ffff:a9fe:a9fe/128"),
    ),
    "connect a Production environment to a server of their own without verified TLS": refused(
        server("Production"),
        server("Production", sslMode="Disable"),
        server("Production", sslMode="VerifyCA", **limit_cases.CA),
        server("Staging", sslMode="Disable"),
    ),
    "name a database or a schema that begins with `pg_`": refused(
        {"database": {"name": "pg_records"}},
        {"database": {"extensions": [{"name": "hstore", "schema": "pg_mine"}]}},
    ),
    "delete a protected environment": can_not_delete_what_is_protected,
    "end the protection by another profile or by removing the field": can_not_lose_the_protection,
}
"""By the beginning of each line, what is tried."""

BY_THE_OPERATOR = frozenset(
    {
        "take `default`, `kube-*`, the operator's namespace or one of the platform's for an environment",
        "take over a namespace whose administrators did not agree",
    }
)
"""Lines that the operator holds, by the tests below."""


def lines_of_the_page() -> list[str]:
    cells = re.findall(r"^\| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [cell for cell in cells if not cell.startswith("an editor can")]


def test_every_line_of_the_page_is_tried() -> None:
    known = [*LINES, *BY_THE_OPERATOR]
    untried = [line for line in lines_of_the_page() if sum(line.startswith(start) for start in known) != 1]
    unwritten = [start for start in known if not any(line.startswith(start) for line in lines_of_the_page())]
    assert (untried, unwritten) == ([], [])


@pytest.mark.parametrize("line", LINES)
def test_the_line_is_true(cluster: Cluster, line: str) -> None:
    LINES[line](cluster)


async def outcome(cluster: Cluster, name: str, **spec: Any) -> tuple[str, str] | None:
    """Let the editor create an environment, and return what a pass of the operator makes of it."""
    assert cluster.editor.create(environment(name, adoptionPolicy="IfUnowned", **spec), dry_run=False) is None
    async with connected(kubeconfig=cluster.kubeconfig) as client:
        operated = Operated(name, client, kubectl_of(cluster.kubeconfig))
        await operated.run()
        return await operated.told("Stalled")


@pytest.mark.parametrize("namespace", ["kong", "monitoring", "biospark-platform", OPERATOR_NAMESPACE])
async def test_the_namespaces_of_the_platform_are_refused_to_an_editor(cluster: Cluster, namespace: str) -> None:
    name = f"e{uuid.uuid4().hex[:8]}"
    assert await outcome(cluster, name, namespace={"name": namespace}) == ("True", "NamespaceRefused")


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public"])
def test_the_namespaces_of_kubernetes_are_refused_to_an_editor(cluster: Cluster, namespace: str) -> None:
    assert cluster.editor.create(environment(namespace={"name": namespace})) is not None


async def test_a_foreign_namespace_is_refused_to_an_editor(cluster: Cluster) -> None:
    name = f"e{uuid.uuid4().hex[:8]}"
    cluster.tools.kubectl("create", "namespace", f"biospark-{name}")
    assert await outcome(cluster, name) == ("True", "NotOwned")
    live = json.loads(cluster.tools.kubectl("get", "namespace", f"biospark-{name}", "-o", "json"))
    assert "biospark.ai/environment" not in live["metadata"].get("labels", {})
