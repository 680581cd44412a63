"""Turns validation errors into `errors[]` of a problem: where the fault is and what is expected there.

Pydantic's messages are good, but some quote the input ("Input tag 'x' found", "found `z` at 1"). A message is
used only when all that was filled into it is known to come from the schema; else the part before the first
variable.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

# Names of message variables that hold a rule of the schema or a count, never something that the client wrote.
_FROM_SCHEMA = frozenset(
    {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "actual_length", "field_type"}
    | {"pattern", "expected", "expected_tags", "class", "class_name", "max_digits", "decimal_places"}
    | {"whole_digits", "expected_schemes", "tz_expected"}
)
_FIXED_HEAD = re.compile(r"Input should be a valid [A-Za-z ]+")
_LONGEST_NAME = 100
_FALLBACK = "Input is not valid"


class Fault(BaseModel):
    """One reason why a request was rejected."""

    pointer: str | None = Field(default=None, description="JSON pointer into the body, as a URI fragment.")
    parameter: str | None = Field(default=None, description="Name of the parameter outside of the body.")
    location: str | None = Field(default=None, description="Where the parameter is: query, path, header or cookie.")
    detail: str = Field(description="What is expected there.")


def describe_faults(errors: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """One `Fault` per entry of pydantic's error list."""
    return [_fault(error) for error in errors]


def _fault(error: Mapping[str, Any]) -> Fault:
    where, *path = error["loc"] or ("body",)
    if where != "body":
        name = str(path[0]) if path else None
        return Fault(parameter=name, location=str(where), detail=_detail(error))
    # A body that is no JSON has no members yet; what stands in the path is an offset.
    return Fault(pointer=_pointer([] if error["type"] == "json_invalid" else path), detail=_detail(error))


def _pointer(path: Sequence[str | int]) -> str:
    """The way to a fault, up to a name that no pointer should hold: the client chose it."""
    parts = itertools.takewhile(_is_name, map(str, path))
    return "#" + "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _is_name(part: str) -> bool:
    return len(part) <= _LONGEST_NAME and part.isprintable()


def _detail(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "The body should be valid JSON"
    if _FROM_SCHEMA.issuperset(error.get("ctx") or {}):
        return str(error["msg"])
    head = _FIXED_HEAD.match(str(error["msg"]))
    return head[0] if head else _FALLBACK
