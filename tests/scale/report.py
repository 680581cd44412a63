"""Writes the figures of a run: a table to read, and JSON to compare runs with."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from tests.scale.benchmark import Result
from tests.scale.measurements import Latency, Window

#: One line of the table: what, how much, and the target where there is one, with whether it is met.
Line = tuple[str, str, str]


def lines(result: Result) -> Iterator[Line]:
    """Yield the lines of the table."""
    sound, count = result.sound, result.environments
    creation = sound.creation
    yield _line("objects of one environment", f"{result.objects}")
    yield _line("bare apply: all applied", _seconds(*(f.applied_seconds for f in result.floors)))
    yield _line("bare apply: pods available", _seconds(*(f.available_seconds for f in result.floors)))
    yield _line("all Ready", _seconds(creation.ready_seconds))
    yield _line("… to bare apply", f"{result.applied_ratio:.2f}", "< 2", result.applied_ratio < 2)
    yield _line("… to bare apply with pods available", f"{result.available_ratio:.2f}")
    yield _line("… processor time of the servers to that", f"{result.server_ratio:.2f}")
    yield _line("creation to Ready, each", _latency(creation.each))
    yield _line("until all Ready: calls per environment", _calls(creation.window, count))
    yield _line("… passes per environment", f"{creation.window.passes / count:.1f}")
    yield _line("… processor time of the operator", _seconds(creation.window.cpu_seconds))
    yield _line("peak memory", f"{sound.peak_mib:.0f} MiB", *_memory(result))
    yield _line(f"idle for {sound.idle.seconds:.0f} s: calls in all", _calls(sound.idle, 1))
    yield _line("… of one processor", f"{100 * sound.idle.cpu_seconds / sound.idle.seconds:.1f} %")
    yield _line("check of all: time", _seconds(sound.check.seconds))
    yield _line("… calls per environment", _calls(sound.check, count))
    yield _line("… processor time", _seconds(sound.check.cpu_seconds))
    yield _line("… writes in all", f"{sound.check.writes}", "0", sound.check.writes == 0)
    alone, together = sound.changed_one_by_one, sound.changed_at_once
    yield _line("change to first status, one by one", _latency(alone), "p95 < 2 s", alone.p95 < 2)
    yield _line("change to first status, all at once", _latency(together), "p95 < 2 s", together.p95 < 2)
    yield _line("disturbance to repair", _latency(sound.repaired), "<= 5 s", sound.repaired.most <= 5)
    yield _line("restart: until idle", _seconds(sound.restart.seconds))
    yield _line("… calls per environment", _calls(sound.restart, count))
    yield _line("… processor time", _seconds(sound.restart.cpu_seconds))
    yield _line("… writes in all", f"{sound.restart.writes}", "0", sound.restart.writes == 0)
    yield _line("10 % broken: the others Ready", _seconds(result.broken.creation.others_seconds))
    yield _line("… without: the same ones", _seconds(creation.others_seconds))
    yield _line("… ratio, each to its floor", f"{result.broken_ratio:.2f}", "< 1.1", result.broken_ratio < 1.1)
    yield _line("… change to first status, all at once", _latency(result.broken.changed_at_once))


def table(result: Result) -> str:
    """Return the table as text."""
    rows = [(f"{result.environments} environments", machine(), "target"), *lines(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{what:{widths[0]}}  {value:{widths[1]}}  {target}".rstrip() for what, value, target in rows)


def write(result: Result, directory: Path) -> Path:
    """Write all figures to a file in `directory` and return its path."""
    path = directory / f"benchmark-{result.environments}.json"
    ratios = {
        name: getattr(result, name) for name in ("applied_ratio", "available_ratio", "server_ratio", "broken_ratio")
    }
    path.write_text(json.dumps({"machine": machine(), **ratios, **dataclasses.asdict(result)}, indent=1))
    return path


def machine() -> str:
    """Return what the figures depend on most: processors, memory and the Python that runs here."""
    return f"{hardware()}, Python {platform.python_version()}"


def hardware() -> str:
    """Return processors and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} processors, {memory:.0f} GiB"


def _memory(result: Result) -> tuple[str, bool] | tuple[()]:
    limit = 256 if result.environments <= 500 else 400
    return f"<= {limit} MiB", result.sound.peak_mib <= limit


def _line(what: str, value: str, target: str = "", met: bool = True) -> Line:
    return what, value, f"{target} {'met' if met else 'MISSED'}" if target else ""


def _seconds(*values: float) -> str:
    return f"{', '.join(f'{value:.1f}' for value in values)} s"


def _latency(latency: Latency) -> str:
    return f"p50 {latency.p50:.2f}, p95 {latency.p95:.2f}, most {latency.most:.2f} s ({latency.sample})"


def _calls(window: Window, per: int) -> str:
    asked = {purpose: count for purpose, count in (window.calls or {}).items() if count}
    split = ", ".join(f"{purpose} {count / per:.3g}" for purpose, count in asked.items())
    return f"{window.reads / per:.1f} reads, {window.writes / per:.1f} writes" + (f" ({split})" if split else "")
