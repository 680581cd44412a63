"""Where Events on an environment are recorded: in `default`, and where those can read them whom it names."""

from __future__ import annotations

from typing import Any, cast

import pytest

from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.engine.errors import RejectedError
from biospark_operator.engine.events import Event
from biospark_operator.runtime.store import KubernetesStore

EVENT = Event("Warning", "DriftRepaired", "workload: set spec.replicas")
BOUND = {"access": {"bindings": [{"role": "Viewer", "subjects": [{"kind": "User", "name": "anna"}]}]}}


class Recorder:
    """A client that keeps what is created, and refuses it in the namespaces it was given."""

    def __init__(self, *refused: str) -> None:
        self.created: list[Manifest] = []
        self.refused = refused

    async def create(self, manifest: Manifest) -> Manifest:
        if manifest["metadata"]["namespace"] in self.refused:
            raise RejectedError("namespace is being terminated")
        self.created.append(manifest)
        return manifest

    @property
    def places(self) -> list[tuple[str, str | None]]:
        return [(each["metadata"]["namespace"], each["regarding"]["namespace"]) for each in self.created]


def body(*, ready: str = "True", **spec: Any) -> Manifest:
    conditions = [{"type": "NamespaceReady", "status": ready}]
    status = {"namespace": "biospark-dev", "conditions": conditions}
    return {"metadata": {"name": "dev", "uid": "0123456789"}, "spec": spec, "status": status}


async def recorded(client: Recorder, environment: Manifest) -> list[tuple[str, str | None]]:
    await KubernetesStore(cast(KubernetesClient, client), "tests").record(environment, EVENT)
    return client.places


async def test_an_event_is_where_kubernetes_wants_it() -> None:
    assert await recorded(Recorder(), body()) == [("default", None)]


async def test_those_whom_the_environment_names_find_it_in_its_namespace() -> None:
    client = Recorder()
    assert await recorded(client, body(**BOUND)) == [("default", None), ("biospark-dev", "biospark-dev")]
    first, second = client.created
    assert {**first["regarding"], "namespace": "biospark-dev"} == second["regarding"]
    assert first["note"] == second["note"] == EVENT.message


@pytest.mark.parametrize("ready", ["False", "Unknown"])
async def test_nothing_is_told_in_a_namespace_that_is_not_the_environments(ready: str) -> None:
    assert await recorded(Recorder(), body(ready=ready, **BOUND)) == [("default", None)]


async def test_a_namespace_on_its_way_out_loses_no_event_elsewhere() -> None:
    assert await recorded(Recorder("biospark-dev"), body(**BOUND)) == [("default", None)]
    assert await recorded(Recorder("default"), body(**BOUND)) == [("biospark-dev", "biospark-dev")]
