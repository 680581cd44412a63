"""The benchmark of the API service, `make bench-api`: it and a reference in Node, side by side, in one run.

Each round measures every operation of every candidate for some seconds, the candidates in another order each time,
so that what else the machine does meets all of them; a figure is the median of its rounds. Processor time of the
processes is what to compare: requests a second also depend on how much of the machine is left for the load
generator and PostgreSQL, which share it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.api.postgres import Server, running
from tests.api.service import PASSWORD
from tests.scale import api_load, api_report
from tests.scale.api_candidates import PATIENTS, Candidate, Interpreters, candidates
from tests.scale.api_load import Answers, Load

OPERATIONS = {"list": 200, "get": 200, "create": 201}
#: Connections to each process that are busy all the time, and those that log in during a flood.
BUSY, FLOOD = 8, 8
_DATABASE = "bench"


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int = 5
    seconds: float = 3.0
    interpreters: Interpreters = field(default_factory=Interpreters)
    warm: bool = True
    """Whether a round that does not count comes first: for caches, compilers and prepared statements."""


@dataclass(frozen=True)
class Sample:
    """One operation of one candidate in one round."""

    requests: int
    seconds: float
    cpu_seconds: float
    p50: float
    p99: float
    failures: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """Processor time of the candidate for each request."""
        return self.cpu_seconds * 1e6 / max(self.requests, 1)


@dataclass
class Figures:
    """What was measured of one candidate."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By operation; besides those of `OPERATIONS` there are `quiet`, a list at a time and nothing else, `flood`, the
    same during a flood of logins, and `login`, that flood."""
    peak_mib: float = 0.0

    def median(self, operation: str, what: str) -> float:
        """The median of one value of the samples."""
        return statistics.median(getattr(sample, what) for sample in self.samples[operation])


@dataclass
class Result:
    """A run of the benchmark."""

    options: Options
    figures: dict[str, Figures]
    load_averages: list[float]
    """Load of the machine before each round, of all that runs on it."""

    def ratio(self, name: str, other: str, operation: str, what: str = "cpu_microseconds") -> float:
        """How much more of something `name` needs than `other`."""
        return self.figures[name].median(operation, what) / self.figures[other].median(operation, what)

    @property
    def failures(self) -> int:
        """Answers to reads and creations with a wrong status, and connections that failed."""
        return sum(
            sample.failures
            for figures in self.figures.values()
            for operation, samples in figures.samples.items()
            if operation != "login"
            for sample in samples
        )


def run(options: Options, server: Server, home: Path, report: Callable[[str], None]) -> Result:
    """Measure on a server that has nothing else to do. Raises AssertionError when a candidate answers wrongly."""
    api_load.ensure()
    with candidates(server, _DATABASE, home, options.interpreters) as started:
        ids = home / "ids"
        for candidate in started:
            _answers_rightly(candidate, ids)
        result = Result(options, {candidate.name: Figures() for candidate in started}, [])
        for number in range(-1 if options.warm else 0, options.rounds):
            result.load_averages.append(os.getloadavg()[0])
            for candidate in _turned(started, number):
                for operation, samples in _round(candidate, options.seconds, server, home):
                    if number >= 0:
                        result.figures[candidate.name].samples.setdefault(operation, []).append(samples)
            report(f"round {number + 1} of {options.rounds}, load average {os.getloadavg()[0]:.1f}")
        for candidate in started:
            result.figures[candidate.name].peak_mib = candidate.peak_mib()
    return result


def _turned(started: list[Candidate], number: int) -> list[Candidate]:
    first = number % len(started)
    return started[first:] + started[:first]


def _answers_rightly(candidate: Candidate, ids: Path) -> None:
    """Every process answers all operations as specified; the ids of its first page are written down."""
    headers = {"Authorization": f"Bearer {candidate.token}"}
    for port in candidate.ports:
        url = f"http://127.0.0.1:{port}/api/v1/patients"
        with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
            page = client.get(url, params={"limit": 50, "offset": 0})
            assert (page.status_code, len(page.json())) == (200, 50), page.text
            found = [patient["id"] for patient in page.json()]
            assert not ids.exists() or ids.read_text().split() == found, f"{candidate.name} lists other patients"
            ids.write_text("\n".join(found))
            one = client.get(f"{url}/{found[0]}")
            assert (one.status_code, one.json()["last_name"]) == (200, f"Family{PATIENTS}"), one.text
            assert client.get(f"{url}/{uuid.uuid4()}").status_code == 404
            assert client.get(url, headers={"Authorization": f"Bearer {candidate.token}x"}).status_code in {401, 403}


def _round(candidate: Candidate, seconds: float, server: Server, home: Path) -> Iterator[tuple[str, Sample]]:
    for operation in OPERATIONS:
        # On a busy machine a short measurement may end before the first answer: that is none, and a longer one is made.
        for longer in (1, 4, 16):
            load = Load(operation, BUSY, candidate.token, home / "ids", uuid.uuid4().hex)
            with api_load.sending(candidate.ports, load) as under_way:
                sample = _measured(candidate, under_way, seconds * longer)
            if sample.requests:
                break
        yield operation, sample
    with server.connect(_DATABASE) as admin:
        created = admin.execute("DELETE FROM patients WHERE last_name = 'Created'").rowcount
        assert created > 0, f"{candidate.name} created nothing"
        admin.execute("VACUUM ANALYZE patients")
    quiet = Load("list", 1, candidate.token)
    with api_load.sending(candidate.ports[:1], quiet) as under_way:
        yield "quiet", _measured(candidate, under_way, seconds)
    login = home / "login"
    login.write_text(f'{{"email": "{candidate.email}", "password": "{PASSWORD}"}}')
    flood = Load("login", FLOOD, file=login)
    with api_load.sending(candidate.ports, flood) as logins, api_load.sending(candidate.ports[:1], quiet) as under_way:
        yield "flood", _measured(candidate, under_way, seconds)
        yield "login", _sample(logins.stop(), 0.0)


def _measured(candidate: Candidate, under_way: api_load.Sending, seconds: float) -> Sample:
    before = candidate.cpu_seconds()
    time.sleep(seconds)
    answers = under_way.stop()
    return _sample(answers, candidate.cpu_seconds() - before)


def _sample(answers: list[Answers], cpu_seconds: float) -> Sample:
    return Sample(
        sum(answer.requests for answer in answers),
        max(answer.seconds for answer in answers),
        cpu_seconds,
        max(answer.p50 for answer in answers),
        max(answer.p99 for answer in answers),
        sum(answer.refused + answer.broken for answer in answers),
    )


def main() -> int:
    """Run the benchmark, print the table and say where the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale.api_benchmark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Options.rounds, help="how often to measure everything")
    parser.add_argument("--seconds", type=float, default=Options.seconds, help="for how long each time")
    parser.add_argument("--python", default=Interpreters.python, help="interpreter of the service, with its packages")
    parser.add_argument("--node", default=Interpreters.node, help="interpreter of the reference")
    parser.add_argument("--directory", type=Path, default=Path("build/bench"), help="where to write")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biospark-bench-") as home, running(purpose="bench") as server:
        options = Options(given.rounds, given.seconds, Interpreters(given.python, given.node))
        result = run(options, server, Path(home), lambda text: print(text, flush=True))
    given.directory.mkdir(parents=True, exist_ok=True)
    print(f"\n{api_report.table(result)}\n\nAll figures: {api_report.write(result, given.directory)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
