"""The Admin API: from method, path and body to status and JSON, without any network.

Paths are those of Kong: `/services`, `/services/s1`, `/services/s1/routes`, `/routes/r1/service`. `Admin.answer`
takes a request and returns an answer; `server` puts it on a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote_plus

from tests.fakes.kong import bodies, errors
from tests.fakes.kong.exchange import Entity
from tests.fakes.kong.information import EMPTY, Information
from tests.fakes.kong.plugins.catalog import PLUGINS
from tests.fakes.kong.schema import UUID
from tests.fakes.kong.store import Store, page, tagged

#: The names in paths of the collections that are called otherwise inside.
_COLLECTIONS = {"jwts": "jwt_secrets"}
#: What hangs below what: names in the path, the collection, and its field that refers upwards.
_BELOW = {
    ("services", "routes"): ("routes", "service"),
    ("services", "plugins"): ("plugins", "service"),
    ("routes", "plugins"): ("plugins", "route"),
    ("consumers", "plugins"): ("plugins", "consumer"),
    ("consumers", "jwt"): ("jwt_secrets", "consumer"),
    ("certificates", "snis"): ("snis", "certificate"),
    ("certificates", "services"): ("services", "client_certificate"),
}
#: Entities that can be reached through one that refers to them: names in the path, and the collection.
_ABOVE = {
    ("routes", "service"): "services",
    ("plugins", "service"): "services",
    ("plugins", "route"): "routes",
    ("plugins", "consumer"): "consumers",
    ("jwts", "consumer"): "consumers",
    ("snis", "certificate"): "certificates",
}
#: Requests may have this many bytes before their headers, as with nginx.
_LONGEST = 8190


@dataclass(frozen=True)
class Request:
    """What came in. `target` is path and query as they were sent."""

    method: str
    target: str
    content_type: str | None = None
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def argument(self, name: str) -> str | None:
        """Return an argument of the query; of several the first."""
        query = self.target.partition("?")[2]
        return next(iter(parse_qs(query, keep_blank_values=True).get(name, ())), None)


@dataclass(frozen=True)
class Answer:
    """What goes out. `body` is JSON, or a text of HTML, or None for nothing."""

    status: int
    body: Any = None
    allow: str | None = None


#: What a path offers: a function for each method.
Resource = Mapping[str, Callable[[Request], Answer]]


class Admin:
    """The Admin API over a store."""

    def __init__(self, store: Store, information: Information) -> None:
        self._store = store
        self._about = information

    @property
    def read_only(self) -> bool:
        return self._about.database == "off"

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        if len(request.target) > _LONGEST:
            return Answer(414, _html(414, "Request-URI Too Large"))
        try:
            resource = self._resource(request.path)
            if resource is None:
                raise errors.not_found()
            return self._asked(resource, request)
        except errors.Refused as refusal:
            body = refusal.body
            return Answer(refusal.status, _html(415, "Unsupported Media Type") if body is None else body)

    def status_port(self, request: Request) -> Answer:
        """Answer a request to the port for probes."""
        resources: Mapping[str, Resource] = {
            "/status": {"GET": lambda _: Answer(200, self._about.status())},
            "/status/ready": {"GET": self._ready},
        }
        try:
            if request.path not in resources:
                raise errors.not_found()
            return self._asked(resources[request.path], request)
        except errors.Refused as refusal:
            return Answer(refusal.status, refusal.body)

    def _asked(self, resource: Resource, request: Request) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return Answer(204, allow=", ".join(sorted({*resource, "OPTIONS", *({"HEAD"} & _heads(resource))})))
        if method not in resource:
            raise errors.method_not_allowed()
        return resource[method](request)

    def _ready(self, _: Request) -> Answer:
        if self.read_only and self._about.configuration_hash() == EMPTY:
            raise errors.plain(503, "no configuration available (empty configuration present)")
        return Answer(200, {"message": "ready"})

    # From paths to resources

    def _resource(self, path: str) -> Resource | None:
        if path == "/":
            return {"GET": lambda _: Answer(200, self._about.root())}
        segments = [unquote_plus(segment) for segment in path.split("/")[1:]]
        if segments[-1] == "" and len(segments) == 2:
            segments.pop()
        if "" in segments:
            return None
        match segments:
            case ["status"]:
                return {"GET": lambda _: Answer(200, self._about.status())}
            case ["config"]:
                return {"GET": self._no_config, "POST": self._no_config}
            case ["endpoints"]:
                return {"GET": lambda _: Answer(200, {"data": self._endpoints()})}
            case ["timers"]:
                return {"GET": lambda _: Answer(200, {"worker": {"id": 0, "count": 1}, "stats": {}})}
            case ["tags", *rest] if len(rest) < 2:
                return self._tags(path, *rest)
            case ["plugins", "enabled"]:
                return {"GET": lambda _: Answer(200, {"enabled_plugins": list(PLUGINS)})}
            case ["plugins", "schema", name]:
                return {"GET": lambda _: Answer(200, self._about.plugin_configuration(name))}
            case ["schemas", *rest]:
                return self._schemas(rest)
            case [name, *rest] if _COLLECTIONS.get(name, name) in self._store.kinds and name != "jwt_secrets":
                return self._entities(path, name, rest)
        return None

    def _entities(self, path: str, name: str, rest: Sequence[str]) -> Resource | None:
        collection = _COLLECTIONS.get(name, name)
        match rest:
            case []:
                return self._collection(path, collection)
            case [key]:
                return self._entity(collection, key)
            case [key, below] if (name, below) in _BELOW:
                return self._collection_below(path, collection, key, *_BELOW[name, below])
            case [key, above] if (name, above) in _ABOVE:
                return self._entity_above(collection, key, above, _ABOVE[name, above])
            case [key, below, child] if (name, below) in _BELOW:
                return self._entity_below(collection, key, *_BELOW[name, below], child)
        return None

    def _collection(self, path: str, collection: str) -> Resource:
        def read(request: Request) -> Answer:
            entities = self._store.all(collection)
            if collection == "consumers" and (custom_id := request.argument("custom_id")) is not None:
                if not custom_id:
                    raise errors.plain(400, "custom_id must be an unempty string")
                entities = [one for one in entities if one["custom_id"] == custom_id]
            if (tags := request.argument("tags")) is not None:
                if not tags:
                    raise (
                        errors.bad_option("tags", "cannot be empty")
                        if self._about.version.since(3, 9)
                        else (errors.unexpected())
                    )
                entities = tagged(entities, tags)
            return self._page(path, entities, request, keeps=("tags", "size"))

        return {"GET": read, "POST": lambda request: self._create(collection, self._body(collection, request))}

    def _entity(self, collection: str, key: str) -> Resource:
        found = self._certificate if collection == "certificates" else self._store.get

        def read(_: Request) -> Answer:
            entity = found(collection, key)
            if entity is None:
                raise errors.not_found()
            return Answer(200, self._shown(collection, entity))

        def replace(request: Request) -> Answer:
            return self._replace(collection, key, self._body(collection, request))

        def change(request: Request) -> Answer:
            present = found(collection, key)
            body = self._body(collection, request, present)
            return self._change(collection, key, present, body)

        def delete(_: Request) -> Answer:
            entity = self._store.get(collection, key)
            if entity is not None:
                self._delete(collection, key, entity)
            return Answer(204)

        return {"GET": read, "PUT": replace, "PATCH": change, "DELETE": delete}

    def _collection_below(self, path: str, parents: str, key: str, collection: str, field: str) -> Resource:
        def read(request: Request) -> Answer:
            parent = self._existing(parents, key)
            entities = self._store.below(collection, field, parent["id"])
            return self._page(path, entities, request, keeps=())

        def create(request: Request) -> Answer:
            body = self._body(collection, request)
            parent = self._existing(parents, key)
            return self._create(collection, {**body, field: {"id": parent["id"]}})

        return {"GET": read, "POST": create}

    def _entity_below(self, parents: str, key: str, collection: str, field: str, child: str) -> Resource:
        def existing() -> Entity:
            parent = self._existing(parents, key)
            entity = self._store.get(collection, child)
            if entity is None or entity[field] is None or entity[field]["id"] != parent["id"]:
                raise errors.not_found()
            return entity

        def replace(request: Request) -> Answer:
            body = self._body(collection, request)
            parent = self._existing(parents, key)
            return self._replace(collection, child, {**body, field: {"id": parent["id"]}})

        def change(request: Request) -> Answer:
            present = existing()
            return self._change(collection, child, present, self._body(collection, request, present))

        def delete(_: Request) -> Answer:
            self._delete(collection, child, existing())
            return Answer(204)

        def read(_: Request) -> Answer:
            return Answer(200, self._shown(collection, existing()))

        return {"GET": read, "PUT": replace, "PATCH": change, "DELETE": delete}

    def _entity_above(self, collection: str, key: str, field: str, parents: str) -> Resource:
        def existing() -> Entity:
            child = self._existing(collection, key)
            parent = self._store.get(parents, child[field]["id"]) if child[field] else None
            # Kong takes the end of this path for a server name and finds none.
            if parent is None or parents == "certificates":
                raise errors.not_found()
            return parent

        def change(request: Request) -> Answer:
            parent = existing()
            return self._change(parents, parent["id"], parent, self._body(parents, request, parent))

        return {
            "GET": lambda _: Answer(200, self._shown(parents, existing())),
            "PUT": lambda request: self._replace(parents, existing()["id"], self._body(parents, request)),
            "PATCH": change,
        }

    # What is done

    def _create(self, collection: str, body: Mapping[str, Any]) -> Answer:
        if self.read_only:
            self._store.judged(collection, _without_snis(collection, body))
            raise errors.read_only("create", collection)
        names = self._free_names(collection, body)
        entity = self._store.insert(collection, _without_snis(collection, body))
        self._name(entity, names)
        return Answer(201, self._shown(collection, entity))

    def _replace(self, collection: str, key: str, body: Mapping[str, Any]) -> Answer:
        if self.read_only:
            by = self._store.kinds[collection].key
            self._store.judged(collection, _without_snis(collection, {**body, **({by: key} if by else {})}))
            raise errors.read_only("create or update", collection, by)
        present = None
        if collection == "certificates" and (self._store.get(collection, key) or not UUID.fullmatch(key)):
            present = self._certificate(collection, key)
        names = self._free_names(collection, body, present)
        key = present["id"] if present else key
        entity = self._store.upsert(collection, key, _without_snis(collection, body))
        self._name(entity, names)
        return Answer(200, self._shown(collection, entity))

    def _change(self, collection: str, key: str, present: Entity | None, body: Mapping[str, Any]) -> Answer:
        by = self._store.kinds[collection].key
        if present is None:
            # Plugins are looked up before they are changed, to know which schema holds.
            raise errors.not_found() if collection == "plugins" else errors.no_entity(*self._named(collection, key))
        if self.read_only:
            raise errors.read_only("update", collection, by)
        names = self._free_names(collection, body, present)
        entity = self._store.update(collection, present, _without_snis(collection, body))
        self._name(entity, names)
        return Answer(200, self._shown(collection, entity))

    def _delete(self, collection: str, key: str, entity: Entity) -> None:
        if self.read_only:
            raise errors.read_only("remove", collection, self._store.kinds[collection].key)
        if collection == "certificates":
            # The names go even if the certificate then stays because a service uses it.
            self._name(entity, [])
        self._store.delete(collection, entity)

    def _existing(self, collection: str, key: str) -> Entity:
        entity = self._store.get(collection, key)
        if entity is None:
            raise errors.not_found()
        return entity

    def _named(self, collection: str, key: str) -> tuple[str, str]:
        """Return by which field an entity was asked for, and its value."""
        by = self._store.kinds[collection].key
        return (by if by and not UUID.fullmatch(key) else "id"), key

    def _body(self, collection: str, request: Request, present: Entity | None = None) -> Mapping[str, Any]:
        body = bodies.parsed(request.content_type, request.body)
        if collection == "plugins" and not isinstance(body.get("name", ""), str | None):
            raise errors.unexpected()
        if bodies.is_form(request.content_type):
            body = bodies.typed(body, self._store.kinds[collection].schema({**(present or {}), **body}).fields)
        return body

    def _page(self, path: str, entities: Sequence[Entity], request: Request, keeps: Sequence[str]) -> Answer:
        size = request.argument("size")
        if size is not None and not (size.isdigit() and 1 <= int(size) <= 1000):
            raise errors.bad_size()
        part = page(entities, int(size) if size else None, request.argument("offset"))
        data = [self._shown(None, entity) for entity in part.entities]
        if part.offset is None:
            return Answer(200, {"data": data, "next": None})
        kept = [(name, request.argument(name)) for name in keeps]
        query = "".join(f"&{name}={quote_plus(value)}" for name, value in kept if value is not None)
        following = f"{path}?offset={quote_plus(part.offset)}{query}"
        return Answer(200, {"data": data, "next": following, "offset": part.offset})

    # Certificates carry their names

    def _shown(self, collection: str | None, entity: Entity) -> Entity:
        if collection == "certificates" or (collection is None and "cert" in entity):
            names = sorted(one["name"] for one in self._store.below("snis", "certificate", entity["id"]))
            return {**entity, "snis": names}
        return entity

    def _certificate(self, collection: str, key: str) -> Entity | None:
        """Return a certificate by its id or by one of its names. Raises `Refused`."""
        entity = self._store.get(collection, key)
        if entity is not None:
            return entity
        if UUID.fullmatch(key):
            raise errors.no_entity("id", key)
        sni = self._store.get("snis", key)
        if sni is None:
            raise errors.plain(404, "SNI not found")
        return self._store.get("certificates", sni["certificate"]["id"])

    def _free_names(
        self, collection: str, body: Mapping[str, Any], present: Entity | None = None
    ) -> Sequence[str] | None:
        """Return the names that a certificate shall have, None where nothing is said of them. Raises `Refused`."""
        if collection != "certificates" or body.get("snis") is None:
            return None
        names = body["snis"]
        if not isinstance(names, list):
            raise errors.invalid({"snis": "expected a set"})
        check = self._store.kinds["snis"].key_error
        if bad := next((error for error in map(check, names) if error), None):
            raise errors.invalid({"snis": bad})
        for name in names:
            other = self._store.get("snis", name)
            if other is not None and (present is None or other["certificate"]["id"] != present["id"]):
                owner = other["certificate"]["id"]
                raise errors.invalid({"snis": f"{name} already associated with existing certificate '{owner}'"})
        return names

    def _name(self, certificate: Entity, names: Sequence[str] | None) -> None:
        if names is None:
            return
        for sni in self._store.below("snis", "certificate", certificate["id"]):
            if sni["name"] not in names:
                self._store.delete("snis", sni)
        for name in names:
            if self._store.get("snis", name) is None:
                self._store.insert("snis", {"name": name, "certificate": {"id": certificate["id"]}})

    # Other than entities

    def _no_config(self, _: Request) -> Answer:
        if self.read_only:
            raise errors.plain(501, "this test double is configured by its test, not by /config")
        raise errors.plain(400, "this endpoint is only available when Kong is configured to not use a database")

    def _tags(self, path: str, tag: str | None = None) -> Resource:
        def read(_: Request) -> Answer:
            found = [one for one in self._store.tags() if tag in (None, one["tag"])]
            # An empty list of one tag is an object in Kong.
            return Answer(200, {"data": found if found or tag is None else {}, "next": None})

        def refuse(_: Request) -> Answer:
            raise errors.invalid({"tags": "does not support insert/upsert/update/delete operations"})

        def broken(_: Request) -> Answer:
            raise errors.unexpected()

        return {"GET": read, **({"POST": refuse} if tag is None else {"DELETE": broken})}

    def _schemas(self, rest: Sequence[str]) -> Resource | None:
        match rest:
            case [collection, "validate"]:
                return {"POST": lambda request: self._valid(collection, request)}
            case ["plugins", name]:
                return {"GET": lambda _: Answer(200, self._about.plugin_schema(name))}
            case [collection]:
                return {"GET": lambda _: Answer(200, self._about.schema(collection))}
        return None

    def _valid(self, collection: str, request: Request) -> Answer:
        if collection not in self._store.kinds:
            raise errors.plain(404, f"No entity named '{collection}'")
        self._store.judged(collection, self._body(collection, request))
        return Answer(200, {"message": "schema validation successful"})

    def _endpoints(self) -> Sequence[str]:
        named = {inner: outer for outer, inner in _COLLECTIONS.items()}
        return sorted(f"/{named.get(name, name)}" for name in self._store.kinds)


def _heads(resource: Resource) -> set[str]:
    return {"HEAD"} if "GET" in resource else set()


def _without_snis(collection: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if collection != "certificates":
        return body
    return {name: value for name, value in body.items() if name != "snis"}


def _html(status: int, reason: str) -> str:
    title = f"{status} {reason}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
