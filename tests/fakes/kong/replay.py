"""Replays what was recorded from a real Kong against the stand-in, and says where answers differ.

`recordings/` has whole scenarios (requests with the answers of Kong 3.4.2) and single schema cases (3.4.2 and 3.9.1).
They are read here only, to compare: no answer of the stand-in comes from them. Volatile values are placeholders:
`<uuid:1>` is bound by the first answer that shows it, `<time>` is any number.
"""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt as tokens
from cryptography import x509

from tests.fakes.kong.gateway import Gateway
from tests.fakes.kong.identity import MARK

RECORDINGS = Path(__file__).parent / "recordings"
#: Areas of the recordings that the stand-in is for.
AREAS = (
    "services",
    "routes",
    "consumers",
    "jwt-credentials",
    "plugins",
    "certificates",
    "tags",
    "pagination",
    "generic",
    "information",
    "status",
    "routing",
    "jwt",
    "rate-limiting",
    "precedence",
    "cors",
    "request-size",
    "tls",
)
#: Collections and plugins of Kong that it does not have.
_OTHER_COLLECTIONS = frozenset(
    {"upstreams", "targets", "ca_certificates", "key-auth", "key-auths", "acls", "basic-auths", "vaults", "keys"}
    | {"key-sets", "metrics"}
)
_OTHER_PLUGINS = frozenset(
    {"acl", "correlation-id", "ip-restriction", "key-auth", "prometheus", "request-termination"}
    | {"response-transformer"}
)
#: Headers of which a recording has all that were there.
_COMPLETE = re.compile(
    r"allow|ratelimit-.*|x-.*|access-control-.*|retry-after|www-authenticate|location|via|server|vary"
)
_PLACEHOLDER = re.compile(r"<(uuid|secret|offset|time|seconds|ms|n|hash|yaml|openssl)(?::\d+)?>")
_SHAPES = {
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "secret": r"[A-Za-z0-9_-]{16,}",
    "seconds": r"[1-9][0-9]*",
    "ms": r"[0-9]+",
}


@dataclass
class Clock:
    """The time of the stand-in; it stands still until a scenario waits."""

    now: float

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Scenario:
    """One recorded scenario."""

    name: str
    area: str
    mode: str
    steps: Sequence[Mapping[str, Any]]
    window: int | None = None

    @property
    def covered(self) -> bool:
        """Whether the stand-in is to match it."""
        return self.area in AREAS and self.foreign() is None

    def foreign(self) -> str | None:
        """Return what of Kong it needs that the stand-in does not have, or None."""
        if self.mode != "postgres":
            return "declarative configuration"
        return next(filter(None, map(_foreign, self.steps)), None)

    def beginning(self) -> Scenario:
        """Return the steps until the first that needs what the stand-in does not have."""
        steps: Sequence[Mapping[str, Any]] = self.steps if self.mode == "postgres" else ()
        return replace(self, steps=list(itertools.takewhile(lambda step: _foreign(step) is None, steps)))


def _foreign(step: Mapping[str, Any]) -> str | None:
    """Return what of Kong a step needs that the stand-in does not have, or None."""
    request = step["request"]
    parts = set(request["path"].partition("?")[0].split("/"))
    if other := parts & (_OTHER_COLLECTIONS | _OTHER_PLUGINS):
        return f"/{min(other)}"
    body = request.get("body")
    if not isinstance(body, dict):
        return None
    if body.get("name") in list(_OTHER_PLUGINS):
        return f"plugin {body['name']}"
    return "/ca_certificates" if "ca_certificates" in body else None


@dataclass(frozen=True)
class Recordings:
    """All scenarios, and the keys and tokens that stand for placeholders."""

    scenarios: Sequence[Scenario]
    fixtures: Mapping[str, Any]

    @classmethod
    def read(cls) -> Recordings:
        recorded = _read("transcripts")
        known = ("name", "area", "mode", "steps", "window")
        scenarios = [Scenario(**{key: one[key] for key in known if key in one}) for one in recorded["scenarios"]]
        return cls(scenarios, recorded["fixtures"])


