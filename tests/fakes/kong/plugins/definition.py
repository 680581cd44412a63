"""What makes a plugin: its fields and what holds between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.kong.schema import Check, EntityCheck, Fields, elements


@dataclass(frozen=True)
class Definition:
    """The part of a plugin's schema that is its own."""

    fields: Fields
    checks: Sequence[EntityCheck] = ()
    #: Whether one may be for a single consumer.
    per_consumer: bool = True


def definition(
    config: Fields, *checks: EntityCheck, check: Check | None = None, per_consumer: bool = True
) -> Definition:
    """Return the definition of a plugin for HTTP. `check` judges the configuration as a whole."""
    protocols = ["grpc", "grpcs", "http", "https"]
    record: dict[str, Any] = {"type": "record", "required": True, "fields": config}
    if check is not None:
        record["check"] = check
    fields = {
        "protocols": {
            "type": "set",
            "required": True,
            "default": protocols,
            "elements": elements(one_of=protocols),
        },
        "config": record,
    }
    return Definition(fields, checks, per_consumer)
