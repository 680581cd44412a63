"""WHERE clauses of optional filters.

Each filter that is given adds its condition. One statement with `parameter IS NULL OR …` for every filter would
get one plan for all of them, which uses no index.
"""

from collections.abc import Mapping
from typing import Any


def matching(conditions: Mapping[str, str], given: Mapping[str, Any]) -> str:
    """The conditions, which are constants of the code, whose filter is given; values stay parameters."""
    return " AND ".join(sql for name, sql in conditions.items() if given.get(name) is not None) or "true"
