"""What the tests of the API service share: an application, a client for it, and its log records."""

import io
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from biospark_api.app import create_app
from biospark_api.logs import configure_logging
from biospark_api.settings import Settings
from tests.unit.api_service.in_process import in_process


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BIOSPARK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def app() -> FastAPI:
    """An application with default settings; tests may add routes before the first request."""
    return create_app(Settings(max_body_bytes=1000))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the started application."""
    async with app.router.lifespan_context(app), in_process(app) as connected:
        yield connected


@pytest.fixture
def records() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Everything that the service logged during the test, at the most talkative level."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logging.getLogger("httpx").propagate = False  # the test's own client, in the same process
    configure_logging("dev", "debug", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(False)
    logging.getLogger("httpx").propagate = True
