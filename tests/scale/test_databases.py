"""The benchmark of databases in its short form: that it works, and the figures that are the same on every machine."""

from __future__ import annotations

import asyncio

import pytest

from tests.scale import databases

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("scale")]


def test_databases_that_are_ready_cost_no_writes_to_any_process() -> None:
    result = asyncio.run(databases.measured(3))
    assert result.first is not None
    assert result.again is not None
    assert result.anew is not None
    assert result.first.writes > 0
    assert (result.again.writes, result.anew.writes) == (0, 0)
    assert result.again.statements > 0
    assert "first pass" in "\n".join(what for what, _, _ in databases.lines(result))
