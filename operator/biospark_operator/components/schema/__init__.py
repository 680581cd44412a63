"""The schema of an environment's database: migrated, compared, and its rights kept.

The migrations are those of the API that this version of the operator knows (`biospark_api.schema`). `component` reads
and acts, `state` is what was read, `verdict` decides and is pure, `migration` is one run of migrations, which may
take longer than a pass.
"""

from biospark_operator.components.schema.component import NAME, SchemaComponent

__all__ = ["NAME", "SchemaComponent"]
