"""How values of PostgreSQL become values of an answer: as the text that JSON needs, without a detour.

A UUID, a date and a moment are sent to clients as text, and a JSON document as it is stored; making Python
objects of them only to write them down again would be a third of the time of a page.
"""

from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.json import set_json_dumps
from psycopg.types.string import TextLoader


class _MomentLoader(Loader):
    """`2025-01-01 12:00:00.5`, which is UTC, as RFC 3339 wants it."""

    def load(self, data: Buffer) -> str:
        """The text with T and Z."""
        return str(data, "ascii").replace(" ", "T") + "Z"


class _ZonedMomentLoader(Loader):
    """The same of `2025-01-01 12:00:00.5+00`."""

    def load(self, data: Buffer) -> str:
        """The text with T and Z."""
        text = str(data, "ascii")
        return f"{text[:10]}T{text[11:-3]}Z"


class _DocumentLoader(Loader):
    """JSON as it is; it goes into the answer unread."""

    def load(self, data: Buffer) -> msgspec.Raw:
        """The document."""
        return msgspec.Raw(bytes(data))


def register(context: AsyncConnection[Any]) -> None:
    """Use these types in a connection."""
    adapters = context.adapters
    for name in ("uuid", "date"):
        adapters.register_loader(name, TextLoader)
    adapters.register_loader("timestamp", _MomentLoader)
    adapters.register_loader("timestamptz", _ZonedMomentLoader)
    adapters.register_loader("jsonb", _DocumentLoader)
    set_json_dumps(msgspec.json.encode, context)
