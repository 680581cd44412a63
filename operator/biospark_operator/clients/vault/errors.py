"""Turns what goes wrong with a Vault server into the vocabulary of `engine.errors`. Pure; used by `server`.

Status and text are looked at together: one status stands for many things, and one text too. The texts that something
depends on are all in here. Messages are made here; of what a server says only what names no value is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.errors import AccessError, OutsideError, RejectedError, UnavailableError

#: What a call may raise that got no answer.
FAULTS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)

#: Reasons that a server gives for itself, so that it is worth asking for its health.
STATES = frozenset({Reason.VAULT_SEALED, Reason.VAULT_NOT_INITIALIZED, Reason.VAULT_NO_LEADER, Reason.VAULT_FAILING})
#: Methods that change nothing.
READS = frozenset({"GET", "LIST", "HEAD"})
#: Statuses of a write that may have been carried out all the same.
_MAY_HAVE_WRITTEN = frozenset({500, 502, 504})
_DENIED = "permission denied"
_STANDBY = (
    "local node not active but active cluster node not found",
    "cannot find the leader",
    "error during forwarding RPC request",
)
_CONFLICT = re.compile(r"check-and-set parameter (?!required)")
_UPGRADING = "unavailable for a brief period"
_BINDING = re.compile(
    r"service account name not authorized|namespace not authorized|audience|bound|claim", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What a server answered. The body is never shown: it may hold secrets."""

    status: int
    method: str
    #: Below `/v1/`.
    path: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Whether it is something else than the protocol has.
    alien: bool = False
    location: str | None = None
    retry_after: float | None = None

    @property
    def errors(self) -> tuple[str, ...]:
        """What the server says of what went wrong."""
        told = self.body.get("errors")
        return tuple(str(text) for text in told) if isinstance(told, Sequence) and not isinstance(told, str) else ()

    @property
    def text(self) -> str:
        """All of that."""
        return " ".join(self.errors)

    @property
    def data(self) -> Mapping[str, Any]:
        """The payload of a good answer, empty where there is none."""
        found = self.body.get("data")
        return found if isinstance(found, Mapping) else {}

    @property
    def good(self) -> bool:
        """Whether it is what was asked for."""
        return 200 <= self.status < 300 and not self.alien

    @property
    def nothing(self) -> bool:
        """Whether it says that nothing is there, at a path that could have something."""
        return self.status == 404 and not self.errors and not self.data and not self.alien

    @property
    def behind(self) -> bool:
        """Whether a standby says that it has not caught up yet: the next moment it has."""
        return not self.alien and (self.status == 412 or (self.status == 429 and not self.errors))


class DeadTokenError(AccessError):
    """The token is not good any more."""


class MissingRightError(AccessError):
    """The token is good, and lacks a capability at a path."""


class ConflictError(UnavailableError):
    """Somebody wrote meanwhile."""


class UncertainError(UnavailableError):
    """A write may have been carried out, or not."""


class SilentError(UnavailableError):
    """Nobody answered at all, so there is no use in trying the next request at once."""


@dataclass(frozen=True)
class Health:
    """What a server says of itself. `skew` is how many seconds its clock is ahead of ours."""

    initialized: bool
    sealed: bool
    standby: bool
    version: str = ""
    skew: float = 0.0


#: Seconds between two clocks from which on tokens are refused for it.
SKEW = 60.0


