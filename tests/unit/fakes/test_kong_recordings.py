"""The stand-in for Kong behaves as was recorded from the real one.

`pytest -rP tests/unit/fakes/test_kong_recordings.py` shows the share of matching scenarios and what is not covered.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import kong
from tests.fakes.kong.admin import Admin, Request
from tests.fakes.kong.echo import echo
from tests.fakes.kong.gateway import Gateway
from tests.fakes.kong.identity import Version
from tests.fakes.kong.information import Information
from tests.fakes.kong.replay import AREAS, RECORDINGS, Clock, Player, Recordings, Report, vectors
from tests.fakes.kong.store import Store


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    clock = Clock(time.time() // 1)
    async with echo() as port, Gateway(clock=clock) as gateway:
        yield Player(gateway, clock, port, Recordings.read().fixtures)


async def test_scenarios_match_the_recorded_ones(player: Player) -> None:
    report = Report()
    for scenario in Recordings.read().scenarios:
        if scenario.covered:
            report.played(scenario, await asyncio.to_thread(player.play, scenario))
        else:
            report.left_out(scenario)
    print(report)
    assert set(report.shares) == set(AREAS)
    assert min(report.shares.values()) >= 0.9, str(report)
    # What it promises is nine of ten. All match, so that any that no longer does is a change to look at.
    assert report.differences == {}


async def test_other_scenarios_match_until_they_need_what_it_has_not(player: Player) -> None:
    beginnings = [one.beginning() for one in Recordings.read().scenarios if not one.covered]
    played = [one for one in beginnings if one.steps]
    differences = {one.name: found for one in played if (found := await asyncio.to_thread(player.play, one))}
    assert len(played) > 20
    assert differences == {}


async def test_a_difference_in_status_field_header_or_message_is_noticed(player: Player) -> None:
    scenario = next(one for one in Recordings.read().scenarios if one.name == "create by url; read by name; list")
    wrong: Mapping[str, Any] = {
        "status": {"status": 200},
        "another value": {"body": {"port": 1}},
        "a field too many": {"body": {"new": None}},
        "header": {"headers": {"Access-Control-Allow-Origin": "none"}},
        "a header too many": {"headers": {"Retry-After": "1"}},
    }
    for what, change in wrong.items():
        steps = copy.deepcopy(list(scenario.steps))
        for part, values in change.items():
            recorded = steps[0]["response"][part]
            steps[0]["response"][part] = {**recorded, **values} if isinstance(values, dict) else values
        found = await asyncio.to_thread(player.play, replace(scenario, steps=steps))
        assert [difference.step for difference in found] == [1], what

    refused = next(one for one in Recordings.read().scenarios if one.name == "create by fields")
    steps = copy.deepcopy(list(refused.steps))
    steps[-1]["response"]["body"]["message"] = "other words"
    (found,) = await asyncio.to_thread(player.play, replace(refused, steps=steps))
    assert found.wording


def test_only_the_comparison_reads_the_recordings() -> None:
    package = Path(kong.__file__).parent
    modules = [module for module in package.rglob("*.py") if module.name != "replay.py"]
    for module in modules:
        imported = {
            name
            for node in ast.walk(ast.parse(module.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
        }
        assert not {"gzip", "replay", "tests.fakes.kong.replay"} & imported, module.name
    assert RECORDINGS.is_dir()


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
def test_schema_cases_match_those_of_the_version(version: str) -> None:
    parsed = Version.parse(version)
    store = Store(parsed, lambda: 1.0)
    admin = Admin(store, Information(parsed, store, "node", "postgres", "traditional"))
    volatile = ("id", "created_at", "updated_at", "secret")
    for case in vectors():
        wanted = case[version]
        request = Request(
            "POST",
            f"/schemas/{case['entity']}/validate",
            "application/json",
            json.dumps(case["request"]).encode(),
        )
        answer = admin.answer(request)
        if wanted["status"] >= 400:
            assert (answer.status, answer.body) == (wanted["status"], wanted["body"]), case["name"]
            continue
        assert answer.status == 200, case["name"]
        filled = store.completed(case["entity"], case["request"])
        assert _without(filled, *volatile) == _without(wanted["body"], *volatile), case["name"]


def _without(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
