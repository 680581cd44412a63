"""Writes the figures of a run of the API's benchmark: a table to read, and JSON to compare runs with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.scale.api_candidates import SERVICE, SKETCH, TUNED
from tests.scale.report import hardware

if TYPE_CHECKING:
    from tests.scale.api_benchmark import Result

#: By operation, how much less processor time than the sketch a request shall take.
TARGETS = {"list": 2.5, "get": 2.5, "create": 2.0}
QUIET_P99, FLOOD_P99 = 5.0, 20.0
_NAMES = {"list": "GET 50 patients", "get": "GET one patient", "create": "POST a patient"}


def table(result: Result) -> str:
    """Return the table as text."""
    head = ("", SERVICE, SKETCH, TUNED, "target")
    rows = [head, *lines(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    shown = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    loads = ", ".join(f"{load:.1f}" for load in result.load_averages)
    options = result.options
    versions = options.interpreters.versions
    head_line = f"{hardware()}, {versions}; medians of {options.rounds} rounds of {options.seconds:g} s"
    return "\n".join([head_line, *shown, f"load average of the machine before each round: {loads}"])


def lines(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table: what, one value for each candidate, and the target with whether it is met."""
    for operation, target in TARGETS.items():
        name = _NAMES[operation]
        ratio = result.ratio(SKETCH, SERVICE, operation)
        met = f"sketch / service >= {target:g}: {ratio:.2f}, {_met(ratio >= target)}"
        yield (f"{name}: CPU us a request", *_values(result, operation, "cpu_microseconds"), met)
        yield (f"{name}: requests/s", *_values(result, operation, "rate"), "")
        yield (f"{name}: p99 ms, busy", *_values(result, operation, "p99", 1), "")
    for operation, name, limit in (("quiet", "one at a time", QUIET_P99), ("flood", "during a login flood", FLOOD_P99)):
        p99 = result.figures[SERVICE].median(operation, "p99")
        yield (f"GET 50 patients {name}: p50 ms", *_values(result, operation, "p50", 1), "")
        yield (
            f"GET 50 patients {name}: p99 ms",
            *_values(result, operation, "p99", 1),
            f"service < {limit:g} ms: {_met(p99 < limit)}",
        )
    yield ("logins/s in that flood", *_values(result, "login", "rate"), "")
    yield ("peak memory of a process, MiB", *(f"{result.figures[name].peak_mib:.0f}" for name in _columns()), "")
    yield ("answers that failed", str(result.failures), "", "", "")


def write(result: Result, directory: Path) -> Path:
    """Write all figures as JSON and return the file."""
    file = directory / "api-benchmark.json"
    about = {"machine": hardware(), "versions": result.options.interpreters.versions}
    file.write_text(json.dumps({**about, **dataclasses.asdict(result)}, indent=1) + "\n")
    return file


def _columns() -> tuple[str, ...]:
    return (SERVICE, SKETCH, TUNED)


def _values(result: Result, operation: str, what: str, digits: int = 0) -> tuple[str, ...]:
    return tuple(f"{result.figures[name].median(operation, what):.{digits}f}" for name in _columns())


def _met(met: bool) -> str:
    return "met" if met else "missed"
