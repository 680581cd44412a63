"""The kinds of entity that the stand-in has, with their schemas.

Services, routes, consumers, JWT credentials, plugins, certificates and SNIs: what the operator writes. What a plugin
may be configured with is in `plugins`; here it is only put together with what all plugins have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.fakes.kong import names
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins import jwt, rate_limiting
from tests.fakes.kong.plugins.catalog import PLUGINS
from tests.fakes.kong.schema import (
    AtLeastOne,
    Check,
    Conditional,
    EntityCheck,
    Errors,
    Schema,
    about_all,
    elements,
    foreign,
    string,
)

_ID = string(uuid=True, auto=True)
_TIME = {"type": "integer", "timestamp": True, "auto": True}
_TAGS = {"type": "set", "elements": elements(check=names.tag)}
_NO_EMPTY_SEGMENTS = [{"pattern": "//", "err": "must not have empty segments"}]
_PORT = {"type": "integer", "between": [0, 65535]}
_TIMEOUT = {"type": "integer", "between": [1, 2147483646], "default": 60000}
_PROTOCOLS = ("grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp")


@dataclass(frozen=True)
class Kind:
    """A collection of entities."""

    name: str
    schema: Callable[[Mapping[str, Any]], Schema]
    #: The field that may stand for the id in a path.
    key: str | None = None
    #: Why a text in a path cannot be that.
    key_error: Check = lambda _: None
    #: Fields of which each value is there once.
    unique: Sequence[str] = ()
    #: Fields that together are there once.
    unique_together: Sequence[str] = ()
    #: Fields that refer to an entity of another kind, and that kind.
    references: Mapping[str, str] = field(default_factory=dict)
    #: Those of them with which it goes when the other is deleted.
    cascade: frozenset[str] = frozenset()
    #: Fields that are made where nothing is given.
    generated: Sequence[str] = ()
    #: Turns a body as clients write it into fields.
    shorthand: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


def kinds(version: Version) -> Mapping[str, Kind]:
    """Return the kinds by the names of their collections in the schemas of Kong."""
    jwt_secrets = _jwt_secret(version)
    return {
        "services": Kind(
            "services",
            lambda _: SERVICE,
            key="name",
            key_error=names.name,
            unique=("name",),
            references={"client_certificate": "certificates"},
            shorthand=_with_url,
        ),
        "routes": Kind(
            "routes",
            lambda _: ROUTE,
            key="name",
            key_error=names.name,
            unique=("name",),
            references={"service": "services"},
            shorthand=_without_stripping,
        ),
        "consumers": Kind("consumers", lambda _: CONSUMER, key="username", unique=("username", "custom_id")),
        "jwt_secrets": Kind(
            "jwt_secrets",
            lambda _: jwt_secrets,
            key="key",
            unique=("key",),
            references={"consumer": "consumers"},
            cascade=frozenset({"consumer"}),
            generated=("key", "secret"),
        ),
        "plugins": Kind(
            "plugins",
            lambda body: plugin(body.get("name"), version),
            key="instance_name",
            key_error=names.name,
            unique=("instance_name",),
            unique_together=("consumer", "name", "route", "service"),
            references={"service": "services", "route": "routes", "consumer": "consumers"},
            cascade=frozenset({"service", "route", "consumer"}),
            shorthand=_with_redis if version.since(3, 6) else dict,
        ),
        "certificates": Kind("certificates", lambda _: CERTIFICATE),
        "snis": Kind(
            "snis",
            lambda _: SNI,
            key="name",
            key_error=names.sni,
            unique=("name",),
            references={"certificate": "certificates"},
            cascade=frozenset({"certificate"}),
        ),
    }


# Services


def _only_with_tls(field: str) -> Conditional:
    return Conditional("protocol", {"not_one_of": ["https", "tls"]}, field, {"eq": None})


SERVICE = Schema(
    {
        "id": _ID,
        "created_at": _TIME,
        "updated_at": _TIME,
        "name": string(unique=True, check=names.name),
        "retries": {"type": "integer", "between": [0, 32767], "default": 5},
        "protocol": string(default="http", required=True, one_of=list(_PROTOCOLS)),
        "host": string(required=True, check=names.host),
        "port": {**_PORT, "required": True, "default": 80},
        "path": string(starts_with="/", match_none=_NO_EMPTY_SEGMENTS),
        "connect_timeout": _TIMEOUT,
        "write_timeout": _TIMEOUT,
        "read_timeout": _TIMEOUT,
        "tags": _TAGS,
        "client_certificate": foreign("certificates"),
        "tls_verify": {"type": "boolean"},
        "tls_verify_depth": {"type": "integer", "between": [0, 64], "default": None},
        "ca_certificates": {"type": "array", "elements": elements(uuid=True)},
        "enabled": {"type": "boolean", "required": True, "default": True},
    },
    (
        Conditional("protocol", {"one_of": ["tcp", "tls", "udp", "grpc", "grpcs"]}, "path", {"eq": None}),
        _only_with_tls("client_certificate"),
        _only_with_tls("tls_verify"),
        _only_with_tls("tls_verify_depth"),
        _only_with_tls("ca_certificates"),
    ),
)


def _with_url(body: Mapping[str, Any]) -> Mapping[str, Any]:
    url, rest = body.get("url"), {name: value for name, value in body.items() if name != "url"}
    if not isinstance(url, str):
        return rest if url is None else body
    protocol, _, address = url.partition("://")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.netloc.rpartition("@")[2], parts.port
    except ValueError:
        return {**rest, "protocol": protocol, "host": None}
    host = (host.removesuffix(f":{port}") if port else host).strip("[]")
    port = port or (443 if protocol == "https" else 80)
    return {**rest, "protocol": protocol, "host": host or None, "port": port, "path": parts.path or None}


# Routes


def _protocols(values: Sequence[str]) -> str | None:
    families = {"http": ("http", "https"), "tcp": ("tcp", "tls", "udp"), "grpc": ("grpc", "grpcs")}
    families["tls_passthrough"] = ("tls_passthrough",)
    family_of = {name: family for family in families.values() for name in family}
    if not values:
        return "unknown type: nil"
    if unknown := next((value for value in values if value not in family_of), None):
        return f"unknown type: {unknown}"
    found = sorted({family_of[value] for value in values})
    if len(found) < 2:
        return None
    shown = ", ".join("(" + ", ".join(f"'{name}'" for name in family) + ")" for family in found)
    return f"these sets are mutually exclusive: {shown}"


def _no_host_header(headers: Mapping[str, Any]) -> str | None:
    if any(name.lower() == "host" for name in headers):
        return "cannot contain 'host' header, which must be specified in the 'hosts' attribute"
    return None


def _matchers(_: Schema, route: Mapping[str, Any], errors: Errors, __: bool) -> None:
    """Ask for what makes a route match, and refuse what its protocols do not have."""
    if "protocols" in errors:
        return
    protocols = set(route["protocols"])
    http, grpc = protocols & {"http", "https"}, protocols & {"grpc", "grpcs"}
    if route["snis"] and not protocols & {"https", "grpcs", "tls", "tls_passthrough"}:
        about_all(errors, "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'")
        errors["snis"] = "length must be 0"
    if http or grpc:
        family = "'http' or 'https'" if http else "'grpc' or 'grpcs'"
        wanted = ["methods", "hosts", "headers", "paths"] if http else ["hosts", "headers", "paths"]
        refused = ["sources", "destinations"] + ([] if http else ["methods"])
        if secure := protocols & {"https", "grpcs"}:
            wanted.append("snis")
        when = f"'{next(iter(secure or http or grpc))}'"
        if grpc and route["strip_path"]:
            errors["strip_path"] = f"cannot set 'strip_path' when 'protocols' is {family}"
    else:
        family = when = "'tcp', 'tls' or 'udp'"
        wanted, refused = ["sources", "destinations", "snis"], ["methods", "hosts", "paths", "headers"]
    for name in refused:
        if route[name]:
            errors[name] = f"cannot set '{name}' when 'protocols' is {family}"
    if not any(route[name] or name in errors for name in wanted):
        listed = ", ".join(f"'{name}'" for name in wanted)
        about_all(errors, f"must set one of {listed} when 'protocols' is {when}")


def _without_stripping(body: Mapping[str, Any]) -> Mapping[str, Any]:
    protocols = body.get("protocols")
    grpc = isinstance(protocols, list) and any(one in ("grpc", "grpcs") for one in protocols)
    return {"strip_path": False, **body} if grpc else body


_ADDRESSES = {
    "type": "set",
    "elements": {"type": "record", "required": True, "fields": {"ip": string(), "port": _PORT}},
}
_PATH_STARTS = {"patterns": ["^/", "^~/"], "err": "should start with: / (fixed path) or ~/ (regex path)"}

ROUTE = Schema(
    {
        "id": _ID,
        "created_at": _TIME,
        "updated_at": _TIME,
        "name": string(unique=True, check=names.name),
        "protocols": {
            "type": "set",
            "required": True,
            "default": ["http", "https"],
            "elements": elements(one_of=list(_PROTOCOLS)),
            "check": _protocols,
        },
        "https_redirect_status_code": {
            "type": "integer",
            "required": True,
            "default": 426,
            "one_of": [426, 301, 302, 307, 308],
        },
        "strip_path": {"type": "boolean", "required": True, "default": True},
        "preserve_host": {"type": "boolean", "required": True, "default": False},
        "request_buffering": {"type": "boolean", "required": True, "default": True},
        "response_buffering": {"type": "boolean", "required": True, "default": True},
        "tags": _TAGS,
        "service": foreign("services"),
        "snis": {"type": "set", "elements": elements(check=names.server_name)},
        "sources": _ADDRESSES,
        "destinations": _ADDRESSES,
        "methods": {"type": "set", "elements": elements(match_any={"patterns": ["^[A-Z]+$"]})},
        "hosts": {"type": "array", "elements": elements(check=names.route_host)},
        "paths": {
            "type": "array",
            "elements": elements(match_none=_NO_EMPTY_SEGMENTS, match_any=_PATH_STARTS, check=names.route_path),
        },
        "headers": {
            "type": "map",
            "keys": string(check=names.header_name),
            "values": {"type": "array", "elements": elements()},
            "check": _no_host_header,
        },
        "regex_priority": {"type": "integer", "default": 0},
        "path_handling": string(default="v0", one_of=["v0", "v1"]),
    },
    (_matchers,),
)

# Consumers and their credentials

CONSUMER = Schema(
    {
        "id": _ID,
        "created_at": _TIME,
        "updated_at": _TIME,
        "username": string(unique=True),
        "custom_id": string(unique=True),
        "tags": _TAGS,
    },
    (AtLeastOne(("custom_id", "username")),),
)


def _jwt_secret(version: Version) -> Schema:
    algorithms = jwt.algorithms(version)
    checked = [name for name in algorithms if name[:2] in ("RS", "PS")]
    return Schema(
        {
            "id": _ID,
            "created_at": _TIME,
            "consumer": foreign("consumers", required=True, on_delete="cascade"),
            "key": string(required=False, unique=True, auto=True),
            "secret": string(auto=True),
            "rsa_public_key": string(),
            "algorithm": string(default="HS256", one_of=list(algorithms)),
            "tags": _TAGS,
        },
        (
            Conditional(
                "algorithm",
                {"match_any": {"patterns": [f"^{name}$" for name in checked]}},
                "rsa_public_key",
                {"required": True, "check": jwt.public_key_error},
            ),
        ),
    )


# Plugins


def plugin(name: Any, version: Version) -> Schema:
    """Return the schema of a plugin with its configuration. Of an unknown one only the name is judged."""
    if name not in PLUGINS:
        return Schema({"name": {"type": "string", "required": True, "check": _not_enabled}}, closed=False)
    definition = PLUGINS[name].definition(version)
    return Schema(
        {
            "id": _ID,
            "created_at": _TIME,
            "updated_at": _TIME,
            "name": string(required=True),
            "instance_name": string(unique=True, check=names.name),
            "service": foreign("services", on_delete="cascade"),
            "route": foreign("routes", on_delete="cascade"),
            "consumer": foreign("consumers", **({} if definition.per_consumer else {"eq": None})),
            **definition.fields,
            "enabled": {"type": "boolean", "required": True, "default": True},
            "tags": _TAGS,
        },
        definition.checks,
    )


def _with_redis(body: Mapping[str, Any]) -> Mapping[str, Any]:
    config = body.get("config")
    if body.get("name") != "rate-limiting" or not isinstance(config, dict):
        return body
    return {**body, "config": rate_limiting.with_redis(config)}


def _not_enabled(name: str) -> str:
    return f"plugin '{name}' not enabled; add it to the 'plugins' configuration property"


# Certificates


def _certificate(value: str) -> str | None:
    try:
        x509.load_pem_x509_certificate(value.encode())
    except ValueError as error:
        return f"invalid certificate: x509.new: {error}"
    return None


def _private_key(value: str) -> str | None:
    try:
        load_pem_private_key(value.encode(), None)
    except (ValueError, TypeError) as error:
        return f"invalid key: pkey.new: {error}"
    return None


def _belong_together(_: Schema, entity: Mapping[str, Any], errors: Errors, __: bool) -> None:
    for cert, key in (("cert", "key"), ("cert_alt", "key_alt")):
        if cert in errors or key in errors or not (entity[cert] and entity[key]):
            continue
        public = x509.load_pem_x509_certificate(entity[cert].encode()).public_key()
        private = load_pem_private_key(entity[key].encode(), None).public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public.public_bytes(*form) != private.public_bytes(*form):
            about_all(errors, "certificate does not match key")


_PAIR_CHECKS: Sequence[EntityCheck] = (_belong_together,)

CERTIFICATE = Schema(
    {
        "id": _ID,
        "created_at": _TIME,
        "updated_at": _TIME,
        "cert": string(required=True, check=_certificate),
        "key": string(required=True, check=_private_key),
        "cert_alt": string(check=_certificate),
        "key_alt": string(check=_private_key),
        "tags": _TAGS,
    },
    _PAIR_CHECKS,
)

SNI = Schema(
    {
        "id": _ID,
        "created_at": _TIME,
        "updated_at": _TIME,
        "name": string(required=True, unique=True, check=names.sni),
        "certificate": foreign("certificates", required=True),
        "tags": _TAGS,
    }
)
