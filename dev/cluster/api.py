"""A small client of the cluster's API server: read, apply, delete, wait.

Bringing a cluster up applies some seventy definitions; server-side apply of prepared JSON over a few kept-alive
connections takes seconds where a client with discovery takes a minute. Used while a cluster is brought up and
down, not by the tests of the operator, which use the client they are about.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import yaml

from dev.cluster.instance import ClusterError

Manifest = Mapping[str, Any]
FIELD_MANAGER = "biospark-dev-cluster"
PARALLEL = 4
#: How often a read is repeated that the API server asks to make later.
RETRIES = 10
CLUSTER_SCOPED = {
    "APIService",
    "ClusterIssuer",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "Node",
}


class Api:
    """Requests to one API server with the credentials of a kubeconfig that embeds them."""

    def __init__(self, kubeconfig: Path, seconds: float = 30) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.url = str(cluster["server"])
        #: The certificates that it is trusted by.
        self.authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._http = httpx.Client(base_url=self.url, verify=_tls(config), timeout=seconds, trust_env=False)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the API server answers and says that it is ready."""
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether there is a good answer at `path`, within two seconds."""
        try:
            return self._http.get(path, timeout=2).is_success
        except httpx.HTTPError:
            return False

    def get(self, path: str) -> Any | None:
        """The object or list at `path`, None when there is none."""
        answer = self._http.get(path)
        for _ in range(RETRIES):
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            # As right after a definition was installed: its storage is being made.
            time.sleep(float(answer.headers.get("Retry-After", "1")))
            answer = self._http.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _checked(answer, f"GET {path}").json()

    def items(self, path: str) -> list[Any]:
        """The objects of the list at `path`, none when the API server does not know it."""
        found = self.get(path)
        return [] if found is None else list(found["items"])

    def delete(self, path: str, **parameters: str) -> None:
        """Delete the object or collection at `path`; nothing there is fine."""
        answer = self._http.delete(path, params=parameters)
        if answer.status_code != httpx.codes.NOT_FOUND:
            _checked(answer, f"DELETE {path}")

    def apply(self, manifest: Manifest, subresource: str = "") -> Any:
        """Server-side apply of one manifest; what the server returns."""
        path = path_of(manifest) + subresource
        answer = self._http.patch(
            path,
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )
        return _checked(answer, f"apply {path}").json()

    def apply_all(self, manifests: Sequence[Manifest]) -> None:
        """Apply independent manifests, a few at a time."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(self.apply, manifests))

    def token(self, namespace: str, account: str, audiences: Sequence[str], seconds: int) -> str:
        """A token of a ServiceAccount for these audiences, by default the API server itself."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec = {"expirationSeconds": seconds, **({"audiences": list(audiences)} if audiences else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self._http.post(path, json=body)
        return str(_checked(answer, f"POST {path}").json()["status"]["token"])

    def await_object(self, path: str, holds: Callable[[Any], bool], seconds: float, what: str) -> Any:
        """Wait until the object at `path` exists and `holds`; raises ClusterError saying `what` did not come true."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.get(path)
            if seen is not None and holds(seen):
                return seen
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} did not come true within {seconds:.0f} s: {_status(seen)}")
            time.sleep(0.2)


def has_condition(kind: str) -> Callable[[Any], bool]:
    """A test for a condition of type `kind` being True."""

    def holds(seen: Any) -> bool:
        conditions = seen.get("status", {}).get("conditions") or []
        return any(item["type"] == kind and item["status"] == "True" for item in conditions)

    return holds


def path_of(manifest: Manifest) -> str:
    """Path of the object a manifest describes."""
    version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = "" if kind in CLUSTER_SCOPED else f"/namespaces/{metadata['namespace']}"
    return f"{root}{scope}/{plural(kind)}/{metadata['name']}"


def plural(kind: str) -> str:
    """The resource name of a kind; English rules cover every kind this package applies."""
    name = kind.lower()
    return f"{name}es" if name.endswith("s") else f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _tls(config: Any) -> ssl.SSLContext:
    """A TLS context from the data in a kubeconfig, without writing the key anywhere."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile(prefix="biospark-") as pair:  # the ssl module reads pairs from files only
        pair.write(base64.b64decode(user["client-certificate-data"]))
        pair.write(base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def _checked(answer: httpx.Response, doing: str) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        message = answer.json()["message"]
    except (ValueError, KeyError):
        message = answer.text[:500]
    raise ClusterError(f"{doing}: {answer.status_code} {message}")


def _status(seen: Any) -> str:
    return "there is no such object" if seen is None else json.dumps(seen.get("status", {}))[:600]
