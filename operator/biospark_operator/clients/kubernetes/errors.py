"""Turns what goes wrong with the API server into the vocabulary of `engine.errors`. Pure; used by `client`.

The messages reach conditions and Events, so they are the same on every try and say what to do. What the API
server says about a Secret is left out: its validation and its webhooks quote values.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.errors import (
    AccessError,
    FieldConflictError,
    OutsideError,
    RejectedError,
    UnavailableError,
)

#: What a request may raise, whatever went wrong. `ValueError` is an answer that is not JSON.
FAULTS = (ApiException, ConfigException, aiohttp.ClientError, TimeoutError, OSError, ValueError)

_CONFLICT = re.compile(r'conflicts? with "(?P<manager>[^"]+)"')
#: Admission refused what was sent. It chooses the code itself, so the text tells, not the code.
_DENIED = (
    (re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request(?:: (?P<why>.*))?', re.DOTALL), "webhook"),
    (
        re.compile(r"AdmissionPolicy '(?P<name>[^']+)' with binding '[^']*' denied request: (?P<why>.*)", re.DOTALL),
        "policy",
    ),
)
#: Server-side apply met a field that the definition of the kind does not have, which the API server calls its own
#: failure. What it adds about a field that has another type is its value.
_SCHEMA = re.compile(r"failed to create typed \w+ object")
_FIELD = re.compile(r"\.(?P<field>[^\s:]+): (?P<fault>field not declared in schema|duplicate entries|expected \w+)")
_WEBHOOK = re.compile(r'failed calling webhook "(?P<name>[^"]+)"')
#: The authorizer's own words on Secrets, which hold no value; those of webhooks may, and have another form.
_NO_RIGHT = re.compile(
    r'secrets (?:"[^"]*" )?is forbidden: User "[^"]*" '
    r'(?P<right>cannot (?:get|list|watch|create|update|patch|delete) resource "secrets" in API group "")'
)
#: How much of a quota is used changes by the minute; a message that changes is a new Event each time.
#: A quota that is not the environment's own.
_QUOTA = re.compile(r"exceeded quota: (?!biospark-quota\b)(?P<name>[^,]+),")
_USED = re.compile(r", used: .*?(?=, limited:|$)")


class MissingError(RejectedError):
    """404: the object, its namespace or its kind does not exist."""


class UnservedError(MissingError):
    """404 for the path itself: the API server does not serve the kind, or not any more."""


class ConflictError(UnavailableError):
    """409: somebody else was faster, or the object is another one than was meant."""


def translated(error: Exception, purpose: str, *, confidential: bool = False) -> OutsideError:
    """Say in our vocabulary what `error` means for someone who wanted to `purpose` ("apply Service a/b").

    `confidential` says that the object may hold secrets, so nothing of the API server's words is repeated.
    """
    if not isinstance(error, ApiException):
        return _unanswered(error, purpose)
    text = "" if confidential else _message_of(error)
    if denied := _denied(error, purpose, confidential=confidential):
        return denied
    match error.status:
        case 401:
            return AccessError(f"could not {purpose}: the API server does not accept the operator's credentials")
        case 403:
            return _forbidden(error, purpose, text)
        case 404 if not _status_of(error):
            return UnservedError(_sentence(purpose, "the API server does not serve its kind"))
        case 404:
            return MissingError(_sentence(purpose, text or "it does not exist"))
        case 409 if conflict := _conflict(error):
            return FieldConflictError(
                f"could not {purpose}: {conflict}; let that manager give the field up, or delete the object"
            )
        case 409:
            return ConflictError(f"{_sentence(purpose, text or 'it was changed meanwhile')}; retrying")
        case 408 | 410 | 412 | 423 | 425 | 429 | None:
            said = text if error.status != 410 else "what was read is outdated"
            return UnavailableError(
                f"{_sentence(purpose, said or 'not now')}; retrying", retry_after=_retry_after(error)
            )
        case 500 if _SCHEMA.search(_message_of(error)):
            return RejectedError(f"could not {purpose}: {_unfitting(_message_of(error))}")
        case status if status >= 500:
            return UnavailableError(
                f"could not {purpose}: {_failure(error, status)}; retrying", retry_after=_retry_after(error)
            )
        case _:
            return RejectedError(_sentence(purpose, text or _refused_fields(error)))


def _sentence(purpose: str, said: str) -> str:
    return f"could not {purpose}: {said}"


def _unanswered(error: Exception, purpose: str) -> OutsideError:
    match error:
        case ConfigException():
            return AccessError(f"could not {purpose}: the operator's credentials can't be read")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            why = "no secure connection to the API server; check its certificate and the CA it is trusted by"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            why = "the proxy does not lead to the API server; correct HTTPS_PROXY, or name the server in NO_PROXY"
        case ValueError():
            why = "the answer is not one of an API server; check what stands between it and the operator"
        case _:
            why = "no answer from the API server"
    return UnavailableError(f"could not {purpose}: {why}; retrying")


def _denied(error: ApiException, purpose: str, *, confidential: bool) -> RejectedError | None:
    """Say who of the cluster's admission refuses what was sent, or return None where none does."""
    for pattern, what in _DENIED:
        if found := pattern.search(_message_of(error)):
            why = "" if confidential else (found["why"] or "").strip().rstrip(".")
            said = f"the admission {what} {found['name']} refuses it" + (f": {why}" if why else "")
            return RejectedError(f"could not {purpose}: {said}; change the environment, or ask its owner to allow it")
    return None


