"""Roles: what each may do, and who has it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.access import AccessRole
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components import access
from tests.fakes.environments import environment

READ = {"get", "list", "watch"}


def verbs(role: AccessRole, group: str, resource: str) -> set[str]:
    """Return what a role may do with a resource."""
    rules = access.RULES[role]
    return {
        verb for rule in rules if group in rule["apiGroups"] and resource in rule["resources"] for verb in rule["verbs"]
    }


def built(kind: str, **spec: Any) -> Mapping[str, Manifest]:
    """Return what is built of a kind, by name."""
    manifests = access.build(environment(**spec))
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


@pytest.mark.parametrize("resource", ["configmaps", "pods", "services", "resourcequotas", "events"])
def test_a_viewer_reads(resource: str) -> None:
    assert verbs(AccessRole.VIEWER, "", resource) == READ


def test_a_viewer_reads_logs_but_no_secrets_and_enters_no_pods() -> None:
    assert verbs(AccessRole.VIEWER, "", "pods/log") == {"get"}
    assert verbs(AccessRole.VIEWER, "", "secrets") == set()
    assert verbs(AccessRole.VIEWER, "", "pods/exec") == set()


def test_a_viewer_changes_nothing() -> None:
    found = {verb for rule in access.RULES[AccessRole.VIEWER] for verb in rule["verbs"]}
    assert found <= READ


@pytest.mark.parametrize(
    ("group", "resource", "verb"),
    [
        ("", "pods", "delete"),
        ("", "pods/exec", "create"),
        ("", "pods/exec", "get"),
        ("", "pods/portforward", "create"),
        ("", "configmaps", "update"),
        ("apps", "deployments", "patch"),
        ("apps", "deployments/scale", "patch"),
        ("batch", "jobs", "create"),
    ],
)
def test_a_developer_changes_workloads(group: str, resource: str, verb: str) -> None:
    assert verb in verbs(AccessRole.DEVELOPER, group, resource)


@pytest.mark.parametrize(
    ("group", "resource"),
    [
        ("", "resourcequotas"),
        ("", "limitranges"),
        ("", "serviceaccounts"),
        (access.GROUP, "roles"),
        (access.GROUP, "rolebindings"),
        ("networking.k8s.io", "networkpolicies"),
    ],
)
def test_a_developer_changes_no_rights_quotas_and_policies(group: str, resource: str) -> None:
    assert verbs(AccessRole.DEVELOPER, group, resource) == READ


def test_secrets_are_for_admins() -> None:
    assert verbs(AccessRole.DEVELOPER, "", "secrets") == set()
    assert verbs(AccessRole.ADMIN, "", "secrets") >= {"get", "create", "delete"}


@pytest.mark.parametrize("resource", ["resourcequotas", "limitranges"])
def test_nobody_changes_the_quota(resource: str) -> None:
    assert verbs(AccessRole.ADMIN, "", resource) == READ


def rights(rules: Sequence[Mapping[str, Sequence[str]]]) -> set[tuple[str, str, str]]:
    """Take rules apart into group, resource and verb."""
    return {right for rule in rules for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])}


@pytest.mark.parametrize("role", list(AccessRole))
def test_what_is_granted_is_listed_for_the_operators_own_rights(role: AccessRole) -> None:
    assert rights(access.RULES[role]) <= rights(access.GRANTED_RULES)


def test_no_right_is_a_wildcard_or_a_way_around() -> None:
    found = set(itertools.chain.from_iterable(rights(access.GRANTED_RULES)))
    assert found.isdisjoint({"*", "escalate", "bind", "impersonate", "serviceaccounts/token"})


def test_all_roles_exist_and_only_used_ones_are_bound() -> None:
    spec = {"bindings": [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "support"}]}]}
    assert set(built("Role", access=spec)) == {"biospark-viewer", "biospark-developer", "biospark-admin"}
    assert set(built("RoleBinding", access=spec)) == {"biospark-viewer"}
    assert built("RoleBinding") == {}


def test_who_has_a_role_reads_the_environment_itself_and_no_other() -> None:
    anna, support = {"kind": "User", "name": "anna"}, {"kind": "Group", "name": "support"}
    bindings = [{"role": "Viewer", "subjects": [support, anna]}, {"role": "Admin", "subjects": [anna]}]
    (role,) = built("ClusterRole", access={"bindings": bindings}).values()
    (binding,) = built("ClusterRoleBinding", access={"bindings": bindings}).values()
    assert role["metadata"] == {"name": "biospark-environment-dev"}
    assert role["rules"] == [
        {
            "apiGroups": ["biospark.ai"],
            "resources": ["biosparkenvironments"],
            "resourceNames": ["dev"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    assert binding["roleRef"] == {"apiGroup": access.GROUP, "kind": "ClusterRole", "name": role["metadata"]["name"]}
    assert binding["subjects"] == [{**support, "apiGroup": access.GROUP}, {**anna, "apiGroup": access.GROUP}]


def test_nothing_is_made_in_the_whole_cluster_where_nobody_has_a_role() -> None:
    assert built("ClusterRole") == built("ClusterRoleBinding") == {}


def test_subjects_are_written_as_kubernetes_wants_each_kind() -> None:
    subjects = [
        {"kind": "User", "name": "anna@example.com"},
        {"kind": "Group", "name": "support"},
        {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"},
    ]
    binding = built("RoleBinding", access={"bindings": [{"role": "Admin", "subjects": subjects}]})["biospark-admin"]
    assert binding["roleRef"] == {"apiGroup": access.GROUP, "kind": "Role", "name": "biospark-admin"}
    assert binding["subjects"] == [
        {"kind": "User", "name": "anna@example.com", "apiGroup": access.GROUP},
        {"kind": "Group", "name": "support", "apiGroup": access.GROUP},
        {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"},
    ]


def test_the_apis_account_gets_no_token_and_the_pull_secret_where_there_is_one() -> None:
    plain = built("ServiceAccount")["biospark-api"]
    assert plain["automountServiceAccountToken"] is False
    assert "imagePullSecrets" not in plain
    pulling = built("ServiceAccount", registry={"pullSecretRef": {"name": "pull"}})["biospark-api"]
    assert pulling["imagePullSecrets"] == [{"name": "biospark-registry"}]
