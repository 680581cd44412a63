"""Real OpenBao servers for the tests here, that let ServiceAccounts of the shared control plane log in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster.openbao import Server
from tests.openbao import server


@pytest.fixture(scope="session")
def dev(kubeconfig: str) -> Iterator[Server]:
    """A server in dev mode."""
    with server() as running:
        running.trust(Path(kubeconfig))
        yield running


@pytest.fixture(scope="session")
def group(kubeconfig: str) -> Iterator[Server]:
    """A group of two with TLS and an audit log. No test stops or seals any of it."""
    with server(2) as running:
        running.trust(Path(kubeconfig))
        yield running
