"""What requests cost: the benchmark beside the reference in its short form, and a steady load.

How much faster than the reference the service is depends on the machine; `make bench-api` measures it.
"""

import json
import os
from pathlib import Path

import pytest

from tests.api.postgres import Server, running
from tests.api.service import running_service
from tests.scale import api_benchmark, api_report, api_steady
from tests.scale.api_candidates import SERVICE, SKETCH, TUNED

pytestmark = pytest.mark.integration

LONG = bool(os.environ.get("BIOSPARK_LONG"))


def test_the_benchmark_measures_every_candidate_without_a_wrong_answer(tmp_path: Path) -> None:
    options = api_benchmark.Options(rounds=1, seconds=0.5, warm=False)
    with running(purpose="bench") as server:
        result = api_benchmark.run(options, server, tmp_path / "home", print)
    assert result.failures == 0, result
    assert result.figures.keys() == {SERVICE, SKETCH, TUNED}
    for name, figures in result.figures.items():
        assert figures.samples.keys() == {*api_benchmark.OPERATIONS, "quiet", "flood", "login"}
        for operation in (*api_benchmark.OPERATIONS, "quiet", "flood"):
            assert figures.median(operation, "requests") > 0, (name, operation)
        assert figures.median("list", "cpu_microseconds") > 0
    assert "POST a patient" in api_report.table(result)
    assert json.loads(api_report.write(result, tmp_path).read_text())["figures"][SERVICE]["peak_mib"] > 0


def test_a_thousand_requests_a_minute_take_a_twentieth_of_a_processor(
    server: Server, database: str, tmp_path: Path
) -> None:
    seconds = 600 if LONG else 4
    with running_service(server, database, tmp_path) as service:
        steady = api_steady.send(service, seconds)
    print(f"{seconds} s: {steady.share:.2%} of a processor, memory {steady.resident[::30]} MiB", steady.statuses)
    assert steady.statuses.keys() == {("GET", 200), ("POST", 201)}
    assert steady.statuses.total() == round(seconds * api_steady.PER_MINUTE / 60)
    assert steady.share < 0.05
    if LONG:
        assert steady.growth < 1.0, steady.resident
