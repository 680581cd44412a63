"""The benchmark in its short form: that it works, and the figures that are the same on every machine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.scale import report
from tests.scale.benchmark import Options, Result, run

COUNT = 10

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("scale")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scale")


@pytest.fixture(scope="module")
def result(directory: Path) -> Result:
    """The figures of ten environments on a cluster of their own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return asyncio.run(run(Options(COUNT, f"scale-{worker}", directory, short=True), print))


def test_environments_that_are_ready_cost_no_writes(result: Result) -> None:
    assert result.sound.check.passes >= COUNT
    assert result.sound.check.writes == 0, result.sound.check
    assert result.sound.idle.writes == 0, result.sound.idle


def test_a_restart_over_unchanged_environments_writes_nothing(result: Result) -> None:
    assert result.sound.restart.passes >= COUNT
    assert result.sound.restart.writes == 0, result.sound.restart


def test_every_object_is_applied_once(result: Result) -> None:
    calls = result.sound.creation.window.calls or {}
    # One more is what the environment owns, so that orphan propagation leaves a trace.
    assert calls["apply"] == COUNT * (result.objects + 1)


def test_the_figures_are_written_down(result: Result, directory: Path) -> None:
    assert "all Ready" in report.table(result)
    figures = json.loads(report.write(result, directory).read_text())
    assert figures["sound"]["restart"]["calls"]["apply"] == 0
