"""OpenBao servers for tests: one in dev mode and one group for each worker."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.openbao import Server

#: Tells the servers of one checkout from those of another, whose tests may run at the same time.
_CHECKOUT = hashlib.sha256(str(Path(__file__).parent).encode()).hexdigest()[:4]


@contextmanager
def server(nodes: int = 0, purpose: str = "", audit: Path | None = None) -> Iterator[Server]:
    """Run a server of this worker; `purpose` gives a test that stops or seals it one of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    # Who runs tests beside others of this checkout names his instances.
    name = os.environ.get("BIOSPARK_INSTANCE", f"bao{_CHECKOUT}")
    running = Server.of(f"{name}{purpose}-{worker}", nodes)
    try:
        running.up(audit=audit)
        yield running
    finally:
        running.down()
