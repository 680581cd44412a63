"""cors: answers preflight requests, and tells browsers who may read the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.kong.exchange import Entity, Exchange, Halt
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins.definition import Definition, definition

_METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
_ALL = "*"


def _origin(value: str) -> str | None:
    if value == _ALL:
        return None
    try:
        re.compile(value)
    except re.error:
        return f"'{value}' is not a valid regex"
    return None


def definition_of(_: Version) -> Definition:
    texts = {"type": "array", "elements": {"type": "string"}}
    config = {
        "origins": {"type": "array", "elements": {"type": "string", "check": _origin}},
        "headers": texts,
        "exposed_headers": texts,
        "methods": {"type": "array", "default": _METHODS, "elements": {"type": "string", "one_of": _METHODS}},
        "max_age": {"type": "number"},
        "credentials": {"type": "boolean", "required": True, "default": False},
        "preflight_continue": {"type": "boolean", "required": True, "default": False},
    }
    return definition(config, per_consumer=False)


def access(plugin: Entity, exchange: Exchange) -> None:
    config = plugin["config"]
    if not _preflight(exchange) or config["preflight_continue"]:
        return
    _who(config, exchange)
    added = exchange.answer_headers
    if config["headers"]:
        added["Access-Control-Allow-Headers"] = ",".join(config["headers"])
    elif asked := exchange.header("Access-Control-Request-Headers"):
        added["Access-Control-Allow-Headers"] = asked
    added["Access-Control-Allow-Methods"] = ",".join(config["methods"] or _METHODS)
    if config["max_age"] is not None:
        added["Access-Control-Max-Age"] = f"{config['max_age']:g}"
    raise Halt(200)


def headers(plugin: Entity, exchange: Exchange) -> None:
    config = plugin["config"]
    if _preflight(exchange):
        return
    _who(config, exchange)
    if config["exposed_headers"]:
        exchange.answer_headers["Access-Control-Expose-Headers"] = ",".join(config["exposed_headers"])


def _preflight(exchange: Exchange) -> bool:
    wanted = ("Origin", "Access-Control-Request-Method")
    return exchange.method == "OPTIONS" and all(exchange.header(name) for name in wanted)


def _who(config: Mapping[str, Any], exchange: Exchange) -> None:
    """Say which origin may read the answer, and whether with credentials."""
    added, asking = exchange.answer_headers, exchange.header("Origin")
    allowed = _allowed(config["origins"] or [_ALL], asking)
    if allowed == _ALL and config["credentials"] and asking:
        allowed = asking
    if allowed:
        added["Access-Control-Allow-Origin"] = allowed
    if allowed != _ALL:
        added["Vary"] = "Origin"
        if allowed and config["credentials"]:
            added["Access-Control-Allow-Credentials"] = "true"


def _allowed(origins: list[str], asking: str | None) -> str | None:
    if origins == [_ALL]:
        return _ALL
    if len(origins) == 1 and re.fullmatch(r"[A-Za-z0-9.:/-]+", origins[0]):
        return origins[0]
    if asking and any(origin == _ALL or re.fullmatch(origin, asking) for origin in origins):
        return asking
    return None
