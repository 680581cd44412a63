"""A home for instances of the tests: short, since sockets lie in it and their paths must not be long."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty state directory of the test's own."""
    with tempfile.TemporaryDirectory(prefix="bs-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield Path(folder)
