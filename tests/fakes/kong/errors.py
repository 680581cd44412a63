"""Refusals of the Admin API in Kong's words: status, and a body of code, name, message and fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Refused(Exception):  # noqa: N818 - an answer, not a fault of the program
    """An answer that is no success. `body` is JSON, or None for none at all."""

    def __init__(self, status: int, body: Mapping[str, Any] | None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def plain(status: int, message: str) -> Refused:
    """Return a refusal that has a message and nothing else."""
    return Refused(status, {"message": message})


def not_found() -> Refused:
    return plain(404, "Not found")


def method_not_allowed() -> Refused:
    return plain(405, "Method not allowed")


def unexpected() -> Refused:
    return plain(500, "An unexpected error occurred")


def _coded(status: int, code: int, name: str, message: str, **details: Any) -> Refused:
    return Refused(status, {"code": code, "name": name, "message": message, **details})


def invalid(errors: Mapping[str, Any]) -> Refused:
    """Refuse values that violate a schema; `errors` is nested as the entity is."""
    texts = list(_texts(errors))
    many = f"{len(texts)} schema violations" if len(texts) > 1 else "schema violation"
    return _coded(400, 2, "schema violation", f"{many} ({'; '.join(texts)})", fields=errors)


def primary_key_taken(id_: str) -> Refused:
    message = f"primary key violation on key '{_table({'id': id_})}'"
    return _coded(400, 3, "primary key violation", message, fields={"id": id_})


def unknown_reference(field: str, collection: str, id_: str) -> Refused:
    message = f"the foreign key '{_table({'id': id_})}' does not reference an existing '{collection}' entity."
    return _coded(400, 4, "foreign key violation", message, fields={field: {"id": id_}})


def referenced(collection: str, by: str) -> Refused:
    message = f"an existing '{by}' entity references this '{collection}' entity"
    return _coded(400, 4, "foreign key violation", message, fields={"@referenced_by": by})


def taken(values: Mapping[str, Any]) -> Refused:
    message = f"UNIQUE violation detected on '{_table(values)}'"
    return _coded(409, 5, "unique constraint violation", message, fields=values)


def no_entity(key: str, value: str) -> Refused:
    what = f"primary key '{_table({key: value})}'" if key == "id" else f"'{_table({key: value})}'"
    return _coded(404, 6, "not found", f"could not find the entity with {what}", fields={key: value})


def bad_offset(offset: str) -> Refused:
    return _coded(400, 7, "invalid offset", f"'{offset}' is not a valid offset: bad base64 encoding")


def bad_size() -> Refused:
    return _coded(400, 9, "invalid size", "size must be an integer between 1 and 1000")


def bad_unique_name(message: str) -> Refused:
    return _coded(400, 10, "invalid unique name", message)


def bad_option(option: str, why: str) -> Refused:
    return _coded(400, 11, "invalid options", f"invalid option ({option}: {why})", options={option: why})


def read_only(action: str, collection: str, key: str | None = None) -> Refused:
    """Refuse a write that only a gateway with a database takes."""
    by = f" by '{key}'" if key else ""
    message = f"cannot {action} '{collection}' entities{by} when not using a database"
    return _coded(405, 12, "operation unsupported", message)


def unresolved_reference(field: str, collection: str, key: str, value: str) -> Refused:
    why = f"the foreign key cannot be resolved with '{_table({key: value})}' for an existing '{collection}' entity"
    message = f"foreign key unresolved ({field}.{key}: {why})"
    return _coded(400, 13, "foreign keys unresolved", message, fields={field: {key: why}})


def _texts(errors: Mapping[str, Any]) -> Iterator[str]:
    yield from errors.get("@entity", ())
    for name in sorted(errors.keys() - {"@entity"}):
        match errors[name]:
            case str(error):
                yield f"{name}: {error}"
            case Mapping() as below:
                yield from (f"{name}.{part}: {_inspected(below[part])}" for part in sorted(below))
            case members:
                found = ((position, error) for position, error in enumerate(members, 1) if error is not None)
                yield from (f"{name}.{position}: {_inspected(error)}" for position, error in found)


def _inspected(error: Any, indent: str = "") -> str:
    """Return an error as Kong shows it: what is deeper than two levels comes as a table of Lua, over several lines."""
    if isinstance(error, str):
        return error
    deeper = indent + "  "
    if isinstance(error, Mapping):
        lines = [f"{name} = {_quoted(error[name], deeper)}" for name in sorted(error)]
    else:
        lines = [_quoted(one, deeper) for one in error]
    inner = f",\n{deeper}".join(lines)
    return f"{{\n{deeper}{inner}\n{indent}}}"


def _quoted(error: Any, indent: str) -> str:
    return f'"{error}"' if isinstance(error, str) else _inspected(error, indent)


def _table(values: Mapping[str, Any]) -> str:
    """Return values as Lua prints a table."""
    return "{" + ",".join(f"{name}={_value(values[name])}" for name in sorted(values)) + "}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _table(value)
    return "null" if value is None else f'"{value}"'