def refused(answer: Answer, purpose: str, server: str) -> OutsideError:  # noqa: PLR0912 - a table
    """Say what an answer that is not good means for someone who wanted to `purpose` ("read the policy x")."""
    doing = f"could not {purpose} on {server}"
    if answer.alien and answer.status < 500:
        return UnavailableError(
            f"could not use {server}: what answers there is not a Vault server, or expects https; check the address; "
            "retrying",
            reason=Reason.VAULT_UNREACHABLE,
        )
    match answer.status:
        case status if 300 <= status < 400:
            return _elsewhere(answer, server)
        case 403:
            return _forbidden(answer, doing)
        case 404:
            return _not_found(answer, doing)
        case 429 if answer.errors:
            return UnavailableError(
                f"could not use {server}: a rate limit of it is exceeded; raise the quota, or wait; retrying",
                reason=Reason.VAULT_QUOTA_EXCEEDED,
                retry_after=answer.retry_after,
            )
        case 503:
            return _sealed(server)
        case 501:
            return _uninitialized(server)
        case 400 if _CONFLICT.search(answer.text):
            return ConflictError(f"{doing}: somebody else wrote meanwhile; looking again")
        case 400 if _UPGRADING in answer.text:
            return UnavailableError(f"{doing}: the engine is being upgraded; retrying")
        case 400 | 405 | 413:
            return RejectedError(f"{doing}: the server refuses the request (status {answer.status})")
        case 412 | 429 | 472 | 473 | 474 | 530:
            return _leaderless(server)
        case 500 if "value being too large" in answer.text:
            return RejectedError(f"{doing}: the value is too large for the server")
        case 500 if any(words in answer.text for words in _STANDBY):
            return _leaderless(server)
    problem = UncertainError if answer.status in _MAY_HAVE_WRITTEN and answer.method not in READS else UnavailableError
    return problem(
        f"could not use {server}: it met a fault (status {answer.status}), as when it can't write its audit log; see "
        "its log; retrying",
        reason=Reason.VAULT_FAILING,
    )


def login_refused(answer: Answer, login: str, server: str, health: Health | None, expired: bool) -> OutsideError:
    """Say what it means that a login was refused. `login` names mount and role, `expired` is what our token is."""
    doing = f"could not log in to {server} with {login}"
    if answer.status == 400 and "invalid role name" in answer.text:
        return AccessError(
            f"{doing}: the role does not exist; create it, or correct authRole", reason=Reason.VAULT_ROLE_MISSING
        )
    if answer.status == 403 and expired:
        return AccessError(
            f"{doing}: the token of the operator's ServiceAccount is expired; see the projected volume and the kubelet",
            reason=Reason.VAULT_LOGIN_REFUSED,
        )
    if answer.status in (400, 403) and health is not None and abs(health.skew) > SKEW:
        return UnavailableError(
            f"{doing}: the clocks of the server and of the operator differ by more than {SKEW:.0f} seconds; set them; "
            "retrying",
            reason=Reason.VAULT_CLOCK_SKEW,
        )
    if answer.status == 403 and answer.text == _DENIED:
        return AccessError(
            f"{doing}: permission denied, for which there are several causes: the auth method is not enabled at this "
            "mount, the server can't reach the API server or does not trust its certificate, the reviewer's token is "
            "not good, or the API server does not know the operator's token",
            reason=Reason.VAULT_LOGIN_REFUSED,
        )
    if answer.status in (400, 403) and _BINDING.search(answer.text):
        return AccessError(
            f"{doing}: the role does not let the operator's ServiceAccount in; see its bound names, namespaces and "
            "audience",
            reason=Reason.VAULT_LOGIN_REFUSED,
        )
    if answer.status == 403:
        return AccessError(f"{doing}: the server refuses it; see its log", reason=Reason.VAULT_LOGIN_REFUSED)
    problem = refused(answer, f"log in with {login}", server)
    if isinstance(problem, UncertainError):  # a login that nobody uses changes nothing
        return UnavailableError(problem.message, reason=problem.reason)
    return problem


def told_by_health(problem: OutsideError, health: Health | None, server: str) -> OutsideError:
    """Say it more exactly with what the server says of itself: 503 has several causes."""
    if health is None or isinstance(problem, UncertainError):
        return problem
    if not health.initialized:
        return _uninitialized(server)
    if health.sealed:
        return _sealed(server)
    return _leaderless(server) if problem.reason == Reason.VAULT_SEALED else problem


def silent(error: Exception, purpose: str, server: str, *, write: bool) -> OutsideError:
    """Say what it means that there is no answer."""
    causes = tuple(_causes(error))
    doing = f"could not connect to {server}"
    if any(isinstance(cause, urllib3.exceptions.SSLError | requests.exceptions.SSLError) for cause in causes):
        return _insecure(" ".join(str(cause) for cause in causes), doing)
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return SilentError(
            f"{doing}: its name can't be resolved; check the address, and the DNS server; retrying",
            reason=Reason.VAULT_UNREACHABLE,
        )
    if any(isinstance(cause, _NEVER_SENT) for cause in causes):
        return SilentError(
            f"{doing}: no answer; check the address and what stands between; retrying", reason=Reason.VAULT_UNREACHABLE
        )
    problem = UncertainError if write else UnavailableError
    return problem(
        f"could not {purpose} on {server}: the connection broke off, or the answer took too long; see the server's "
        f"log, and what stands between{_PLAIN if server.startswith('http:') else ''}; retrying",
        reason=Reason.VAULT_UNREACHABLE,
    )