def _unfitting(message: str) -> str:
    """Say which fields don't fit the cluster's definition of a kind, without their values."""
    faults = {match["field"]: match["fault"] for match in _FIELD.finditer(message)}
    unknown = sorted(field for field, fault in faults.items() if fault.startswith("field"))
    if unknown:
        return (
            f"the cluster's definition of the kind does not have {', '.join(unknown)}; install a version of it that "
            "has, or a version of the operator that fits the cluster"
        )
    told = ", ".join(f"{field} ({fault})" for field, fault in sorted(faults.items()))
    return f"it does not fit the cluster's definition of the kind{': ' if told else ''}{told}"


def _forbidden(error: ApiException, purpose: str, text: str) -> OutsideError:
    """403 has four meanings, which only the text tells apart. It is read here also where it is not repeated."""
    said = _message_of(error)
    if "is being terminated" in said:
        return UnavailableError(
            f"could not {purpose}: its namespace is being deleted; retrying when it is gone",
            reason=Reason.NAMESPACE_TERMINATING,
        )
    if "custom resource definition is terminating" in said:
        return UnavailableError(
            f"could not {purpose}: the definition of its kind is being deleted; retrying when it is gone",
            reason=Reason.DEFINITION_MISSING,
        )
    if "exceeded quota" in said:
        why = _USED.sub("", text) or "it exceeds the quota of its namespace"
        foreign = _QUOTA.search(said)
        raised = f"the ResourceQuota {foreign['name']}" if foreign else "spec.namespace.quota"
        return RejectedError(f"{_sentence(purpose, why)}; raise {raised} or ask for less")
    right = _NO_RIGHT.match(said)
    denied = text or (f"the operator {right['right']}" if right else "access denied")
    return AccessError(f"{_sentence(purpose, denied)}; grant the operator this right")


def _conflict(error: ApiException) -> str | None:
    """Say which managers hold which fields, as in "helm manages spec.selector", or None for other conflicts."""
    held: dict[str, set[str]] = {}
    for cause in _causes(error):
        if found := _CONFLICT.search(str(cause.get("message"))):
            held.setdefault(found["manager"], set()).add(str(cause.get("field", "")).removeprefix("."))
    if not held:
        held = {manager: set() for manager in _CONFLICT.findall(_message_of(error))}
    return "; ".join(f"{manager} manages {_listed(fields)}" for manager, fields in sorted(held.items())) or None


def _listed(fields: set[str]) -> str:
    return ", ".join(sorted(field for field in fields if field)) or "a field"


def _failure(error: ApiException, status: int) -> str:
    if webhook := _WEBHOOK.search(_message_of(error)):
        return f"the webhook {webhook['name']} does not answer; repair it, or remove its configuration"
    return f"the API server failed ({status})"


def _refused_fields(error: ApiException) -> str:
    fields = {str(cause.get("field", "")) for cause in _causes(error)}
    return f"the API server refuses {_listed(fields)}" if fields else "the API server refuses it"


def _status_of(error: ApiException) -> Mapping[str, Any]:
    try:
        body = json.loads(error.body or "{}")
    except (TypeError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _message_of(error: ApiException) -> str:
    """Return what the API server says. Some answers are no Status but plain text; what is behind a proxy is HTML."""
    plain = error.body.strip() if isinstance(error.body, str) else ""
    plain = "" if plain.startswith(("<", "{", "[")) or "\n" in plain or plain == "null" else plain
    return str(_status_of(error).get("message") or plain or error.reason or "")


def _causes(error: ApiException) -> list[Mapping[str, Any]]:
    causes = (_status_of(error).get("details") or {}).get("causes") or ()
    return [cause for cause in causes if isinstance(cause, dict)]


def _retry_after(error: ApiException) -> float | None:
    """Return the seconds that the answer asks us to wait: RFC 9110 allows a number and a date."""
    value = str((error.headers or {}).get("Retry-After") or "")
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
