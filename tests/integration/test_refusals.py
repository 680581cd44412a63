"""Refusals of a real API server that are final: who refuses what is told, and a human is called."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.engine.errors import RejectedError
from dev.cluster import pki
from tests.integration.conftest import Operated
from tests.integration.test_deletion import until

pytestmark = pytest.mark.integration

ADMISSION = "admissionregistration.k8s.io/v1"


def only(env: Operated) -> dict[str, Any]:
    """Select what belongs to one environment."""
    return {"matchLabels": {"biospark.ai/environment": env.name}}


RULE = {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["networkpolicies"]}


@pytest.mark.parametrize("reason", ["Invalid", "Forbidden"])
async def test_a_policy_of_the_cluster_that_refuses_is_named(env: Operated, reason: str) -> None:
    validation = {"expression": "false", "message": "policies need a ticket", "reason": reason}
    constraints = {"resourceRules": [{**RULE, "operations": ["CREATE"]}], "objectSelector": only(env)}
    spec = {"failurePolicy": "Fail", "matchConstraints": constraints, "validations": [validation]}
    bound = {"policyName": env.name, "validationActions": ["Deny"]}
    kinds = {"ValidatingAdmissionPolicy": spec, "ValidatingAdmissionPolicyBinding": bound}
    for kind, content in kinds.items():
        manifest = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": env.name}, "spec": content}
        env.kubectl("create", "-f", "-", input=json.dumps(manifest))
    try:
        await refused(env)
        assert f"the admission policy {env.name} refuses it: policies need a ticket; change the environment" in (
            await env.message("NetworkReady")
        )
    finally:
        for kind in kinds:
            env.kubectl("delete", kind, env.name)


async def refused(env: Operated) -> None:
    """Make passes until the network policies are refused: it takes the API server a moment to know of a refusal."""
    env.limit(isolation={"development": "Disabled"})
    env.apply(network={"isolation": "Disabled"})
    await env.run()

    async def is_refused() -> bool:
        env.apply()
        await env.run()
        told = await env.told("NetworkReady")
        if told == ("True", "Succeeded"):
            env.apply(network={"isolation": "Disabled"})
            await env.run()
        return told == ("False", "Invalid")

    await until(is_refused, env.status)
    assert await env.told("Stalled") == ("True", "Invalid")


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """The URL of a webhook that denies everything, and the certificate that it is trusted by."""

    class Denies(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = {"message": "policies need a ticket"}
            answer = {**review, "response": {"uid": review["request"]["uid"], "allowed": False, "status": status}}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    authority = pki.ensure_authority(tmp_path, "ca", "webhooks")
    pki.ensure_leaf(tmp_path, "webhook", pki.Subject("webhook", addresses=("127.0.0.1",)), authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "webhook.crt", tmp_path / "webhook.key")
    with HTTPServer(("127.0.0.1", 0), Denies) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"https://127.0.0.1:{server.server_port}/deny", (tmp_path / "ca.crt").read_bytes()
        server.shutdown()
        serving.join()


async def test_a_webhook_that_refuses_is_named_and_not_taken_for_a_missing_right(
    env: Operated, webhook: tuple[str, bytes]
) -> None:
    url, certificate = webhook
    hook = {
        "name": "tickets.example.com",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(certificate).decode()},
        "rules": [{**RULE, "operations": ["CREATE"]}],
        "objectSelector": only(env),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    configuration = {"apiVersion": ADMISSION, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": env.name}}
    env.kubectl("create", "-f", "-", input=json.dumps({**configuration, "webhooks": [hook]}))
    try:
        await refused(env)
        assert "the admission webhook tickets.example.com refuses it: policies need a ticket; change the" in (
            await env.message("NetworkReady")
        )
    finally:
        env.kubectl("delete", "validatingwebhookconfiguration", env.name)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"nonsense": True}, "the cluster's definition of the kind does not have spec.nonsense"),
        ({"ports": "planted"}, "does not fit the cluster's definition of the kind"),
        ({"ports": [{"port": 80, "name": "planted"}] * 2}, "does not fit the cluster's definition of the kind"),
    ],
)
async def test_what_the_definition_of_a_kind_does_not_take_is_final(
    env: Operated, spec: dict[str, Any], says: str
) -> None:
    ref = ObjectRef("v1", "Service", "default", env.name)
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": ref.name, "namespace": ref.namespace}}
    with pytest.raises(RejectedError) as raised:
        await env.client.apply({**manifest, "spec": spec}, force=False)
    assert says in raised.value.message
    assert "planted" not in raised.value.message
