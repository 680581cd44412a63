"""What the probes and the metrics endpoint answer."""

from __future__ import annotations

import aiohttp
import pytest

from biospark_operator.runtime.loop import Environments
from biospark_operator.runtime.server import HUNG, OVERDUE, Health, serving

NOW = 10_000.0


@pytest.fixture
def environments() -> Environments:
    return Environments(None, 1)  # type: ignore[arg-type]


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
    environments: Environments, began: float | None, due: float | None, says: str | None
) -> None:
    slot = environments.slot("dev", "u")
    slot.began, slot.due = began, due
    status, text = await asked(Health(environments, lambda: False, monotonic=lambda: NOW), "/healthz")
    assert status == (500 if says else 200)
    assert text.startswith(says or "ok")


@pytest.mark.parametrize(("serves", "answer"), [(True, (200, "ok")), (False, (503, "starting"))])
async def test_ready_is_who_stands_by_or_watches(
    environments: Environments, serves: bool, answer: tuple[int, str]
) -> None:
    assert await asked(Health(environments, lambda: serves), "/readyz") == answer


async def test_metrics_are_in_the_text_format(environments: Environments) -> None:
    status, text = await asked(Health(environments, lambda: True), "/metrics")
    assert status == 200
    assert "# TYPE biospark_operator_leader gauge" in text
