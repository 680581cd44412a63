"""The schema of an environment's database: migrated, compared, and its rights kept.

The migrations are those of the API that this version of the operator knows (`biospark_api.schema`). `component` reads
and acts, `state` is what was read, `verdict` decides and is pure, `migration` is one run of migrations, which may
take longer than a pass. They are imported once an environment has a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.components import database
from biospark_operator.components.deferred import Deferred
from biospark_operator.engine.component import AnyComponent

if TYPE_CHECKING:
    from biospark_operator.components.database.access import Access

NAME = "schema"


def deferred(access: Access) -> Deferred:
    """Return the component, which reaches databases by `access`."""

    def load() -> AnyComponent:
        from biospark_operator.components.schema.component import SchemaComponent  # noqa: PLC0415 - deferred on purpose

        return SchemaComponent(access)

    return Deferred(
        name=NAME,
        condition=ConditionType.SCHEMA_READY,
        requires=frozenset({database.NAME}),
        outside=True,
        load=load,
        # The database takes its schema along, so there is nothing that the inventory would have to keep.
        when=lambda env: env.spec.database.server is not None,
    )