#: A server with TLS may also hang up on who comes without.
_PLAIN = ", and whether it expects https"
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    requests.exceptions.ConnectTimeout,
)


def _causes(error: BaseException | None) -> Sequence[BaseException]:
    """Return an exception and what it wraps: requests and urllib3 put one into another in several ways."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or cause in found:
            continue
        found.append(cause)
        inner = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        waiting += [item for item in inner if isinstance(item, BaseException)]
    return found


def _insecure(text: str, doing: str) -> OutsideError:
    if "mismatch" in text or "doesn't match" in text or "not valid for" in text:
        rest = "its certificate does not name this address; correct the address, or the certificate"
    elif "expired" in text:
        rest = "its certificate is expired; renew it"
    elif "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        rest = "its certificate is signed by none of the known authorities; correct the authority in caSecretRef"
    else:
        rest = "it does not speak TLS as the operator does; check scheme and port of the address"
    return AccessError(f"{doing}: {rest}", reason=Reason.VAULT_CERTIFICATE_REFUSED)


def _sealed(server: str) -> OutsideError:
    return UnavailableError(
        f"could not use {server}: it is sealed; unseal it; nothing that runs is touched meanwhile; retrying",
        reason=Reason.VAULT_SEALED,
    )


def _uninitialized(server: str) -> OutsideError:
    return UnavailableError(
        f"could not use {server}: it is not initialized; initialize and unseal it; retrying",
        reason=Reason.VAULT_NOT_INITIALIZED,
    )


def _elsewhere(answer: Answer, server: str) -> OutsideError:
    location = urllib3.util.parse_url(answer.location or "")
    where = f"{location.scheme}://{location.netloc}" if location.netloc else "another address"
    return UnavailableError(
        f"could not use {server}: it is a standby that does not reach the active node and names {where}; the operator "
        "follows no redirect with its token, so the address has to lead to the active node; retrying",
        reason=Reason.VAULT_NO_LEADER,
    )


def _leaderless(server: str) -> OutsideError:
    return UnavailableError(
        f"could not use {server}: it is a standby that knows no active node; see the other nodes; retrying",
        reason=Reason.VAULT_NO_LEADER,
    )


def _forbidden(answer: Answer, doing: str) -> OutsideError:
    if "preflight capability check" in answer.text:
        return AccessError(
            f"{doing}: no engine is mounted there, or the operator has no right to anything in it; correct the mount, "
            "or the policy of the operator's role",
            reason=Reason.VAULT_MOUNT_INVALID,
        )
    if answer.text == _DENIED or "invalid token" in answer.text:
        return DeadTokenError(f"{doing}: the operator's token is not good any more", reason=Reason.VAULT_LOGIN_REFUSED)
    capability = _CAPABILITIES.get(answer.method, "update")
    return MissingRightError(
        f"{doing}: the operator lacks the capability {capability} at {answer.path}; add it to a policy of its role",
        reason=Reason.VAULT_ACCESS_DENIED,
    )


def _not_found(answer: Answer, doing: str) -> OutsideError:
    if "namespace not found" in answer.text:
        return AccessError(
            f"{doing}: the namespace does not exist there; correct it, or create it",
            reason=Reason.VAULT_NAMESPACE_MISSING,
        )
    if "no handler for route" in answer.text:
        mount = answer.path.partition("/")[0]
        return AccessError(
            f"{doing}: nothing is mounted at {mount}; correct the mount, or enable it",
            reason=Reason.VAULT_MOUNT_INVALID,
        )
    return RejectedError(f"{doing}: it is not there")


_CAPABILITIES = {"GET": "read", "LIST": "list", "DELETE": "delete", "PATCH": "patch", "POST": "create and update"}
