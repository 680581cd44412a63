"""Components whose modules are imported when they are needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from biospark_operator.components.deferred import Deferred
from biospark_operator.engine.component import Identity, Removed
from tests.fakes.components import COMPONENTS
from tests.fakes.environments import environment

SERVER = {"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}}
ENVIRONMENTS = {"without a database": environment(), "with one": environment(database=SERVER)}
DEFERRED = [component for component in COMPONENTS if isinstance(component, Deferred)]


def test_at_its_start_the_operator_imports_nothing_that_a_database_alone_needs() -> None:
    code = (
        "import sys, biospark_operator.runtime.main; print(*{'sqlalchemy', 'alembic', 'psycopg'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_some_components_are_deferred() -> None:
    assert DEFERRED


@pytest.mark.parametrize("deferred", DEFERRED, ids=lambda deferred: deferred.name)
@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_what_is_said_beforehand_is_what_the_component_says(deferred: Deferred, env: Any) -> None:
    component = deferred.load()
    for what in ("name", "condition", "requires", "outside"):
        assert getattr(deferred, what) == getattr(component, what)
    assert deferred.kinds == getattr(component, "kinds", frozenset())
    assert deferred.enabled(env) == component.enabled(env)
    assert list(deferred.targets(env)) == list(component.targets(env))


async def test_a_component_is_made_once_and_asked_from_then_on() -> None:
    made: list[object] = []

    class Component:
        async def remove(self, owner: Identity, targets: Any) -> Removed:
            return Removed(released=tuple(targets))

    def load() -> Any:
        made.append(Component())
        return made[-1]

    deferred = Deferred("toy", "ToyReady", frozenset(), outside=False, load=load)
    owner = Identity("dev", "uid")
    assert [(await deferred.remove(owner, [target])).released for target in ("a", "b")] == [("a",), ("b",)]
    assert len(made) == 1
