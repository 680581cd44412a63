"""Components run in dependency order, independent ones together."""

from __future__ import annotations

import asyncio

import pytest

from biospark_operator.engine import graph
from tests.fakes.world import FakeComponent, World


def component(name: str, *requires: str) -> FakeComponent:
    return FakeComponent(name, World(), requires=frozenset(requires))


def test_a_component_comes_after_those_it_requires() -> None:
    ordered = graph.in_order([component("c", "a", "b"), component("b", "a"), component("a")])
    assert [c.name for c in ordered] == ["a", "b", "c"]


def test_a_requirement_that_is_disabled_counts_as_fulfilled() -> None:
    assert [c.name for c in graph.in_order([component("b", "absent")])] == ["b"]


def test_a_circle_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"circle: .*a.*b"):
        graph.in_order([component("a", "b"), component("b", "a")])


def test_two_components_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'a'"):
        graph.in_order([component("a"), component("a")])


async def test_independent_branches_run_at_the_same_time() -> None:
    both_inside = asyncio.Barrier(2)

    async def visit(c, needs):
        if c.name in ("left", "right"):
            async with asyncio.timeout(5):
                await both_inside.wait()
        return c.name

    parts = [
        component("root"),
        component("left", "root"),
        component("right", "root"),
        component("end", "left", "right"),
    ]
    assert list(await graph.traverse(parts, visit)) == ["root", "left", "right", "end"]


async def test_a_visit_gets_the_results_of_what_it_requires() -> None:
    async def visit(c, needs):
        return (c.name, dict(needs))

    results = await graph.traverse([component("a"), component("b", "a")], visit)
    assert results["b"] == ("b", {"a": ("a", {})})


async def test_an_exception_of_a_visit_comes_out_as_it_is() -> None:
    async def visit(c, needs):
        raise KeyError(c.name)

    with pytest.raises(KeyError, match="a"):
        await graph.traverse([component("a")], visit)
