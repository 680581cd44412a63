"""Checks what goes into paths, policies and roles before anything is sent. Pure; used by `kv`, `policies` and `roles`.

A server takes nearly everything: it makes policy names lower-case, drops what it does not understand of a role, and
reads a wildcard wherever it finds one. So what would not be stored as it was meant is refused here. `field` is what
messages call the value: a field of the specification, a setting.
"""

from __future__ import annotations

import ipaddress
import re

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.errors import RejectedError

_LOWER = re.compile(r"[a-z0-9_-]([a-z0-9._-]*[a-z0-9_-])?")
_EITHER = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_AUDIENCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9/])?")
_LONGEST, _LONGEST_PATH = 128, 512
#: Policies that servers keep for themselves.
_RESERVED = frozenset({"root", "default", "response-wrapping", "control-group"})


def path(text: str, field: str) -> str:
    """Return a path below a mount, such as `biospark/prod`, or a prefix of one."""
    return _segments(text, field, _LOWER, "lower-case letters")


def mount(text: str, field: str) -> str:
    """Return the path of a mount, or of a namespace. Administrators choose these, and case counts in them."""
    return _segments(text, field, _EITHER, "letters")


def policy(text: str, field: str) -> str:
    """Return the name of a policy: one that a server keeps as it is."""
    if text in _RESERVED:
        raise _refused(field, f"{text} is a policy of the server itself; write another name")
    return _segment(text, field)


def role(text: str, field: str) -> str:
    """Return the name of a role of the Kubernetes auth method."""
    return _segment(text, field)


def account(text: str, field: str) -> str:
    """Return the name of a ServiceAccount or of its namespace; never a pattern that stands for several."""
    if len(text) > 253 or not _ACCOUNT.fullmatch(text):
        raise _refused(field, "write the name of one, in lower-case letters, digits, hyphens and dots; no wildcards")
    return text


def audience(text: str, field: str) -> str:
    """Return an audience: a role without one takes tokens that were meant for others."""
    if len(text) > _LONGEST_PATH or not _AUDIENCE.fullmatch(text):
        raise _refused(field, "write an audience of letters, digits and . _ : / -, such as vault; no wildcards")
    return text


def cidr(text: str, field: str) -> str:
    """Return a range of addresses; one with bits outside of its mask would be stored as another one."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise _refused(field, "write a range of addresses such as 10.0.0.0/8, without bits outside of it") from None


def _segment(text: str, field: str) -> str:
    if len(text) > _LONGEST or not _LOWER.fullmatch(text):
        raise _refused(
            field,
            f"write at most {_LONGEST} lower-case letters, digits, hyphens, underscores and dots, beginning and ending "
            "with none of these dots; no wildcards",
        )
    return text


def _segments(text: str, field: str, form: re.Pattern[str], letters: str) -> str:
    if len(text) > _LONGEST_PATH or not all(form.fullmatch(segment) for segment in text.split("/")):
        raise _refused(
            field,
            f"write segments of {letters}, digits, hyphens, underscores and dots, separated by single slashes, such "
            "as biospark/prod; no segment begins or ends with a dot, and there are no wildcards",
        )
    return text


def _refused(field: str, rest: str) -> RejectedError:
    return RejectedError(f"{field}: {rest}", reason=Reason.INVALID_SPEC)
