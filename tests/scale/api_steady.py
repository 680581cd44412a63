"""A steady load of one process of the API service: what 1000 requests a minute cost, and whether memory grows.

Requests are sent at fixed times whatever the answers do, by one client: two lists, two patients by their ids and one
new patient out of every five.
"""

from __future__ import annotations

import re
import statistics
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.api.service import Service
from tests.scale.process import cpu_seconds

PER_MINUTE = 1000
_URL = "/api/v1/patients"
# Requests that prepare statements and fill caches before anything is counted.
_FIRST = 20


@dataclass(frozen=True)
class Steady:
    """What a steady load cost."""

    statuses: Counter[tuple[str, int]]
    seconds: float
    cpu_seconds: float
    resident: list[float]
    """Memory in MiB, once a second."""

    @property
    def share(self) -> float:
        """Of one processor."""
        return self.cpu_seconds / self.seconds

    @property
    def growth(self) -> float:
        """How much more memory there is in the last fifth than in the second, in MiB; caches fill in the first."""
        fifth = len(self.resident) // 5
        return statistics.median(self.resident[-fifth:]) - statistics.median(self.resident[fifth : 2 * fifth])


def send(service: Service, seconds: float) -> Steady:
    """Send `PER_MINUTE` requests a minute to a service that is ready."""
    client, pid = service.as_role("admin"), service.process.pid
    patient = client.post(_URL, json=_patient()).json()["id"]
    number = round(PER_MINUTE * seconds / 60)
    for _ in range(_FIRST):
        client.get(_URL)
        client.get(f"{_URL}/{patient}")
        client.post(_URL, json=_patient())
    statuses: Counter[tuple[str, int]] = Counter()
    resident: list[float] = []
    begun, used = time.monotonic(), cpu_seconds(pid)
    for sent in range(number):
        due = begun + sent * 60 / PER_MINUTE
        time.sleep(max(0.0, due - time.monotonic()))
        if due - begun >= len(resident):
            resident.append(_resident_mib(pid))
        match sent % 5:
            case 0 | 2:
                answer = client.get(_URL, params={"limit": 50})
            case 1 | 3:
                answer = client.get(f"{_URL}/{patient}")
            case _:
                answer = client.post(_URL, json=_patient())
        statuses[answer.request.method, answer.status_code] += 1
    return Steady(statuses, time.monotonic() - begun, cpu_seconds(pid) - used, resident)


def _patient() -> dict[str, str]:
    person = {"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-12-10"}
    return person | {"email": f"{uuid.uuid4().hex}@example.org"}


def _resident_mib(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
