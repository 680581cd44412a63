"""What a field may hold, and what is said when it holds something else.

A `Field` is the description that Kong itself serves at `/schemas`, so one text both judges and informs; what Kong
keeps to itself is under `check`, a function that returns why a value is refused, or None. `Schema.fill` puts in
defaults, `Schema.errors` judges. Both leave their argument alone.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Field = Mapping[str, Any]
Fields = Mapping[str, Field]
Errors = dict[str, Any]
Check = Callable[[Any], str | None]
#: Judges an entity as a whole; gets whether it is an update, and adds to the errors of its fields.
EntityCheck = Callable[["Schema", Mapping[str, Any], Errors, bool], None]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
MISSING = "required field missing"


def string(**more: Any) -> Field:
    return {"type": "string", "len_min": 1, **more}


def elements(**more: Any) -> Field:
    """Return what each member of an array or a set has to be: a string that is there."""
    return string(required=True, **more)


def foreign(reference: str, **more: Any) -> Field:
    return {"type": "foreign", "reference": reference, **more}


@dataclass(frozen=True)
class AtLeastOne:
    """Refuses entities in which all of these fields are empty."""

    paths: Sequence[str]

    def __call__(self, _: Schema, entity: Mapping[str, Any], errors: Errors, update: bool) -> None:
        if all(_empty(_at(entity, path)) for path in self.paths):
            names = ", ".join(f"'{path}'" for path in self.paths)
            when = "when updating, " if update else ""
            about_all(errors, f"{when}at least one of these fields must be non-empty: {names}")

    def served(self) -> Mapping[str, Any]:
        return {"at_least_one_of": list(self.paths)}


@dataclass(frozen=True)
class Conditional:
    """Where one field has a value of a kind, asks more of another."""

    if_field: str
    if_match: Field
    then_field: str
    then_match: Field

    def __call__(self, schema: Schema, entity: Mapping[str, Any], errors: Errors, _: bool) -> None:
        if _at(errors, self.if_field) or _mismatch(self.if_match, _at(entity, self.if_field)):
            return
        field = {**schema.field(self.then_field), **self.then_match}
        if error := judged(field, _at(entity, self.then_field)):
            about_all(errors, f"failed conditional validation given value of field '{self.if_field}'")
            _put(errors, self.then_field, error)

    def served(self) -> Mapping[str, Any]:
        names = ("if_field", "if_match", "then_field", "then_match")
        told = {name: getattr(self, name) for name in names}
        return {"conditional": {**told, "then_match": _served_field(self.then_match)}}


@dataclass(frozen=True)
class Schema:
    """The fields of an entity in their order, and what holds between them."""

    fields: Fields
    checks: Sequence[EntityCheck] = ()
    #: Whether other fields are refused.
    closed: bool = True

    def field(self, path: str) -> Field:
        """Return the field at a path such as `config.policy`."""
        fields, found = self.fields, {}
        for name in path.split("."):
            found = fields[name]
            fields = found.get("fields", {})
        return found

    def fill(self, entity: Mapping[str, Any]) -> dict[str, Any]:
        """Put defaults where nothing is said. What is null stays so."""
        return _filled(self.fields, entity)

    def errors(self, entity: Mapping[str, Any], *, update: bool = False) -> Errors:
        """Return what is wrong, nested as the entity is."""
        errors = _record_errors(self.fields, entity if self.closed else {n: entity.get(n) for n in self.fields})
        for check in self.checks:
            check(self, entity, errors, update)
        return errors

    def served(self) -> Mapping[str, Any]:
        """Return the description that Kong gives of it."""
        checks = [check.served() for check in self.checks if isinstance(check, AtLeastOne | Conditional)]
        return {"fields": _served(self.fields), "entity_checks": checks}


def about_all(errors: Errors, message: str) -> None:
    """Add what is wrong with an entity as a whole."""
    errors.setdefault("@entity", []).append(message)


def judged(field: Field, value: Any) -> Any:
    """Return what is wrong with a value, or None."""
    if value is None:
        if field.get("eq") is not None:
            return f"value must be {field['eq']}"
        return MISSING if field.get("required") else None
    if error := _wrong_type(field["type"], value):
        return error
    if error := _mismatch(field, value):
        return error
    match field["type"]:
        case "array" | "set":
            return _member_errors(field["elements"], value)
        case "map":
            return _map_error(field, value)
        case "record":
            return _record_errors(field["fields"], value) or _checked(field, value)
        case "foreign":
            return None if value.get("id") else {"id": "missing primary key"}
    return None


def canonical(field: Field, value: Any) -> Any:
    """Return a value as it is kept: sets without doubles, an empty list where a record or map is meant as one."""
    match field["type"]:
        case "record" | "map" if value == []:
            return {}
        case "array" | "set" if value == {}:
            return []
        case "set" if isinstance(value, list) and all(isinstance(member, str) for member in value):
            return list(dict.fromkeys(value))
        case "record" if isinstance(value, dict):
            fields = field["fields"]
            return {name: canonical(fields[name], one) if name in fields else one for name, one in value.items()}
        case "array" | "set" if field["elements"]["type"] == "record" and isinstance(value, list):
            known = field["elements"]["fields"]
            return [_filled(known, one) if isinstance(one, dict) else one for one in value]
    return value


def _filled(fields: Fields, values: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for name, field in fields.items():
        if name not in values:
            record = field["type"] == "record" and field.get("required")
            filled[name] = _filled(field["fields"], {}) if record else copy.deepcopy(field.get("default"))
        elif field["type"] == "record" and values[name] in ({}, []):
            filled[name] = _filled(field["fields"], {})
        elif field["type"] == "record" and isinstance(values[name], dict):
            filled[name] = _filled(field["fields"], values[name])
    return filled


def _record_errors(fields: Fields, values: Mapping[str, Any]) -> Errors:
    errors = {name: "unknown field" for name in values if name not in fields}
    for name, field in fields.items():
        if error := judged(field, values.get(name)):
            errors[name] = error
    return errors


def _wrong_type(kind: str, value: Any) -> str | None:
    expected: Mapping[str, tuple[type | tuple[type, ...], str]] = {
        "string": (str, "a string"),
        "boolean": (bool, "a boolean"),
        "integer": (int, "an integer"),
        "number": ((int, float), "a number"),
        "array": (list, "an array"),
        "set": (list, "a set"),
        "map": ((dict, list), "a map"),
        "record": (dict, "a record"),
    }
    if kind == "foreign":
        return None if isinstance(value, dict) else {"id": "missing primary key"}  # type: ignore[return-value]
    types, name = expected[kind]
    fits = isinstance(value, types) and (kind == "boolean" or not isinstance(value, bool))
    return None if fits else f"expected {name}"


def _mismatch(field: Field, value: Any) -> str | None:
    """Return which of the restrictions of a field does not hold. Null satisfies all but `eq`."""
    if value is None:
        return "value must not be null" if field.get("eq") is not None else None
    for name, rule in _RULES.items():
        if name in field and (error := rule(field[name], value)):
            return error
    return None if field.get("type") in ("record", "map") else _checked(field, value)


def _checked(field: Field, value: Any) -> str | None:
    return field["check"](value) if "check" in field else None


def _between(bounds: Sequence[float], value: float) -> str | None:
    low, high = bounds
    return None if low <= value <= high else f"value should be between {low} and {high}"


def _none_matches(patterns: Sequence[Mapping[str, str]], value: str) -> str | None:
    return next((one["err"] for one in patterns if re.search(one["pattern"], value)), None)


def _any_matches(wanted: Mapping[str, Any], value: str) -> str | None:
    if any(re.search(pattern, value) for pattern in wanted["patterns"]):
        return None
    return str(wanted.get("err", "invalid value: " + value))


def _equals(wanted: Any, value: Any) -> str | None:
    return None if value == wanted else f"value must be {'null' if wanted is None else wanted}"


#: In the order in which Kong asks them.
_RULES: Mapping[str, Callable[[Any, Any], str | None]] = {
    "eq": _equals,
    "not_one_of": lambda values, value: "must not be one of: " + ", ".join(values) if value in values else None,
    "one_of": lambda values, value: None if value in values else f"expected one of: {', '.join(map(str, values))}",
    "gt": lambda bound, value: None if value > bound else f"value must be greater than {bound}",
    "uuid": lambda _, value: None if UUID.fullmatch(value) else "expected a valid UUID",
    "between": _between,
    "len_eq": lambda length, value: None if len(value) == length else f"length must be {length}",
    "len_min": lambda length, value: None if len(value) >= length else f"length must be at least {length}",
    "starts_with": lambda start, value: None if value.startswith(start) else f"should start with: {start}",
    "match_none": _none_matches,
    "match_any": _any_matches,
    "contains": lambda wanted, value: None if wanted in value else f"expected to contain: {wanted}",
}


def _member_errors(field: Field, values: Sequence[Any]) -> Sequence[Any] | None:
    errors = [judged(field, value) for value in values]
    while errors and errors[-1] is None:
        errors.pop()
    return errors or None


def _map_error(field: Field, values: Mapping[str, Any] | Sequence[Any]) -> Any:
    items = values.items() if isinstance(values, Mapping) else enumerate(values, 1)
    for key, value in items:
        if error := judged(field["keys"], key) or judged(field["values"], value):
            return error
    return _checked(field, values)


def _served(fields: Fields) -> Sequence[Mapping[str, Any]]:
    return [{name: _served_field(field)} for name, field in fields.items()]


def _served_field(field: Field) -> Mapping[str, Any]:
    served = {name: value for name, value in field.items() if name != "check"}
    if "fields" in served:
        served["fields"] = _served(served["fields"])
    for part in ("elements", "keys", "values"):
        if part in served:
            served[part] = _served_field(served[part])
    return served


def _empty(value: Any) -> bool:
    return value in (None, "", [], {})


def _at(entity: Any, path: str) -> Any:
    for name in path.split("."):
        entity = entity.get(name) if isinstance(entity, Mapping) else None
    return entity


def _put(errors: Errors, path: str, error: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        below = errors.setdefault(name, {})
        if not isinstance(below, dict):
            return
        errors = below
    errors[last] = error
