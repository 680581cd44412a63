"""rate-limiting: refuses requests above a number in a second, minute, hour, day, month or year.

Windows are those of the clock. What is counted hangs on the scope of the plugin and on who asks, not on the plugin:
counters outlive a change of it, and even its deletion. Counts are kept for `local` and, as one process stands for a
cluster here, for `cluster`. With `redis` it behaves like a Kong that does not reach it.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.fakes.kong import names
from tests.fakes.kong.exchange import Entity, Exchange, Halt
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins.definition import Definition, definition
from tests.fakes.kong.schema import AtLeastOne, Conditional, Field

PERIODS = ("second", "minute", "hour", "day", "month", "year")
#: How long Kong takes each window to be where it tells when it ends.
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2592000, "year": 31536000}
_IDENTIFIERS = ["consumer", "credential", "ip", "service", "header", "path"]


def definition_of(version: Version) -> Definition:
    nested = version.since(3, 6)
    config: dict[str, Field] = {
        **{period: {"type": "number", "gt": 0} for period in PERIODS},
        "limit_by": {"type": "string", "default": "consumer", "one_of": _IDENTIFIERS},
        "header_name": {"type": "string", "check": names.header_name},
        "path": {
            "type": "string",
            "starts_with": "/",
            "match_none": [{"pattern": "//", "err": "must not have empty segments"}],
        },
        "policy": {"type": "string", "default": "local", "one_of": ["local", "cluster", "redis"]},
        "fault_tolerant": {"type": "boolean", "required": True, "default": True},
        **{f"redis_{name}": field for name, field in _redis().items()},
        "hide_client_headers": {"type": "boolean", "required": True, "default": False},
        "error_code": {"type": "number", "default": 429, "gt": 0},
        "error_message": {"type": "string", "default": "API rate limit exceeded"},
        "sync_rate": {"type": "number", "required": True, "default": -1},
    }
    if nested:
        config["redis"] = {"type": "record", "required": True, "fields": _redis()}
    host = "config.redis.host" if nested else "config.redis_host"
    redis, by = {"eq": "redis"}, "config.limit_by"
    required = {"required": True}
    return definition(
        config,
        AtLeastOne([f"config.{period}" for period in PERIODS]),
        Conditional("config.policy", redis, host, required),
        Conditional("config.policy", redis, host.replace("host", "port"), required),
        Conditional(by, {"eq": "header"}, "config.header_name", required),
        Conditional(by, {"eq": "path"}, "config.path", required),
        Conditional("config.policy", redis, host.replace("host", "timeout"), required),
        check=_limits,
    )


def with_redis(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the fields of Redis in both places, as from 3.6 on: `redis.host`, and `redis_host` for older clients."""
    nested, old = config.get("redis") or {}, {f"redis_{name}": name for name in _redis()}
    if not isinstance(nested, Mapping):
        return config
    both = {**{name: config[flat] for flat, name in old.items() if flat in config}, **nested}
    return {**config, "redis": both, **{flat: both[name] for flat, name in old.items() if name in both}}


def _redis() -> Mapping[str, Field]:
    return {
        "host": {"type": "string"},
        "port": {"type": "integer", "between": [0, 65535], "default": 6379},
        "password": {"type": "string", "referenceable": True},
        "username": {"type": "string", "referenceable": True},
        "ssl": {"type": "boolean", "required": True, "default": False},
        "ssl_verify": {"type": "boolean", "required": True, "default": False},
        "server_name": {"type": "string"},
        "timeout": {"type": "number", "default": 2000},
        "database": {"type": "integer", "default": 0},
    }


def _limits(config: Mapping[str, Any]) -> str | None:
    """Refuse a limit that one of a shorter time already makes unreachable."""
    limits = [(period, config[period]) for period in PERIODS if config[period] is not None]
    for position, (short, low) in enumerate(limits):
        for long, high in limits[position + 1 :]:
            if high < low:
                return f"The limit for {long}({high:.1f}) cannot be lower than the limit for {short}({low:.1f})"
    if config["sync_rate"] != -1 and config["policy"] != "redis":
        return "sync_rate can only be used with the redis policy"
    return None


def access(plugin: Entity, exchange: Exchange) -> None:
    config = plugin["config"]
    if config["policy"] == "redis":
        if not config["fault_tolerant"]:
            raise Halt(500, "An unexpected error occurred")
        return
    scope = tuple(plugin[name] and plugin[name]["id"] for name in ("service", "route"))
    who = _identifier(config, exchange)
    keys = {
        period: (scope, who, period, _start(period, exchange.now)) for period in PERIODS if config[period] is not None
    }
    left = {period: config[period] - exchange.counters.get(key, 0) for period, key in keys.items()}
    stop = next((period for period in left if left[period] <= 0), None)
    shown = {period: max(0, some - (stop in (None, period))) for period, some in left.items()}
    tightest = min(shown, key=lambda period: (shown[period], -_SECONDS[period]))
    passed = exchange.now - _start(tightest, exchange.now)
    reset = str(max(1, _SECONDS[tightest] - int(passed)))
    if not config["hide_client_headers"]:
        for period in keys:
            exchange.answer_headers[f"X-RateLimit-Limit-{period.title()}"] = _number(config[period])
            exchange.answer_headers[f"X-RateLimit-Remaining-{period.title()}"] = _number(shown[period])
        exchange.answer_headers["RateLimit-Limit"] = _number(config[tightest])
        exchange.answer_headers["RateLimit-Remaining"] = _number(shown[tightest])
        exchange.answer_headers["RateLimit-Reset"] = reset
    if stop:
        retry = {} if config["hide_client_headers"] else {"Retry_After": reset}
        raise Halt(int(config["error_code"]), config["error_message"], **retry)
    for key in keys.values():
        exchange.counters[key] = exchange.counters.get(key, 0) + 1


def _identifier(config: Mapping[str, Any], exchange: Exchange) -> str:
    match config["limit_by"]:
        case "consumer":
            found = exchange.consumer or exchange.credential
            return str(found["id"]) if found else exchange.address
        case "credential":
            return str(exchange.credential["id"]) if exchange.credential else exchange.address
        case "service":
            return str(exchange.service["id"]) if exchange.service else exchange.address
        case "header":
            return exchange.header(config["header_name"]) or exchange.address
        case "path":
            return exchange.path if exchange.path == config["path"] else exchange.address
    return exchange.address


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _start(period: str, now: float) -> int:
    """Return when the window began, in seconds since the epoch."""
    if period in ("month", "year"):
        day = datetime.fromtimestamp(now, UTC)
        return calendar.timegm((day.year, 1 if period == "year" else day.month, 1, 0, 0, 0))
    return int(now) - int(now) % _SECONDS[period]
