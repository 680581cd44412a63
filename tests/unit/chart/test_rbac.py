"""Rights: none too many, none without a reason, and all that the operator needs to grant."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from biospark_operator.components.access import GRANTED_RULES
from biospark_operator.objects import kinds
from biospark_operator.objects.kinds import Kind
from biospark_operator.runtime.leader import LeaseElection
from tests.fakes.components import COMPONENTS
from tests.unit.chart.helm import CHART, Helm, Manifest

NAME = "biospark-operator"
GRANTS = "biospark-operator-grants"
KINDS = {"ClusterRole", "Role"}


#: All that components make or list in Kubernetes.
DECLARED = kinds.kinds_of(COMPONENTS)
#: What the process does beside that in the cluster: it follows environments and definitions, and reports.
OF_THE_PROCESS = {
    *(("biospark.ai", "biosparkenvironments", verb) for verb in ("get", "list", "watch", "patch")),
    ("biospark.ai", "biosparkenvironments/status", "patch"),
    *(("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch")),
    ("events.k8s.io", "events", "create"),
}


def rights(rules: Sequence[Mapping[str, Any]]) -> set[kinds.Right]:
    """Rules taken apart into (group, resource, verb)."""
    return {right for rule in rules for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])}


@pytest.fixture(scope="module")
def roles(helm: Helm) -> Sequence[Manifest]:
    return [manifest for manifest in helm.manifests() if manifest["kind"] in KINDS]


@pytest.fixture(scope="module")
def operators(roles: Sequence[Manifest]) -> Mapping[str, set[kinds.Right]]:
    """The rights of the operator in the whole cluster, by role."""
    cluster = [role for role in roles if role["kind"] == "ClusterRole"]
    return {role["metadata"]["name"]: rights(role["rules"]) for role in cluster}


def test_no_right_is_a_wildcard_or_leads_to_more_rights(roles: Sequence[Manifest]) -> None:
    for role in roles:
        parts = set(itertools.chain.from_iterable(rights(role["rules"])))
        assert parts.isdisjoint({"*", "escalate", "bind", "impersonate"}), role["metadata"]["name"]


def test_the_operator_can_do_in_the_cluster_what_its_components_declare_and_nothing_beyond(
    operators: Mapping[str, set[kinds.Right]],
) -> None:
    has, needed = operators[NAME] - OF_THE_PROCESS, kinds.rights(DECLARED)
    missing, too_much = sorted(needed - has), sorted(has - needed)
    assert missing == [], "add these to templates/clusterrole.yaml"
    assert too_much == [], "remove these from templates/clusterrole.yaml"


def test_a_kind_without_rights_and_a_right_without_a_kind_are_both_noticed(
    operators: Mapping[str, set[kinds.Right]],
) -> None:
    beside = operators[NAME] - OF_THE_PROCESS
    certificate = Kind("cert-manager.io/v1", "Certificate", "certificates", optional=True)
    assert {right[2] for right in kinds.rights([*DECLARED, certificate]) - beside} == kinds.VERBS
    fewer = kinds.rights(kind for kind in DECLARED if kind != kinds.NETWORK_POLICY)
    assert {resource for _, resource, _ in beside - fewer} == {"networkpolicies"}


def test_the_operator_never_writes_a_spec_by_replacing_it_nor_deletes_environments(
    operators: Mapping[str, set[kinds.Right]],
) -> None:
    found = {(resource, verb) for group, resource, verb in operators[NAME] if group == "biospark.ai"}
    environments = {("biosparkenvironments", verb) for verb in ("get", "list", "watch", "patch")}
    assert found == environments | {("biosparkenvironments/status", "patch")}


def test_the_grants_are_exactly_what_the_roles_in_environments_contain(
    operators: Mapping[str, set[kinds.Right]],
) -> None:
    assert operators[GRANTS] == rights(GRANTED_RULES)


def test_the_lease_is_the_only_one_that_can_be_changed(roles: Sequence[Manifest]) -> None:
    (own,) = (role for role in roles if role["kind"] == "Role")
    assert own["metadata"]["namespace"] == "biospark-system"
    assert [(rule["resources"], rule["verbs"], rule.get("resourceNames")) for rule in own["rules"]] == [
        (["leases"], ["create"], None),
        (["leases"], ["get", "update"], [LeaseElection.name]),
    ]


def test_every_role_of_the_operator_is_bound_to_its_account_alone(helm: Helm) -> None:
    bindings = [m for m in helm.manifests() if m["kind"] in {"ClusterRoleBinding", "RoleBinding"}]
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": "biospark-system"}
    assert sorted(binding["roleRef"]["name"] for binding in bindings) == [NAME, NAME, GRANTS]
    assert all(binding["subjects"] == [account] for binding in bindings)


def test_the_default_roles_of_the_cluster_include_environments_unless_told_otherwise(helm: Helm) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"

    def aggregated(name: str, **values: bool) -> set[str]:
        labels = helm.manifest("ClusterRole", name, {"rbac": values})["metadata"]["labels"]
        return {label.removeprefix(prefix) for label in labels if label.startswith(prefix)}

    assert aggregated("biospark-environments-view", aggregateEdit=False) == {"view", "edit", "admin"}
    assert aggregated("biospark-environments-edit", aggregateEdit=False) == set()
    assert aggregated("biospark-environments-view", aggregateView=False) == set()
    assert aggregated("biospark-environments-edit", aggregateView=False) == {"edit", "admin"}


@pytest.mark.parametrize(
    "template", ["clusterrole.yaml", "clusterrole-grants.yaml", "role.yaml", "clusterroles-aggregated.yaml"]
)
def test_every_verb_has_its_reason_beside_it(template: str) -> None:
    text = (CHART / "templates" / template).read_text()
    rules = list(rules_with_reasons(text))
    assert len(rules) == text.count("apiGroups:")
    for rule, reasons in rules:
        assert set(rule["verbs"]) <= reasons, f"{rule['resources']}: say why"


def rules_with_reasons(text: str) -> Iterator[tuple[Mapping[str, Any], set[str]]]:
    """Each rule, and the verbs that the comments above explain: "get, list: why", up to the next such comment."""
    reasons: set[str] = set()
    explained: set[str] = set()
    for block in re.findall(r"(?m)((?:^  +#.*\n)*)(^  - apiGroups:.*\n(?:^    .*\n)*)", text):
        comment, rule = block
        for verbs in re.findall(r"(?:# |\. )((?:[a-z]+, )*[a-z]+):", comment):
            explained |= set(verbs.split(", "))
        reasons, explained = (explained or reasons), set()
        yield yaml.safe_load(rule)[0], reasons
