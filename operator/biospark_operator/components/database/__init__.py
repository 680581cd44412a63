"""The PostgreSQL database of an environment: roles, rights, credentials.

`component` reads and writes; `plan` and `judge` decide, and are pure. `state` is what was read, `wanted` what
shall be, `statements` the SQL between them. `credentials` and `marks` say how passwords rotate and how what is
ours is recognised; `removal` takes it away again.
"""

from biospark_operator.components.database.component import NAME, DatabaseComponent

__all__ = ["NAME", "DatabaseComponent"]
