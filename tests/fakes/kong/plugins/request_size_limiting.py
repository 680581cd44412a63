"""request-size-limiting: refuses bodies above a size."""

from __future__ import annotations

from tests.fakes.kong.exchange import Entity, Exchange, Halt
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins.definition import Definition, definition

_UNITS = {"megabytes": 2**20, "kilobytes": 2**10, "bytes": 1}


def definition_of(_: Version) -> Definition:
    config = {
        "allowed_payload_size": {"type": "integer", "default": 128},
        "size_unit": {"type": "string", "required": True, "default": "megabytes", "one_of": list(_UNITS)},
        "require_content_length": {"type": "boolean", "required": True, "default": False},
    }
    return definition(config)


def access(plugin: Entity, exchange: Exchange) -> None:
    config = plugin["config"]
    declared = exchange.header("Content-Length")
    if config["require_content_length"] and declared is None:
        raise Halt(411, "A valid Content-Length header is required")
    size = int(declared) if declared is not None else len(exchange.body)
    if size > config["allowed_payload_size"] * _UNITS[config["size_unit"]]:
        expects = (exchange.header("Expect") or "").lower() == "100-continue"
        raise Halt(417 if expects else 413, "Request size limit exceeded")
