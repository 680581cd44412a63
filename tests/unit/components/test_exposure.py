"""Which containers that others added to the API's Deployment count as reading its secrets."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.components.workload import component as workload
from biospark_operator.components.workload import exposure
from tests.fakes.environments import environment

DATABASE = {"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}}


@pytest.fixture
def wanted() -> Any:
    built = workload.build(environment(database=DATABASE), Platform())
    return next(manifest for manifest in built if manifest["kind"] == "Deployment")


def with_container(wanted: Any, *, kind: str = "containers", volumes: Any = (), **container: Any) -> Any:
    live = copy.deepcopy(wanted)
    pod = live["spec"]["template"]["spec"]
    pod.setdefault(kind, []).append({"name": "spy", "image": "registry.example/spy:1", **container})
    pod["volumes"] += list(volumes)
    fields = {"f:spec": {"f:template": {"f:spec": {f"f:{kind}": {'k:{"name":"spy"}': {}}}}}}
    live["metadata"]["managedFields"] = [{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields}]
    return live


def mounted(secret: str, *, projected: bool = False) -> Any:
    source = (
        {"projected": {"sources": [{"secret": {"name": secret}}]}} if projected else {"secret": {"secretName": secret}}
    )
    return {"volumes": [{"name": "v", **source}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}


SECRET = "biospark-database"


@pytest.mark.parametrize(
    "container",
    [
        mounted(SECRET),
        mounted(SECRET, projected=True),
        {"kind": "initContainers", **mounted(SECRET)},
        {"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "password"}}}]},
        {"envFrom": [{"secretRef": {"name": SECRET}}]},
    ],
)
def test_a_container_that_reads_our_secret_is_named_with_who_added_it(wanted: Any, container: Any) -> None:
    told = exposure.foreign_readers(wanted, with_container(wanted, **container))
    assert told == (
        "container spy reads Secret biospark-database, which kubectl-edit added; remove it with kubectl edit "
        "deployment biospark-api -n biospark-dev"
    )


def test_a_container_that_mounts_a_volume_of_ours_reads_what_is_in_it(wanted: Any) -> None:
    ours = next(volume for volume in wanted["spec"]["template"]["spec"]["volumes"] if "secret" in volume)
    live = with_container(wanted, volumeMounts=[{"name": ours["name"], "mountPath": "/v"}])
    told = exposure.foreign_readers(wanted, live)
    assert told is not None
    assert f"container spy reads Secret {ours['secret']['secretName']}" in told


@pytest.mark.parametrize(
    "container",
    [
        {},
        {"kind": "initContainers"},
        mounted("their-own"),
        {"env": [{"name": "P", "value": "x"}], "envFrom": [{"configMapRef": {"name": SECRET}}]},
        {"volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]},
    ],
)
def test_a_sidecar_that_reads_nothing_of_ours_is_let_be(wanted: Any, container: Any) -> None:
    assert exposure.foreign_readers(wanted, with_container(wanted, **container)) is None


def test_the_deployment_as_it_is_made_exposes_nothing(wanted: Any) -> None:
    assert exposure.foreign_readers(wanted, wanted) is None
