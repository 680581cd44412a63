"""The permission table: every role at every operation, against a list that is written down a second time."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from biospark_api.app import DOMAINS
from tests.api.service import ROLES, Service
from tests.api.test_patients import ada, created

pytestmark = pytest.mark.integration

ALL, CLINICAL = frozenset(ROLES), frozenset({"admin", "clinician"})
ADMIN, HEALTH, ANYBODY = frozenset({"admin"}), frozenset({"admin", "clinician", "agent"}), None

# Who may do what, independent of the code's own table.
ALLOWED: dict[tuple[str, str], frozenset[str] | None] = {
    ("POST", "/api/v1/auth/login"): ANYBODY,
    ("POST", "/api/v1/auth/refresh"): ANYBODY,
    ("GET", "/.well-known/jwks.json"): ANYBODY,
    ("GET", "/api/v1/auth/me"): ALL,
    ("POST", "/api/v1/auth/logout"): ALL,
    ("POST", "/api/v1/auth/password"): ALL,
    ("DELETE", "/api/v1/auth/sessions"): ALL,
    ("GET", "/api/v1/patients"): HEALTH,
    ("POST", "/api/v1/patients"): CLINICAL,
    ("POST", "/api/v1/patients/_search"): HEALTH,
    ("GET", "/api/v1/patients/{patient_id}"): HEALTH,
    ("PUT", "/api/v1/patients/{patient_id}"): CLINICAL,
    ("PATCH", "/api/v1/patients/{patient_id}"): CLINICAL,
    ("DELETE", "/api/v1/patients/{patient_id}"): ADMIN,
    ("POST", "/api/v1/patients/{patient_id}/_erase"): ADMIN,
    ("GET", "/api/v1/patients/{patient_id}/records"): HEALTH,
    ("POST", "/api/v1/patients/{patient_id}/records"): HEALTH,
    ("POST", "/api/v1/patients/{patient_id}/records/_search"): HEALTH,
    ("GET", "/api/v1/patients/{patient_id}/records/{record_id}"): HEALTH,
    ("GET", "/api/v1/agents"): HEALTH,
    ("GET", "/api/v1/agents/{agent_id}"): HEALTH,
    ("PATCH", "/api/v1/agents/{agent_id}"): ADMIN,
    ("GET", "/api/v1/users"): frozenset({"admin", "auditor"}),
    ("POST", "/api/v1/users"): ADMIN,
    ("GET", "/api/v1/users/{user_id}"): frozenset({"admin", "auditor"}),
    ("PATCH", "/api/v1/users/{user_id}"): ADMIN,
    ("POST", "/api/v1/users/{user_id}/password"): ADMIN,
    ("DELETE", "/api/v1/users/{user_id}/sessions"): ADMIN,
    ("DELETE", "/api/v1/users/{user_id}/failures"): ADMIN,
    ("DELETE", "/api/v1/users/sessions"): ADMIN,
    ("GET", "/api/v1/audit"): frozenset({"admin", "auditor"}),
}
DECLARED = {(method, path): operation for domain in DOMAINS for method, path, operation in domain.declared}


def test_every_operation_is_in_the_table() -> None:
    assert DECLARED.keys() == ALLOWED.keys()


def _request(service: Service, method: str, path: str) -> tuple[str, dict[str, Any]]:
    """A request that is complete and valid, on resources of its own."""
    admin = service.as_role("admin")
    patient = created(admin)["id"]
    record = {"record_type": "note", "data": {}, "recorded_at": "2020-01-01T00:00:00Z"}
    ids = {
        "patient_id": patient,
        "record_id": admin.post(f"/api/v1/patients/{patient}/records", json=record).json()["id"],
        "agent_id": admin.get("/api/v1/agents").json()[0]["id"],
        "user_id": service.add_user(f"{uuid.uuid4().hex}@test.example", "agent"),
    }
    bodies: dict[str, Any] = {
        "NewPatient": ada(),
        "PatientChange": {},
        "PatientSearch": {"name": "nobody"},
        "NewRecord": record,
        "RecordSearch": {},
        "AgentChange": {},
        "NewUser": {"email": f"{uuid.uuid4().hex}@test.example", "password": "seven-Red-lanterns", "role": "agent"},
        "UserChange": {},
        "PasswordReset": {"password": "seven-Red-lanterns"},
        "PasswordChange": {"current": "wrong", "password": "seven-Red-lanterns"},
        "Credentials": {"email": "nobody@test.example", "password": "wrong"},
        "RefreshRequest": {"refresh_token": "x" * 43},
    }
    if path.endswith("/_erase"):
        admin.delete(f"/api/v1/patients/{patient}")
    body = DECLARED[method, path].contract.body
    return path.format(**ids), {"json": bodies[body.__name__]} if body else {}


@pytest.mark.parametrize(("method", "path"), ALLOWED, ids=lambda value: str(value))
def test_operation_does_what_the_role_may_and_refuses_the_others(
    service: Service, start: Callable[..., Service], method: str, path: str
) -> None:
    allowed = ALLOWED[method, path]
    if path == "/api/v1/users/sessions":
        service = start()  # where it ends the sessions of no other test
    # Whoever may do it comes last: it may end the sessions of the others.
    for role in sorted(ROLES, key=lambda role: role in allowed) if allowed is not None else ():
        url, options = _request(service, method, path)
        # A session of its own for what ends it.
        own = path in {"/api/v1/auth/logout", "/api/v1/auth/password", "/api/v1/auth/sessions"}
        service.add_user(f"{role}@table.example", role)
        client = service.client(service.login(f"{role}@table.example")["token"]) if own else service.as_role(role)
        answer = client.request(method, url, **options)
        if role not in allowed:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["detail"].startswith(f"The role {role} may not ")
        elif path == "/api/v1/auth/password":
            assert answer.status_code == 401, "only because the password is wrong"
            assert "password is wrong" in answer.text
        else:
            assert answer.status_code in {200, 201, 204}, (role, answer.text)


@pytest.mark.parametrize(("method", "path"), [key for key, who in ALLOWED.items() if who is not None], ids=str)
def test_operation_needs_a_token(service: Service, method: str, path: str) -> None:
    url, options = _request(service, method, path)
    answer = service.client().request(method, url, **options)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="biospark"'


@pytest.mark.parametrize(("method", "path"), [key for key, who in ALLOWED.items() if who is None], ids=str)
def test_open_operations_answer_without_a_token(service: Service, method: str, path: str) -> None:
    url, options = _request(service, method, path)
    answer = service.client().request(method, url, **options)
    expected = 200 if path.endswith("jwks.json") else 401
    assert answer.status_code == expected
    assert answer.headers.get("www-authenticate") != 'Bearer realm="biospark"' or expected == 401
