"""The operator's right to write cluster roles is limited by the chart's policy to reading single environments."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import programs
from dev.deploy import NAMESPACE, RELEASE, Tools
from tests.integration.restricted import apply, chart_rights
from tests.unit.chart.helm import Helm

pytestmark = pytest.mark.integration

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
RBAC = "rbac.authorization.k8s.io"
READ = {"apiGroups": ["biospark.ai"], "resources": ["biosparkenvironments"], "verbs": ["get"]}
OTHERS = "the operator writes only the cluster roles of environments"
ELSE = "the operator makes cluster roles only for reading the one environment"


@pytest.fixture(scope="module")
def tools(kubeconfig: str) -> Iterator[Tools]:
    """The administrator's tools on a cluster that has the operator's rights and the policy."""
    made = Tools(Path(kubeconfig))
    policy = f"{RELEASE}-cluster-roles"
    chart = Helm(programs.path("helm")).manifests()
    apply(made, [*chart_rights(), *(item for item in chart if item["metadata"]["name"] == policy)])
    deadline = time.monotonic() + 30
    while not refusal(made, role("probe", READ)):
        assert time.monotonic() < deadline, "the policy is not in force"
        time.sleep(0.2)
    yield made
    made.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", policy)


def refusal(tools: Tools, manifest: Mapping[str, Any]) -> str:
    """Let the operator try; return why it is refused, nothing if it is not."""
    try:
        tools.kubectl(
            "apply", "--server-side", "--dry-run=server", "-f", "-", "--as", OPERATOR, text=json.dumps(manifest)
        )
    except RuntimeError as error:
        return str(error)
    return ""


def role(name: str, rule: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}


def binding(name: str, to: str) -> Mapping[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": to},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "anna"}],
    }


def test_it_makes_what_reads_one_environment(tools: Tools) -> None:
    mine = role("biospark-environment-dev", {**READ, "resourceNames": ["dev"]})
    assert refusal(tools, mine) == ""
    tools.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(mine))
    assert refusal(tools, binding("biospark-environment-dev", "biospark-environment-dev")) == ""
    tools.kubectl("delete", "clusterrole", "biospark-environment-dev", "--as", OPERATOR)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (role("theirs", {**READ, "resourceNames": ["dev"]}), OTHERS),
        (role("biospark-environment-dev", READ), ELSE),
        (role("biospark-environment-dev", {**READ, "resourceNames": ["other"]}), ELSE),
        (role("biospark-environment-dev", {**READ, "resourceNames": ["dev"], "verbs": ["patch"]}), ELSE),
        (role("biospark-environment-dev", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}), ELSE),
        (binding("biospark-environment-dev", RELEASE), ELSE),
        (binding("theirs", RELEASE), OTHERS),
    ],
    ids=["another-name", "all", "another-environment", "writing", "secrets", "binding-of-another", "binding-name"],
)
def test_it_makes_nothing_else(tools: Tools, manifest: Mapping[str, Any], why: str) -> None:
    assert why in refusal(tools, manifest)


def test_it_deletes_no_role_of_others(tools: Tools) -> None:
    with pytest.raises(RuntimeError, match=OTHERS):
        tools.kubectl("delete", "clusterrole", "view", "--dry-run=server", "--as", OPERATOR)
