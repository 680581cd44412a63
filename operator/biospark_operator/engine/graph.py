"""Runs components in dependency order, with independent branches at the same time.

Called by `reconcile` (in order) and `removal` (in reverse). What fails is a result like any other, because one
failing branch must not hide its siblings; a visit that raises ends the traversal, with its exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from biospark_operator.engine.component import AnyComponent

ResultT = TypeVar("ResultT")
Visit = Callable[[AnyComponent, Mapping[str, ResultT]], Awaitable[ResultT]]


def in_order(components: Iterable[AnyComponent]) -> list[AnyComponent]:
    """Return `components` so that each comes after those it requires.

    A requirement that is not among `components` counts as fulfilled: it is disabled for this environment.
    Raises `ValueError` for two components of one name and for a cycle.
    """
    by_name: dict[str, AnyComponent] = {}
    for component in components:
        if component.name in by_name:
            raise ValueError(f"two components are named {component.name!r}")
        by_name[component.name] = component
    sorter = TopologicalSorter({name: sorted(c.requires & by_name.keys()) for name, c in by_name.items()})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError as error:
        raise ValueError(f"components require each other in a circle: {' → '.join(error.args[1])}") from None


async def traverse(components: Sequence[AnyComponent], visit: Visit[ResultT]) -> dict[str, ResultT]:
    """Visit every component once all that it requires were visited, and return the results by name.

    `visit` gets the component and the results of what it requires. The order of the result is that of
    `in_order`.
    """
    ordered = in_order(components)
    tasks: dict[str, asyncio.Task[ResultT]] = {}

    async def after_requirements(component: AnyComponent) -> ResultT:
        needed = {name: await tasks[name] for name in sorted(component.requires) if name in tasks}
        return await visit(component, needed)

    try:
        async with asyncio.TaskGroup() as group:
            for component in ordered:
                tasks[component.name] = group.create_task(after_requirements(component), name=component.name)
    except ExceptionGroup as raised:
        raise raised.exceptions[0] from raised
    return {name: task.result() for name, task in tasks.items()}
