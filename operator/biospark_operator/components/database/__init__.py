"""The PostgreSQL database of an environment: roles, rights, credentials.

`component` reads and writes; `plan` and `judge` decide, and are pure. `state` is what was read, `wanted` what
shall be, `statements` the SQL between them. `credentials` and `marks` say how passwords rotate and how what is
ours is recognised; `removal` takes it away again. What needs the driver is imported once an environment has a
database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.components import namespace
from biospark_operator.components.database import wanted
from biospark_operator.components.deferred import Deferred
from biospark_operator.engine.component import AnyComponent
from biospark_operator.objects.kinds import SECRET

if TYPE_CHECKING:
    from biospark_operator.components.database.access import Access
    from biospark_operator.components.secrets.store import CredentialStore

NAME = "database"


def deferred(access: Access, store: CredentialStore) -> Deferred:
    """Return the component, which reaches servers by `access` and keeps credentials in `store`."""

    def load() -> AnyComponent:
        from biospark_operator.components.database.component import (  # noqa: PLC0415 - deferred on purpose
            DatabaseComponent,
        )

        return DatabaseComponent(access, store)

    return Deferred(
        name=NAME,
        condition=ConditionType.DATABASE_READY,
        requires=frozenset({namespace.NAME}),
        outside=True,
        load=load,
        when=lambda env: env.spec.database.server is not None,
        wants=lambda env: wanted.targets(env, store),
        kinds=frozenset({SECRET}),
    )
