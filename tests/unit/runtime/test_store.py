"""Environments in the API server, and what the metrics tell of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from prometheus_client import REGISTRY

from biospark_operator.engine.errors import RejectedError
from biospark_operator.engine.events import Event
from biospark_operator.engine.shares import Rest
from biospark_operator.runtime import metrics
from biospark_operator.runtime.store import KubernetesStore
from tests.fakes.environments import body


class Client:
    """Keeps what it is given."""

    def __init__(self, found: Any = None) -> None:
        self.found = found
        self.statuses: list[Any] = []
        self.replaced: list[Any] = []
        #: What somebody else has in the status.
        self.foreign: dict[str, Any] = {}
        self.created: list[Any] = []
        self.error: Exception | None = None

    async def get(self, ref: Any) -> Any:
        return self.found

    async def apply_status(self, manifest: Any, writer: str) -> Any:
        self.statuses.append(manifest)
        return {**manifest, "status": {**manifest["status"], **self.foreign}}

    async def replace_status(self, live: Any, status: Any, writer: str) -> Any:
        self.replaced.append((live, status))

    async def create(self, manifest: Any) -> None:
        if self.error:
            raise self.error
        self.created.append(manifest)


def conditions(**truths: str) -> dict[str, Any]:
    return {"conditions": [{"type": type_, "status": truth} for type_, truth in truths.items()]}


def shown(name: str, condition: str) -> float | None:
    return REGISTRY.get_sample_value("biospark_environment_condition", {"environment": name, "condition": condition})


async def test_the_status_is_written_to_the_resource_that_was_read() -> None:
    client = Client()
    await KubernetesStore(client, "me").write_status(body("s1"), conditions(Ready="True"), Rest())  # type: ignore[arg-type]
    (written,) = client.statuses
    assert written["metadata"] == {"name": "s1", "uid": "uid-of-s1"}
    assert set(written) == {"apiVersion", "kind", "metadata", "status"}


async def test_what_somebody_else_wrote_into_the_status_is_taken_out() -> None:
    client = Client()
    store = KubernetesStore(client, "me")  # type: ignore[arg-type]
    await store.write_status(body("s7"), conditions(Ready="True"), Rest())
    assert client.replaced == [], "what is all ours is written once"
    client.foreign = {"inventory": [{"id": "theirs"}]}
    await store.write_status(body("s7"), conditions(Ready="True"), Rest())
    ((live, status),) = client.replaced
    assert live["status"]["inventory"]
    assert status == conditions(Ready="True")


async def test_conditions_are_shown_as_read_and_as_written() -> None:
    found = {**body("s2"), "status": conditions(Ready="Unknown", Stalled="True")}
    store = KubernetesStore(Client(found), "me")  # type: ignore[arg-type]
    await store.read("s2")
    assert (shown("s2", "Ready"), shown("s2", "Stalled")) == (-1, 1)
    await store.write_status(found, conditions(Ready="False"), Rest())
    assert (shown("s2", "Ready"), shown("s2", "Stalled")) == (0, None)
    metrics.forget("s2")
    assert shown("s2", "Ready") is None


async def test_an_environment_without_a_status_shows_nothing() -> None:
    store = KubernetesStore(Client({**body("s3"), "status": None}), "me")  # type: ignore[arg-type]
    assert await store.read("s3")
    assert shown("s3", "Ready") is None


async def test_what_does_not_exist_is_none() -> None:
    assert await KubernetesStore(Client(), "me").read("s4") is None  # type: ignore[arg-type]


async def test_an_event_is_about_the_environment_and_logged() -> None:
    client = Client()
    await KubernetesStore(client, "me").record(body("s5"), Event("Warning", "Stalled", "look"))  # type: ignore[arg-type]
    (event,) = client.created
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "Stalled", "look")
    assert event["regarding"]["uid"] == "uid-of-s5"
    assert event["reportingInstance"] == "me"


async def test_an_event_that_is_refused_is_logged_and_the_pass_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    client.error = RejectedError("no Events here")
    with caplog.at_level(logging.WARNING):
        await KubernetesStore(client, "me").record(body("s6"), Event("Normal", "Ready", "ok"))  # type: ignore[arg-type]
    assert "no Events here" in caplog.text
