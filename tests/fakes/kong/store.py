"""What the gateway is configured with: entities by collection, and the rules by which they are written.

A `Store` behaves like Kong with its database, in one process. Entities are values: a write replaces one, so whoever
holds an old one keeps it as it was. `revision` counts the writes.
"""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.kong import errors
from tests.fakes.kong.entities import Kind, kinds
from tests.fakes.kong.exchange import Entity
from tests.fakes.kong.identity import Version
from tests.fakes.kong.schema import UUID, Schema, canonical

#: Entities of an empty page, or of a full one that has no other size.
_PAGE = 100


@dataclass(frozen=True)
class Page:
    """Part of a list, and where the rest begins."""

    entities: Sequence[Entity]
    offset: str | None


class Store:
    """All entities of a gateway. `clock` tells the seconds since the epoch."""

    def __init__(self, version: Version, clock: Callable[[], float]) -> None:
        self.kinds = kinds(version)
        self.revision = 0
        self._clock = clock
        self._entities: dict[str, dict[str, Entity]] = {name: {} for name in self.kinds}

    # Reading

    def all(self, collection: str) -> Sequence[Entity]:
        """Return the entities of a collection in the order of their ids."""
        return [entity for _, entity in sorted(self._entities[collection].items())]

    def get(self, collection: str, id_or_key: str) -> Entity | None:
        """Return the entity with an id, or with what its kind has in its place."""
        if UUID.fullmatch(id_or_key):
            return self._entities[collection].get(id_or_key.lower())
        key = self.kinds[collection].key
        return self._by(collection, key, id_or_key) if key else None

    def below(self, collection: str, field: str, parent: str) -> Sequence[Entity]:
        """Return the entities that refer to another one by a field."""
        return [entity for entity in self.all(collection) if entity[field] and entity[field]["id"] == parent]

    def tags(self) -> Iterator[Mapping[str, str]]:
        """Return each tag with the entity that has it."""
        for collection in sorted(self.kinds):
            for entity in self.all(collection):
                for tag in entity["tags"] or ():
                    yield {"tag": tag, "entity_name": collection, "entity_id": entity["id"]}

    # Writing

    def insert(self, collection: str, body: Mapping[str, Any]) -> Entity:
        """Add an entity. Raises `Refused`."""
        kind = self.kinds[collection]
        entity = self.completed(kind.name, body)
        self._judge(kind, entity)
        if entity["id"] in self._entities[collection]:
            raise errors.primary_key_taken(entity["id"])
        self._unique(kind, entity)
        return self._keep(collection, entity)

    def upsert(self, collection: str, id_or_key: str, body: Mapping[str, Any]) -> Entity:
        """Replace an entity as a whole, or add it. The path says which; it beats the body. Raises `Refused`."""
        kind = self.kinds[collection]
        if UUID.fullmatch(id_or_key):
            fixed = {"id": id_or_key.lower()}
        elif kind.key is None:
            raise errors.not_found()
        else:
            if error := kind.key_error(id_or_key):
                raise errors.bad_unique_name(error)
            present = self._by(collection, kind.key, id_or_key)
            fixed = {kind.key: id_or_key, **({"id": present["id"]} if present else {})}
        entity = self.completed(kind.name, {**body, **fixed})
        self._judge(kind, entity)
        self._unique(kind, entity)
        return self._keep(collection, entity)

    def update(self, collection: str, present: Entity, body: Mapping[str, Any]) -> Entity:
        """Change some fields of an entity. Raises `Refused`."""
        kind = self.kinds[collection]
        named = {**body, "name": body.get("name", present["name"])} if collection == "plugins" else body
        changes = {name: value for name, value in kind.shorthand(named).items() if name not in ("id", "created_at")}
        entity = _merged(kind.schema(named), present, changes)
        if "updated_at" in entity:
            entity["updated_at"] = int(self._clock())
        self._judge(kind, entity, update=True)
        self._unique(kind, entity)
        return self._keep(collection, entity)

    def delete(self, collection: str, entity: Entity) -> None:
        """Remove an entity with what goes with it. Raises `Refused` while something else needs it."""
        for kind in self.kinds.values():
            for field, target in kind.references.items():
                if target != collection or field in kind.cascade:
                    continue
                if self.below(kind.name, field, entity["id"]):
                    raise errors.referenced(collection, kind.name)
        for kind in self.kinds.values():
            for field in kind.cascade:
                if kind.references[field] == collection:
                    for dependent in self.below(kind.name, field, entity["id"]):
                        self.delete(kind.name, dependent)
        self._entities[collection].pop(entity["id"], None)
        self.revision += 1

    def clear(self) -> None:
        """Lose everything."""
        for entities in self._entities.values():
            entities.clear()
        self.revision += 1

    def judged(self, collection: str, body: Mapping[str, Any]) -> None:
        """Judge an entity without adding it, and without asking whether what it refers to exists. Raises `Refused`."""
        kind = self.kinds[collection]
        entity = self.completed(kind.name, body)
        if found := kind.schema(entity).errors(entity):
            raise errors.invalid(found)

    def completed(self, collection: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return an entity with all that a body leaves out, not judged."""
        kind = self.kinds[collection]
        fields = kind.shorthand(body)
        schema = kind.schema(fields)
        entity = schema.fill(_canonical(schema, fields))
        made = {"id": str(uuid.uuid4()), **{name: secrets.token_urlsafe(24) for name in kind.generated}}
        entity.update({name: value for name, value in made.items() if name not in fields})
        now = int(self._clock())
        entity.update({name: now for name in ("created_at", "updated_at") if name in schema.fields})
        if kind.name == "plugins":
            entity = dict(kind.shorthand(entity))
        return entity

    def _judge(self, kind: Kind, entity: dict[str, Any], *, update: bool = False) -> None:
        """Refuse what violates the schema or refers to nothing; make ids of references by name."""
        by_name = self._resolvable(kind, entity)
        looked = {**entity, **{field: {"id": "resolved"} for field in by_name}}
        if found := kind.schema(entity).errors(looked, update=update):
            raise errors.invalid(found)
        for field, (target, key, value) in by_name.items():
            other = self._by(target, key, value)
            if other is None:
                raise errors.unresolved_reference(field, target, key, value)
            entity[field] = {"id": other["id"]}
        for field in sorted(kind.references):
            target = kind.references[field]
            if entity[field] is not None:
                entity[field] = {"id": entity[field]["id"]}
                if entity[field]["id"] not in self._entities[target]:
                    raise errors.unknown_reference(field, target, entity[field]["id"])

    def _resolvable(self, kind: Kind, entity: Mapping[str, Any]) -> Mapping[str, tuple[str, str, str]]:
        """Return the references that name what they mean instead of its id."""
        found = {}
        for field, target in kind.references.items():
            value, key = entity.get(field), self.kinds[target].key
            if isinstance(value, dict) and not value.get("id") and key and isinstance(value.get(key), str):
                found[field] = (target, key, value[key])
        return found

    def _unique(self, kind: Kind, entity: Mapping[str, Any]) -> None:
        others = [one for one in self.all(kind.name) if one["id"] != entity["id"]]
        groups = [(name,) for name in kind.unique if entity[name] is not None]
        if kind.unique_together:
            groups.append(tuple(kind.unique_together))
        for group in groups:
            values = {name: entity[name] for name in group}
            if any(all(one[name] == value for name, value in values.items()) for one in others):
                raise errors.taken(values)

    def _by(self, collection: str, field: str, value: str) -> Entity | None:
        return next((one for one in self._entities[collection].values() if one[field] == value), None)

    def _keep(self, collection: str, entity: dict[str, Any]) -> Entity:
        self._entities[collection][entity["id"]] = entity
        self.revision += 1
        return entity


def page(entities: Sequence[Entity], size: int | None = None, offset: str | None = None) -> Page:
    """Return the part of a list that begins after the entity that `offset` stands for."""
    after = _last_id(offset) if offset is not None else ""
    rest = [entity for entity in entities if entity["id"] > after]
    some = rest[: size or _PAGE]
    more = len(rest) > len(some)
    return Page(some, _offset(some[-1]["id"]) if more else None)


def tagged(entities: Sequence[Entity], wanted: str) -> Sequence[Entity]:
    """Return the entities that have all tags of `a,b`, or one of `a/b`. Raises `Refused`."""
    every, some = wanted.split(","), wanted.split("/")
    if (len(every) > 1 and len(some) > 1) or not any(every) or not any(some):
        raise errors.bad_option("tags", "invalid filter syntax")
    if len(some) > 1:
        return [entity for entity in entities if set(entity["tags"] or ()) & set(some)]
    return [entity for entity in entities if set(every) <= set(entity["tags"] or ())]


def _offset(id_: str) -> str:
    return base64.b64encode(json.dumps([id_]).encode()).decode().rstrip("=")


def _last_id(offset: str) -> str:
    try:
        (found,) = json.loads(base64.b64decode(offset + "=" * (-len(offset) % 4), validate=True))
    except ValueError:
        raise errors.bad_offset(offset) from None
    return str(found)


def _canonical(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    known = schema.fields
    return {name: canonical(known[name], value) if name in known else value for name, value in values.items()}


def _merged(schema: Schema, present: Entity, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity with changes: records key by key, all else replaced."""
    return {**present, **_deep(schema.fields, present, _canonical(schema, changes))}


def _deep(fields: Mapping[str, Any], present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {}
    for name, value in changes.items():
        old, field = present.get(name), fields.get(name, {})
        if field.get("type") == "record" and isinstance(value, dict) and isinstance(old, dict):
            merged[name] = {**old, **_deep(field["fields"], old, value)}
        else:
            merged[name] = value
    return merged