def vectors() -> Sequence[Mapping[str, Any]]:
    """Return the recorded schema cases."""
    cases: Sequence[Mapping[str, Any]] = _read("vectors")["cases"]
    return cases


def _read(name: str) -> Any:
    return json.loads(gzip.decompress((RECORDINGS / f"{name}.json.gz").read_bytes()))


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    certificate: x509.Certificate | None = None


@dataclass(frozen=True)
class Difference:
    """Where an answer is not the recorded one; `wording` where only the message of a refusal is not."""

    step: int
    what: str
    wording: bool = False

    def __str__(self) -> str:
        return f"step {self.step}: {self.what}"


@dataclass
class Report:
    """What matched, and what is not covered, by area."""

    differences: dict[tuple[str, str], Sequence[Difference]] = field(default_factory=dict)
    _matching: dict[str, list[bool]] = field(default_factory=dict)
    _not_covered: dict[str, list[str]] = field(default_factory=dict)

    def played(self, scenario: Scenario, differences: Sequence[Difference]) -> None:
        if differences:
            self.differences[scenario.area, scenario.name] = differences
        matching = all(difference.wording for difference in differences)
        self._matching.setdefault(scenario.area, []).append(matching)

    def left_out(self, scenario: Scenario) -> None:
        why = scenario.foreign() or "an area of its own"
        self._not_covered.setdefault(scenario.area, []).append(f"{scenario.name} ({why})")

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of the covered scenarios that match, by area."""
        return {area: sum(matching) / len(matching) for area, matching in self._matching.items()}

    def __str__(self) -> str:
        every = [one for matching in self._matching.values() for one in matching]
        lines = [f"{sum(every)} of {len(every)} scenarios match ({sum(every) / len(every):.0%})"]
        lines += [
            f"  {area}: {sum(one)} of {len(one)} ({sum(one) / len(one):.0%})" for area, one in self._matching.items()
        ]
        for (area, name), differences in self.differences.items():
            lines += [f"different: {area}: {name}", *(f"    {difference}" for difference in differences)]
        for area, names in self._not_covered.items():
            lines += [f"not covered: {area}: {name}" for name in names]
        return "\n".join(lines)


@dataclass
class Player:
    """Plays scenarios, one after the other, on a gateway that is emptied before each."""

    gateway: Gateway
    clock: Clock
    upstream_port: int
    fixtures: Mapping[str, Any]
    _bound: dict[str, str] = field(default_factory=dict)

    def play(self, scenario: Scenario) -> Sequence[Difference]:
        """Return where the answers differ. Blocks; sends one request after the other."""
        self.gateway.restart_empty()
        window = scenario.window or 3600
        self.clock.now = self.clock.now - self.clock.now % window
        self._bound = {name: self._fixture(value) for name, value in self.fixtures.items()}
        differences: list[Difference] = []
        for number, recorded in enumerate(scenario.steps, 1):
            step = self._with_ports(recorded)
            self.clock.now += step.get("wait", 0)
            reply = self._send(step["target"], step["request"])
            differences += (
                Difference(number, f"{step['request']['method']} {step['request']['path'][:80]}: {what}", wording)
                for what, wording in self._compare(step["request"], step["response"], reply)
            )
        return differences

    # Sending

    def _fixture(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        claims = {
            name: int(self.clock.now + float(one[3:])) if isinstance(one, str) and one.startswith("now") else one
            for name, one in value["claims"].items()
        }
        key = tokens.get_algorithm_by_name(value["alg"])
        head = tokens.utils.base64url_encode(json.dumps({"alg": value["alg"], "typ": "JWT"}).encode())
        signed = head + b"." + tokens.utils.base64url_encode(json.dumps(claims).encode())
        signature = key.sign(signed, key.prepare_key(value["secret"]))
        return (signed + b"." + tokens.utils.base64url_encode(signature)).decode()

    def _with_ports(self, step: Mapping[str, Any]) -> Any:
        text = json.dumps(step).replace("18080", str(self.upstream_port))
        for recorded, name in (("8000", "proxy"), ("8443", "secure")):
            told = '"x-forwarded-port": "{}"'
            text = text.replace(told.format(recorded), told.format(self.gateway.ports[name]))
        return json.loads(text)

    def _filled(self, value: Any) -> Any:
        """Return a value of a request with what its placeholders stand for."""
        if isinstance(value, str):
            return re.sub(r"<[^<>]+:[^<>]+>", lambda found: self._bound.get(found[0], found[0]), value)
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, dict):
            return {name: self._filled(one) for name, one in value.items()}
        return value

    def _send(self, target: str, request: Mapping[str, Any]) -> Reply:
        name = "secure" if "tls" in request else target
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.ports[name], timeout=20)
        try:
            certificate = _secured(connection, request["tls"].get("sni")) if name == "secure" else None
            headers = self._filled(request.get("headers", {}))
            body = self._content(request)
            connection.putrequest(
                request["method"], self._filled(request["path"]), skip_host=True, skip_accept_encoding=True
            )
            if "Host" not in headers:
                connection.putheader("Host", f"127.0.0.1:{self.gateway.ports[name]}")
            for header, value in headers.items():
                for one in value if isinstance(value, list) else [value]:
                    connection.putheader(header, one)
            if "body" in request and "Content-Type" not in headers:
                connection.putheader("Content-Type", "application/json")
            if body is not None or request["method"] in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            got = connection.getresponse()
            return Reply(got.status, got.getheaders(), got.read(), certificate)
        finally:
            connection.close()

    def _content(self, request: Mapping[str, Any]) -> bytes | None:
        if "body" in request:
            return json.dumps(self._filled(request["body"])).encode()
        raw = request.get("raw")
        if isinstance(raw, dict):
            return (raw["repeat"] * raw["times"]).encode()
        return None if raw is None else self._filled(raw).encode()

    # Comparing

    def _compare(
        self, request: Mapping[str, Any], wanted: Mapping[str, Any], reply: Reply
    ) -> Iterator[tuple[str, bool]]:
        """Give what differs, and whether it is wording only."""
        if reply.status != wanted["status"]:
            yield f"status {reply.status} instead of {wanted['status']}: {reply.body[:200]!r}", False
            return
        for what in self._headers(wanted.get("headers", {}), reply.headers):
            yield what, False
        if "tls" in wanted and not self._same_certificate(wanted["tls"], reply.certificate):
            yield "another certificate", False
        if request["method"] == "HEAD":
            return
        got = _content_of(reply)
        if "body_keys" in wanted:
            if sorted(got) != sorted(wanted["body_keys"]):
                yield f"keys {sorted(got)}", False
        elif "body" in wanted:
            yield from self._body(wanted, got)

    def _body(self, wanted: Mapping[str, Any], got: Any) -> Iterator[tuple[str, bool]]:
        body = wanted["body"]
        for key in wanted.get("dropped", ()):
            got = _without(got, key)
        for key in wanted.get("unordered", ()):
            body, got = {**body, key: _sorted(body[key])}, {**got, key: _sorted(got[key])}
        if wanted.get("partial"):
            got = {key: value for key, value in got.items() if key in body}
            body = {key: value for key, value in body.items() if value is not None or key in got}
        coded = isinstance(body, dict) and "code" in body and isinstance(got, dict)
        ours, theirs = (_without_message(one) if coded else one for one in (got, body))
        if not self._same(theirs, ours):
            yield f"body {json.dumps(got)[:700]} instead of {json.dumps(body)[:700]}", False
        elif coded and not self._same(body["message"], got.get("message")):
            yield f"message {got.get('message')!r} instead of {body['message']!r}", True

    def _headers(self, wanted: Mapping[str, Any], got: Sequence[tuple[str, str]]) -> Iterator[str]:
        ours: dict[str, list[str]] = {}
        for name, value in got:
            ours.setdefault(name.lower(), []).append(value.replace(f" ({MARK})", ""))
        theirs = {name.lower(): value if isinstance(value, list) else [value] for name, value in wanted.items()}
        if "server" not in theirs and any(MARK in value for _, value in got):
            ours.pop("server", None)  # it says what it is where Kong says nothing, too
        for name, value in theirs.items():
            if not self._same(value, ours.get(name, [""] if value == [""] else None)):
                yield f"header {name}: {ours.get(name)} instead of {value}"
        for name in ours.keys() - theirs.keys():
            if _COMPLETE.fullmatch(name):
                yield f"header {name}: {ours[name]}, and there is none"

    def _same_certificate(self, wanted: Mapping[str, Any], got: x509.Certificate | None) -> bool:
        assert got is not None
        if wanted["certificate"] is None:
            return MARK in got.subject.rfc4514_string()
        recorded = x509.load_pem_x509_certificate(self._filled(wanted["certificate"]).encode())
        return got == recorded

    def _same(self, wanted: Any, got: Any) -> bool:
        if isinstance(wanted, dict):
            same_keys = isinstance(got, dict) and wanted.keys() == got.keys()
            return same_keys and all(self._same(wanted[key], got[key]) for key in wanted)
        if isinstance(wanted, list):
            same_length = isinstance(got, list) and len(wanted) == len(got)
            return same_length and all(self._same(*pair) for pair in zip(wanted, got, strict=True))
        if not isinstance(wanted, str):
            return bool(wanted == got and isinstance(wanted, bool) == isinstance(got, bool))
        if wanted in ("<time>", "<n>"):
            return isinstance(got, int | float)
        return isinstance(got, str) and self._same_text(wanted, got)

    def _same_text(self, wanted: str, got: str) -> bool:
        """Compare a text with placeholders, and bind those that are new."""
        wanted = self._filled(wanted)
        new: list[str] = []
        pattern, end = "", 0
        for found in _PLACEHOLDER.finditer(wanted):
            pattern += re.escape(wanted[end : found.start()]) + f"({_SHAPES.get(found[1], '.+')})"
            new.append(found[0])
            end = found.end()
        matched = re.fullmatch(pattern + re.escape(wanted[end:]), got, re.DOTALL)
        if matched is None:
            return False
        self._bound.update({name: value for name, value in zip(new, matched.groups(), strict=True) if ":" in name})
        return True


def _secured(connection: http.client.HTTPConnection, server_name: str | None) -> x509.Certificate:
    """Begin TLS on a connection, and return the certificate that is served."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((connection.host, connection.port), timeout=20)
    secured = context.wrap_socket(plain, server_hostname=server_name)
    connection.sock = secured
    served = secured.getpeercert(binary_form=True)
    assert served is not None
    return x509.load_der_x509_certificate(served)


def _content_of(reply: Reply) -> Any:
    text = reply.body.decode().replace(f" ({MARK})", "")
    if not text:
        return None
    kind = next((value for name, value in reply.headers if name.lower() == "content-type"), "")
    return json.loads(text) if kind.startswith("application/json") else text


def _without(value: Any, dropped: str) -> Any:
    if isinstance(value, dict):
        return {name: _without(one, dropped) for name, one in value.items() if name != dropped}
    return [_without(one, dropped) for one in value] if isinstance(value, list) else value


def _without_message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in body.items() if name != "message"}


def _sorted(values: Any) -> Any:
    def key(one: Any) -> str:
        named = {name: value for name, value in one.items() if name in ("name", "tag", "entity_id", "entity_name")}
        return json.dumps(named, sort_keys=True)

    return sorted(values, key=key) if isinstance(values, list) else values
