"""What each answer of the API server, or its absence, means and says."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from biospark_operator.clients.kubernetes.errors import ConflictError, MissingError, translated
from biospark_operator.engine.errors import (
    AccessError,
    FieldConflictError,
    OutsideError,
    RejectedError,
    UnavailableError,
)


def answer(status: int | None, message: str = "", causes: Any = None, headers: Any = None) -> ApiException:
    """An answer as the API server gives it: a Status object."""
    error = ApiException(status=status, reason="Some Reason")
    body: dict[str, Any] = {"kind": "Status", "message": message}
    if causes:
        body["details"] = {"causes": causes}
    error.body, error.headers = json.dumps(body), headers or {}
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, UnavailableError) for status in (408, 410, 412, 423, 425, 429, 500, 502, 503, 504, 599)),
        (409, ConflictError),
        (401, AccessError),
        (403, AccessError),
        (404, MissingError),
        *((status, RejectedError) for status in (400, 405, 406, 413, 415, 422)),
    ],
)
def test_each_status_has_a_meaning(status: int, kind: type[OutsideError]) -> None:
    told = translated(answer(status, "because"), "apply Service a/b")
    assert type(told) is kind
    assert told.message.startswith("could not apply Service a/b: ")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (TimeoutError(), UnavailableError, "no answer"),
        (ConnectionRefusedError(111, "refused 10.0.0.1:6443"), UnavailableError, "no answer"),
        (aiohttp.ServerDisconnectedError(), UnavailableError, "no answer"),
        (aiohttp.ClientPayloadError(), UnavailableError, "no answer"),
        (ssl.SSLError(1, "handshake"), UnavailableError, "no secure connection"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), UnavailableError, "not one of an API server"),
        (ConfigException("token file is empty"), AccessError, "credentials"),
    ],
)
def test_no_answer_is_worth_another_try(error: Exception, kind: type[OutsideError], says: str) -> None:
    told = translated(error, "read Namespace a")
    assert type(told) is kind
    assert says in told.message
    assert "10.0.0.1" not in told.message


def test_an_untrusted_certificate_is_told_apart() -> None:
    error = aiohttp.ClientConnectorCertificateError(None, ssl.SSLCertVerificationError("self-signed"))  # type: ignore[arg-type]
    assert "no secure connection" in translated(error, "read Namespace a").message


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_the_server_asks_for_is_kept(status: int) -> None:
    assert translated(answer(status, headers={"Retry-After": "17"}), "read Namespace a").retry_after == 17


def test_the_wait_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait = translated(answer(429, headers={"Retry-After": later}), "read Namespace a").retry_after
    assert wait is not None
    assert 50 < wait <= 60


@pytest.mark.parametrize(("value", "wait"), [("", None), ("soon", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)])
def test_a_wait_that_makes_no_sense_is_none(value: str, wait: float | None) -> None:
    assert translated(answer(429, headers={"Retry-After": value}), "read Namespace a").retry_after == wait


@pytest.mark.parametrize(
    ("message", "kind", "reason", "says"),
    [
        (
            'services "b" is forbidden: User "system:serviceaccount:x:y" cannot patch resource "services"',
            AccessError,
            None,
            "grant the operator this right",
        ),
        (
            'pods "b" is forbidden: unable to create new content in namespace a because it is being terminated',
            UnavailableError,
            "NamespaceTerminating",
            "retrying when it is gone",
        ),
        (
            'badges.example.org "b" is forbidden: create not allowed while custom resource definition is terminating',
            UnavailableError,
            "DefinitionMissing",
            "the definition of its kind is being deleted; retrying when it is gone",
        ),
        (
            'pods "b" is forbidden: exceeded quota: biospark-quota, requested: pods=1, used: pods=3, limited: pods=3',
            RejectedError,
            None,
            "requested: pods=1, limited: pods=3; raise spec.namespace.quota",
        ),
        (
            'services "b" is forbidden: exceeded quota: team-a, requested: pods=1, used: pods=3, limited: pods=3',
            RejectedError,
            None,
            "limited: pods=3; raise the ResourceQuota team-a or ask for less",
        ),
    ],
)
def test_forbidden_has_four_meanings(message: str, kind: type[OutsideError], reason: str | None, says: str) -> None:
    told = translated(answer(403, message), "apply Service a/b")
    assert type(told) is kind
    assert told.reason == reason
    assert says in told.message
    assert "used:" not in told.message


WEBHOOK = 'admission webhook "validate.example.com" denied the request: no owner label.'
POLICY = "ValidatingAdmissionPolicy 'owners' with binding 'all' denied request: no owner label"


@pytest.mark.parametrize("status", [400, 403, 422, 500])
@pytest.mark.parametrize(
    ("message", "who"),
    [
        (WEBHOOK, "the admission webhook validate.example.com refuses it: no owner label"),
        (WEBHOOK.partition(":")[0] + " without explanation", "the admission webhook validate.example.com refuses it"),
        (f'services "b" is forbidden: {POLICY}', "the admission policy owners refuses it: no owner label"),
        (f'Service "b" is invalid: : {POLICY}', "the admission policy owners refuses it: no owner label"),
    ],
)
def test_who_refuses_at_admission_is_named_whatever_code_it_chose(status: int, message: str, who: str) -> None:
    told = translated(answer(status, message), "apply Service a/b")
    assert type(told) is RejectedError, "neither a missing right nor a failure that passes"
    assert told.message == f"could not apply Service a/b: {who}; change the environment, or ask its owner to allow it"


def test_why_a_secret_is_refused_at_admission_is_not_repeated() -> None:
    told = translated(answer(403, WEBHOOK), "apply Secret a/b", confidential=True)
    assert told.message == (
        "could not apply Secret a/b: the admission webhook validate.example.com refuses it; change the environment, or "
        "ask its owner to allow it"
    )


TYPED = "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (f"{TYPED}.spec.nonsense: field not declared in schema", "does not have spec.nonsense; install a version"),
        (
            f"{TYPED}errors:\n  .spec.b: field not declared in schema\n  .spec.a: field not declared in schema",
            "does not have spec.a, spec.b;",
        ),
        (
            f"{TYPED}.spec.replicas: expected numeric (int or float), got planted",
            "does not fit the cluster's definition of the kind: spec.replicas (expected numeric)",
        ),
        (
            f'{TYPED}.spec.ports: duplicate entries for key [name="planted"]',
            "does not fit the cluster's definition of the kind: spec.ports (duplicate entries)",
        ),
        (f"{TYPED}something else", "does not fit the cluster's definition of the kind"),
    ],
)
def test_what_does_not_fit_the_definition_is_final_although_the_answer_is_a_failure(message: str, says: str) -> None:
    told = translated(answer(500, message), "apply Deployment a/b")
    assert type(told) is RejectedError
    assert says in told.message
    assert "planted" not in told.message


def test_an_answer_in_plain_text_is_told() -> None:
    error = answer(400)
    error.body = "the path is too long"
    assert translated(error, "apply Service a/b").message == "could not apply Service a/b: the path is too long"


def test_one_conflict_names_manager_and_field() -> None:
    told = translated(
        answer(
            409,
            'Apply failed with 1 conflict: conflict with "helm" using v1: .spec.selector',
            [{"reason": "FieldManagerConflict", "message": 'conflict with "helm" using v1', "field": ".spec.selector"}],
        ),
        "apply Service a/b",
    )
    assert type(told) is FieldConflictError
    assert told.message == (
        "could not apply Service a/b: helm manages spec.selector; "
        "let that manager give the field up, or delete the object"
    )


def test_several_conflicts_say_who_holds_what() -> None:
    causes = [
        {"message": 'conflict with "kubectl-client-side-apply" using apps/v1', "field": ".spec.replicas"},
        {"message": 'conflict with "helm" with subresource "scale" using apps/v1', "field": ".spec.b"},
        {"message": 'conflict with "helm" using apps/v1', "field": ".spec.a"},
    ]
    message = translated(answer(409, "Apply failed with 3 conflicts", causes), "apply Deployment a/b").message
    assert "helm manages spec.a, spec.b; kubectl-client-side-apply manages spec.replicas;" in message


def test_conflicts_are_also_read_from_the_text_alone() -> None:
    text = 'Apply failed with 2 conflicts: conflicts with "helm" using v1:\n- .spec.a\nconflicts with "argocd" using v1'
    told = translated(answer(409, text), "apply Service a/b")
    assert type(told) is FieldConflictError
    assert "argocd manages a field; helm manages a field" in told.message


def test_a_lost_race_is_no_conflict_of_fields() -> None:
    text = "the object has been modified; please apply your changes to the latest version and try again"
    told = translated(answer(409, text), "replace Lease a/b")
    assert type(told) is ConflictError
    assert text in told.message


def test_a_webhook_that_does_not_answer_is_named() -> None:
    text = 'Internal error occurred: failed calling webhook "mutate.example.com": Post "https://10.0.0.3:443": refused'
    message = translated(answer(500, text), "apply Service a/b").message
    assert "the webhook mutate.example.com does not answer" in message
    assert "10.0.0.3" not in message


@pytest.mark.parametrize(
    "volatile",
    [answer(410, "too old resource version: 123 (456)"), answer(500, "etcdserver: request 0xbeef timed out")],
)
def test_what_changes_from_try_to_try_is_left_out(volatile: ApiException) -> None:
    message = translated(volatile, "list Pods in a").message
    assert not any(part in message for part in ("123", "456", "0xbeef"))


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 429, 500])
def test_nothing_that_the_server_says_about_a_secret_is_repeated(status: int) -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "planted"', "field": "data[.dockerconfigjson]"}
    ]
    told = translated(answer(status, 'Secret is invalid: "planted"', causes), "apply Secret a/b", confidential=True)
    assert "planted" not in told.message
    assert told.message.startswith("could not apply Secret a/b: ")


def test_the_fields_of_a_refused_secret_are_named() -> None:
    causes = [{"message": 'Invalid value: "planted"', "field": "data[.dockerconfigjson]"}]
    told = translated(answer(422, "planted", causes), "apply Secret a/b", confidential=True)
    assert told.message == "could not apply Secret a/b: the API server refuses data[.dockerconfigjson]"


@pytest.mark.parametrize(
    "body", [None, "", "<html>", "[]", "null", '{"details": null}', '{"details": {"causes": [1]}}']
)
def test_an_answer_in_another_form_is_understood_by_its_status(body: str | None) -> None:
    error = answer(409)
    error.body = body
    assert isinstance(translated(error, "apply Service a/b"), ConflictError)


def test_the_right_to_secrets_that_is_missing_is_named() -> None:
    said = (
        'secrets "x" is forbidden: User "operator" cannot patch resource "secrets" in API group "" in the namespace "a"'
    )
    told = translated(answer(403, said), "apply Secret a/b", confidential=True)
    assert isinstance(told, AccessError)
    assert told.message == (
        'could not apply Secret a/b: the operator cannot patch resource "secrets" in API group ""; '
        "grant the operator this right"
    )


@pytest.mark.parametrize(
    "said",
    [
        'secrets "x" is forbidden: planted',
        'secrets "x" is forbidden: User "operator" cannot patch resource "planted" in API group ""',
    ],
)
def test_what_else_refuses_a_secret_is_not_repeated(said: str) -> None:
    told = translated(answer(403, said), "apply Secret a/b", confidential=True)
    assert told.message == "could not apply Secret a/b: access denied; grant the operator this right"
