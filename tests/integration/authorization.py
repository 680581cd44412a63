"""What calls ask of the API server's authorizer, and whom it lets make them.

`requests_of` says what one recorded call needs, in the authorizer's words. `Authorizer` asks it, for users whom only
bindings know.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ForbiddenError

from dev.cluster.api import Api
from dev.deploy import Tools
from tests.chaos.faults import Call

Rule = Mapping[str, Sequence[str]]
RBAC = "rbac.authorization.k8s.io"
#: What is made here for users that are tried out.
MARK = "biospark-tests/deprived"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, order=True)
class Request:
    """What is asked of the authorizer; `resource` includes the subresource, as in "pods/log"."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""


def requests_of(call: Call) -> Iterator[Request]:
    """Yield what the authorizer is asked for a call. Calls that are about no resource, such as discovery, need nothing.

    A server-side apply needs the right to create as well if the object did not exist.
    """
    parts = call.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    if not rest:
        return
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        # A namespace counts as in itself.
        namespace, rest = rest[1], rest[2:] or rest
    name = rest[1] if len(rest) > 1 else ""
    resource = "/".join([rest[0], *rest[2:]])
    read = "watch" if call.watch else "get" if name else "list"
    verbs = [_VERBS.get(call.method, read)]
    if call.method == "PATCH" and call.status == 201:
        verbs.append("create")
    yield from (Request(group, resource, verb, namespace, name) for verb in verbs)


@dataclass(frozen=True, order=True)
class Right:
    """The smallest part of a role: one verb on one resource, of one object where `name` says so."""

    group: str
    resource: str
    verb: str
    name: str | None = None

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {where}" + (f" {self.name!r}" if self.name else "")

    def covers(self, request: Request) -> bool:
        """Whether it looks like this right is what a request needs; only the authorizer knows."""
        return (self.group, self.resource, self.verb) == (request.group, request.resource, request.verb)


def rights_of(role: Mapping[str, Any]) -> list[Right]:
    """Take a role apart."""
    return [Right(*right) for rule in role["rules"] for right in _parts(rule)]


def without(role: Mapping[str, Any], right: Right) -> list[Rule]:
    """Return the rules of a role but for one right."""
    kept = (Right(*part) for rule in role["rules"] for part in _parts(rule))
    rest: dict[tuple[str, str, str | None], list[str]] = {}
    for part in kept:
        if part != right:
            rest.setdefault((part.group, part.resource, part.name), []).append(part.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs, **({"resourceNames": [name]} if name else {})}
        for (group, resource, name), verbs in rest.items()
    ]


def _parts(rule: Rule) -> Iterator[tuple[str, str, str, str | None]]:
    return itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames") or [None])


class Authorizer:
    """The API server of a kubeconfig, asked as its administrator. For use by several threads."""

    def __init__(self, kubeconfig: str) -> None:
        api = config.new_client_from_config(kubeconfig)
        self._reviews, self._dynamic = client.AuthorizationV1Api(api), DynamicClient(api)

    def allows(self, user: str, request: Request) -> bool:
        """Return whether a user may do what is asked."""
        resource, _, subresource = request.resource.partition("/")
        attributes = client.V1ResourceAttributes(
            group=request.group,
            resource=resource,
            subresource=subresource or None,
            verb=request.verb,
            namespace=request.namespace or None,
            name=request.name or None,
        )
        spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
        review = self._reviews.create_subject_access_review(client.V1SubjectAccessReview(spec=spec))
        return bool(review.status.allowed)

    def apply_as(self, user: str, path: str, manifest: Mapping[str, Any]) -> str | None:
        """Let a user try a server-side apply, as a dry run; return why it is refused, None if it is not.

        Unlike `allows` this also shows what admission asks for. Raises `DynamicApiError` for other failures.
        """
        try:
            self._dynamic.request(
                "patch",
                path,
                body=manifest,
                content_type="application/apply-patch+yaml",
                field_manager="rights",
                force_conflicts="true",
                dry_run="All",
                header_params={"Impersonate-User": user},
                serialize=False,
            )
        except ForbiddenError as error:
            return str(json.loads(error.body)["message"])
        return None

    def wait_until_allowed(self, user: str, request: Request, seconds: float = 20) -> None:
        """Return once a user may do what is asked: the authorizer learns of new roles a little later."""
        deadline = time.monotonic() + seconds
        while not self.allows(user, request):
            assert time.monotonic() < deadline, f"{user} may not {request} after {seconds} s"
            time.sleep(0.05)


@contextmanager
def deprived(
    kubeconfig: str, role: Mapping[str, Any], companions: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Mapping[Right, str]]:
    """Yield a user for each right of a role: they have the role without that right, and the companions as they are."""
    users = {right: f"without {right} of {role['kind']} {role['metadata']['name']}" for right in rights_of(role)}
    roles, bindings = [], []
    for number, (right, user) in enumerate(users.items()):
        metadata = {**role["metadata"], "name": f"deprived-{number}", "labels": {MARK: "true"}}
        roles.append({**role, "metadata": metadata, "rules": without(role, right)})
        bindings.append(binding(roles[-1], [user]))
    bindings += [binding(companion, users.values(), prefix="deprived-") for companion in companions]
    with Api(Path(kubeconfig)) as api:
        api.apply_all(roles)
        api.apply_all(bindings)
        try:
            yield users
        finally:
            tools = Tools(Path(kubeconfig))
            kinds = "roles,rolebindings,clusterroles,clusterrolebindings"
            tools.kubectl("delete", kinds, "-A", "-l", MARK, "--wait=false")


def binding(role: Mapping[str, Any], users: Iterable[str], prefix: str = "") -> Mapping[str, Any]:
    """Return a binding of a role to users."""
    metadata = {**role["metadata"], "name": prefix + role["metadata"]["name"], "labels": {MARK: "true"}}
    return {
        "apiVersion": role["apiVersion"],
        "kind": f"{role['kind']}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user} for user in users],
    }
