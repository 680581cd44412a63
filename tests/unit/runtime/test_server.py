"""What the probes and the metrics endpoint answer."""

from __future__ import annotations

import aiohttp
import pytest

from biospark_operator.clients.kubernetes.contact import Contact
from biospark_operator.runtime.loop import Environments
from biospark_operator.runtime.server import CUT_OFF, HUNG, OVERDUE, Health, serving

NOW = 10_000.0


@pytest.fixture
def environments() -> Environments:
    return Environments(None, 1)  # type: ignore[arg-type]


@pytest.fixture
def contact() -> Contact:
    """The API server was heard a moment ago."""
    made = Contact()
    made.heard()
    return made


async def asked(health: Health, path: str) -> tuple[int, str]:
    async with (
        serving(health, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("began", "due", "says"),
    [
        (None, None, None),
        (NOW - HUNG + 1, None, None),
        (NOW - HUNG - 1, None, "the pass over dev has been running"),
        (None, NOW - OVERDUE + 1, None),
        (None, NOW - OVERDUE - 1, "the pass over dev is overdue"),
        (None, NOW + 3600, None),
    ],
)
async def test_the_process_is_healthy_while_passes_get_done(
    environments: Environments, contact: Contact, began: float | None, due: float | None, says: str | None
) -> None:
    slot = environments.slot("dev", "u")
    slot.began, slot.due = began, due
    status, text = await asked(Health(environments, contact, lambda: False, monotonic=lambda: NOW), "/healthz")
    assert status == (500 if says else 200)
    assert text.startswith(says or "ok")


@pytest.mark.parametrize(("serves", "answer"), [(True, (200, "ok")), (False, (503, "starting"))])
async def test_ready_is_who_stands_by_or_watches(
    environments: Environments, contact: Contact, serves: bool, answer: tuple[int, str]
) -> None:
    assert await asked(Health(environments, contact, lambda: serves), "/readyz") == answer


async def test_who_never_reached_the_api_server_is_not_ready(environments: Environments) -> None:
    answer = (503, "starting: the API server has not answered yet")
    assert await asked(Health(environments, Contact(), lambda: True), "/readyz") == answer


@pytest.mark.parametrize("made", [True, False])
async def test_who_has_not_heard_the_api_server_for_minutes_is_not_healthy(
    environments: Environments, made: bool
) -> None:
    now = NOW
    contact = Contact(monotonic=lambda: now)
    if made:
        contact.heard()
    health = Health(environments, contact, lambda: True)
    now += CUT_OFF
    assert await asked(health, "/healthz") == (200, "ok")
    now += 1
    assert await asked(health, "/healthz") == (500, "the API server has not been heard for more than 180 s")
    contact.heard()
    assert await asked(health, "/healthz") == (200, "ok")


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_all_addresses_are_those_of_both_families(
    environments: Environments, contact: Contact, address: str
) -> None:
    async with (
        serving(Health(environments, contact, lambda: True), "::", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}:{port}/readyz") as response,
    ):
        assert response.status == 200


async def test_metrics_are_in_the_text_format(environments: Environments, contact: Contact) -> None:
    status, text = await asked(Health(environments, contact, lambda: True), "/metrics")
    assert status == 200
    assert "# TYPE biospark_operator_leader gauge" in text
