"""What a single field may hold: text formats, and lists and maps of bounded size.

Markers for `Annotated`, used by every model. Each puts its limits into the schema and checks the same limits
with a message that says what to write. Everything is bounded, because the API server computes the worst cost
of a CEL rule from these bounds and refuses a CRD that could be too expensive.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def refused(message: str) -> PydanticCustomError:
    """An error whose text reaches the user as it is; braces would be taken for placeholders."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def quoted(text: str) -> str:
    """The text as a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True)
class Text:
    """A string with a length and, mostly, a format."""

    hint: str
    """What to write, with an example: the message of a violation."""
    max_length: int
    pattern: str | None = None
    min_length: int = 1

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, value: str) -> str:
        """The value itself, or a refusal with the hint."""
        fits = self.min_length <= len(value) <= self.max_length
        if not fits or (self.pattern is not None and not re.fullmatch(self.pattern, value)):
            raise refused(self.hint)
        return value

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        result = handler(core) | {"minLength": self.min_length, "maxLength": self.max_length}
        if self.pattern is not None:
            result["pattern"] = self.pattern  # for editors and offline checks, which do not evaluate CEL
            rule = f"self.matches({quoted(self.pattern)})"
            result["x-kubernetes-validations"] = [{"rule": rule, "message": self.hint}]
        return result


@dataclass(frozen=True)
class Keyed:
    """A list of objects of which each has its own key (`x-kubernetes-list-type: map`)."""

    key: str
    max_items: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items, or a refusal when there are too many or two share a key."""
        bounded(items, self.max_items)
        if len({getattr(item, self.key) for item in items}) < len(items):
            raise refused(f"write each {self.key} only once in this list")
        return items

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return handler(core) | {"maxItems": self.max_items} | keys


@dataclass(frozen=True)
class Unique:
    """A list of which no item occurs twice.

    A list of scalars is a set to the API server. It can't merge a set of objects on server-side apply, so such a
    list is atomic there, and that no object occurs twice is for the operator to check.
    """

    max_items: int
    min_items: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items, or a refusal when there are too many, too few, or two are equal."""
        bounded(items, self.max_items)
        if len(items) < self.min_items:
            raise refused(f"write at least {self.min_items} item(s) or remove the field above")
        if any(item in items[:index] for index, item in enumerate(items)):
            raise refused("write each item only once in this list")
        return items

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        objects = "$ref" in schema.get("items", {})
        result = schema | {"maxItems": self.max_items, "x-kubernetes-list-type": "atomic" if objects else "set"}
        return result | {"minItems": self.min_items} if self.min_items else result


@dataclass(frozen=True)
class Entries:
    """A map with a bounded number of entries."""

    max_properties: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, entries: dict[str, Any]) -> dict[str, Any]:
        """The entries, or a refusal when there are too many."""
        bounded(entries, self.max_properties)
        return entries

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | {"maxProperties": self.max_properties}


def bounded(items: Sequence[Any] | dict[str, Any], limit: int) -> None:
    """Refuse more entries than the limit."""
    if len(items) > limit:
        raise refused(f"write at most {limit} entries")
