"""Names of the servers that tests start: each worker of each checkout has its own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: Tells the servers of one checkout from those of another, whose tests may run at the same time.
_CHECKOUT = hashlib.sha256(str(Path(__file__).parent).encode()).hexdigest()[:4]


def of_worker(kind: str, purpose: str = "") -> str:
    """Return the name of this worker's instance; `purpose` gives a test that stops its server one of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    # Who runs tests beside others of this checkout names his instances.
    name = os.environ.get("BIOSPARK_INSTANCE", f"{kind}{_CHECKOUT}")
    return f"{name}{purpose}-{worker}"
