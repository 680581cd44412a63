"""The component to copy from works as it is, and the table of hooks has all of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from biospark_operator.api.v1alpha1 import conditions
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.engine.convergence import converge
from biospark_operator.engine.outcome import Ready
from biospark_operator.objects.component import ObjectsComponent
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.fakes.world import FakeLeadership

PAGE = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: What every component says of itself; the rest are hooks.
NO_HOOKS = {"name", "condition", "cluster", "field_manager"}


@pytest.fixture
def snippet(monkeypatch: pytest.MonkeyPatch) -> str:
    """The component of the page, with the condition that it says is to be added."""
    monkeypatch.setattr(conditions, "ConditionType", SimpleNamespace(HINTS_READY="HintsReady"))
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(text)


async def test_the_component_to_copy_from_makes_its_object_and_is_ready(snippet: str) -> None:
    module: dict[str, Any] = {}
    exec(compile(snippet, "CONTRIBUTING.md", "exec"), module)
    env, cluster = environment(), FakeCluster()
    component: ObjectsComponent = module["component"](cluster)
    report = await converge(component, env, apply=True, leadership=FakeLeadership())
    assert report.outcome == Ready("Succeeded", "1 object is as specified")
    (made,) = cluster.objects.values()
    assert ObjectRef.of(made).short == "ConfigMap biospark-dev/biospark-hints"
    assert {(made["apiVersion"], made["kind"])} == {kind.key for kind in component.kinds}


def test_the_component_to_copy_from_is_short(snippet: str) -> None:
    assert len(snippet.splitlines()) <= 25


def test_every_hook_is_in_the_table_and_nothing_else() -> None:
    table = PAGE.partition("| hook |")[2].partition("\n\n")[0]
    hooks = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert hooks == {field.name for field in dataclasses.fields(ObjectsComponent)} - NO_HOOKS
