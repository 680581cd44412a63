"""The bodies of requests to the Admin API: JSON, or a form whose texts become what they look like."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from tests.fakes.kong import errors

_LIST = re.compile(r"(.+?)\[\d*\]")


def parsed(content_type: str | None, raw: bytes) -> Mapping[str, Any]:
    """Return the fields of a body. Raises `Refused`, 415 without a body for a type that is none of them."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _json(raw)
    if kind == "application/x-www-form-urlencoded":
        return _form(raw)
    if raw:
        raise errors.Refused(415, None)
    return {}


def typed(fields: Mapping[str, Any], schema_fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a form with the types that a schema asks for, where their texts are such."""
    return {name: _typed(value, schema_fields.get(name, {})) for name, value in fields.items()}


def is_form(content_type: str | None) -> bool:
    return (content_type or "").startswith("application/x-www-form-urlencoded")


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw.decode(), parse_float=_number, parse_constant=_no_number)
    except ValueError:
        raise errors.plain(400, "Cannot parse JSON body") from None
    if body == []:
        return {}
    # Where the body is no object, and where PostgreSQL would not take a text, Kong breaks.
    if not isinstance(body, dict) or "\0" in str(body.get("username", "")):
        raise errors.unexpected()
    return body


def _number(text: str) -> float | int:
    """Numbers have one type in Kong: `1e3` is an integer."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _form(raw: bytes) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(raw.decode(), keep_blank_values=True):
        *above, last = name.split(".")
        place = fields
        for part in above:
            place = place.setdefault(part, {})
        if listed := _LIST.fullmatch(last):
            place.setdefault(listed[1], []).append(value)
        elif last in place:
            place[last] = [*place[last], value] if isinstance(place[last], list) else [place[last], value]
        else:
            place[last] = value
    return fields


def _typed(value: Any, field: Mapping[str, Any]) -> Any:
    match field.get("type"), value:
        case _, "":
            return None
        case (("array" | "set"), str()):
            return [value]
        case "record", dict():
            return typed(value, field["fields"])
        case "boolean", ("true" | "false"):
            return value == "true"
        case (("integer" | "number"), str()):
            return _as_number(value)
    return value


def _as_number(value: str) -> Any:
    try:
        return _number(value)
    except ValueError:
        return value
