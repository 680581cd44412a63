"""Durations as users write them: Go style, `30s`, `10m`, `1h30m`, `720h`.

The models hold a `timedelta`; what the user wrote stays untouched in the stored object, since the operator
never writes `spec`. There is no unit for days: a day is not always 24 hours, and CEL does not know it either.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from biospark_operator.api.v1alpha1.constraints import quoted, refused

PATTERN = "^([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?$"
_PARTS = re.compile("(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,9})s)?")
MAX_LENGTH = 26


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `1h30m`; raises ValueError for anything else."""
    match = _PARTS.fullmatch(text)
    if not text or match is None:
        raise ValueError("write a duration in hours, minutes and seconds such as 10m, 1h30m or 720h")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back: whole seconds, parts that are zero left out."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


@dataclass(frozen=True)
class Between:
    """Marks a `timedelta` field that users write as text, with its inclusive limits."""

    minimum: str
    maximum: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json"),
        )

    def check(self, value: object) -> timedelta:
        """The parsed value, or a refusal that names the limits."""
        try:
            duration = value if isinstance(value, timedelta) else parse_duration(str(value))
        except ValueError:
            raise refused(self.hint) from None
        if not parse_duration(self.minimum) <= duration <= parse_duration(self.maximum):
            raise refused(self.hint)
        return duration

    @property
    def hint(self) -> str:
        """What to write."""
        return (
            f"write a duration from {self.minimum} to {self.maximum} in hours, minutes and seconds, "
            f"such as {self.minimum} or {self.maximum} (there is no unit for days)"
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # The format is part of the rule: duration() of anything else would be an evaluation error.
        rule = (
            f"self.matches({quoted(PATTERN)}) && duration(self) >= duration({quoted(self.minimum)})"
            f" && duration(self) <= duration({quoted(self.maximum)})"
        )
        return {
            "type": "string",
            "minLength": 2,
            "maxLength": MAX_LENGTH,
            "pattern": PATTERN,
            "x-kubernetes-validations": [{"rule": rule, "message": self.hint}],
        }


GoDuration = Annotated[timedelta, PlainSerializer(format_duration, return_type=str, when_used="json")]
"""A computed duration: no limits of its own, and rendered as a user would write it."""
