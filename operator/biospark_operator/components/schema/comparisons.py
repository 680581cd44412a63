"""Remembers what comparisons of schemas with the model found, for all databases with the same schema.

What a comparison finds depends on nothing but the texts in the server's system catalogs, and takes a tenth of a second
of processor time. So it is made once for each set of texts, not once for each environment and pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from biospark_api.schema import Comparison

#: Schemas that are remembered; mostly there is one for each version of PostgreSQL.
REMEMBERED = 256


class Comparisons:
    """What was found, by the fingerprint of a schema."""

    def __init__(self) -> None:
        self._found: dict[str, Comparison] = {}
        self._under_way: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._found)

    async def of(self, fingerprint: str, where: str, compare: Callable[[], Awaitable[Comparison]]) -> Comparison:
        """Return what is known of a schema, or what `compare` finds, which is asked once at a time on a server.

        Servers don't wait for each other: one of them may be slow.
        """
        lock = self._under_way.setdefault((where, fingerprint), asyncio.Lock())
        async with lock:
            if (known := self._found.get(fingerprint)) is not None:
                return known
            found = await compare()
            while len(self._found) >= REMEMBERED:
                del self._found[next(iter(self._found))]
            self._found[fingerprint] = found
            return found
