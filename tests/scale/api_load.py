"""The load generator of the API's benchmark: wrk, which costs the machine little beside the service.

It keeps a number of connections busy, each with one request at a time, and measures every answer. A candidate is
several processes as an environment has several pods, so there is one wrk for each of them.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import packages

PROGRAM = {"wrk": "wrk"}
_SCRIPT = Path(__file__).parent / "reference" / "requests.lua"


@dataclass(frozen=True)
class Load:
    """What to send: an operation of `reference/requests.lua`, and what it needs."""

    operation: str
    connections: int
    token: str = "-"
    file: Path = Path("/dev/null")
    seed: str = "-"


@dataclass(frozen=True)
class Answers:
    """What came back from one process. Times are milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    """Answers with another status than 2xx."""
    broken: int
    """Connections that failed, and answers that did not come in time."""


def ensure() -> None:
    """Make wrk available; raises ClusterError that names the package where it cannot be installed."""
    packages.ensure(PROGRAM, print)


class Sending:
    """A load that is under way against every port of a candidate, until `stop`."""

    def __init__(self, ports: Sequence[int], load: Load) -> None:
        self._programs = [_start(port, number, load) for number, port in enumerate(ports)]

    def stop(self) -> list[Answers]:
        """End it, and return what came back from each port."""
        for program in self._programs:
            program.send_signal(signal.SIGINT)
        return [_answers(program) for program in self._programs]

    def kill(self) -> None:
        """End it, whatever came back."""
        for program in self._programs:
            program.kill()
            program.communicate()


@contextmanager
def sending(ports: Sequence[int], load: Load) -> Iterator[Sending]:
    """A load in the background, which has begun."""
    under_way = Sending(ports, load)
    try:
        yield under_way
    finally:
        under_way.kill()


def _start(port: int, number: int, load: Load) -> subprocess.Popen[str]:
    command = [
        *("wrk", "--threads", "1", "--connections", str(load.connections), "--duration", "600s"),
        *("--timeout", "20s", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}"),
        *("--", load.operation, load.token, str(load.file), f"{load.seed}.{number}"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answers(program: subprocess.Popen[str]) -> Answers:
    out, err = program.communicate()
    if program.returncode:
        raise AssertionError(f"wrk failed with {program.returncode}: {out}{err}")
    said = json.loads(out.splitlines()[-1])
    return Answers(
        said["requests"],
        said["microseconds"] / 1e6,
        said["p50"] / 1000,
        said["p99"] / 1000,
        said["statuses"],
        said["connections"],
    )
