"""The OpenAPI document says what the service does: checked by machine, request by request."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from tests.api.service import PASSWORD, Service

pytestmark = pytest.mark.integration


def test_examples_of_the_document_work_and_the_answers_have_their_shape(service: Service) -> None:
    client = service.as_role("admin")
    document = client.get("/openapi.json").json()
    validate(document)
    schemas = document["components"]["schemas"]

    def example(name: str) -> Any:
        return schemas[name]["examples"][0]

    def conforms(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())
        assert value.keys() == example(name).keys()
        jsonschema.validate(example(name), schema)

    person = example("NewPatient") | {"email": f"{uuid.uuid4().hex}@example.org"}
    patient = client.post("/api/v1/patients", json=person)
    assert patient.status_code == 201
    conforms("Patient", patient.json())
    url = f"/api/v1/patients/{patient.json()['id']}"
    conforms("Patient", client.patch(url, json=example("PatientChange")).json())
    found = client.post("/api/v1/patients/_search", json=example("PatientSearch")).json()
    assert patient.json()["id"] in [item["id"] for item in found["items"]]
    record = client.post(f"{url}/records", json=example("NewRecord")).json()
    conforms("Record", record)
    assert client.post(f"{url}/records/_search", json=example("RecordSearch")).json()["items"] == [record]
    agent = client.get("/api/v1/agents").json()[0]
    conforms("Agent", agent)
    assert client.patch(f"/api/v1/agents/{agent['id']}", json=example("AgentChange")).status_code == 200
    client.patch(f"/api/v1/agents/{agent['id']}", json={"status": agent["status"]})
    someone = example("NewUser") | {"email": f"{uuid.uuid4().hex}@example.org"}
    user = client.post("/api/v1/users", json=someone).json()
    conforms("User", user)
    credentials = example("Credentials") | {"email": someone["email"]}
    session = service.client().post("/api/v1/auth/login", json=credentials)
    assert session.status_code == 200
    conforms("Session", session.json())
    theirs = service.client(session.json()["token"])
    conforms("Me", theirs.get("/api/v1/auth/me").json())
    assert theirs.post("/api/v1/auth/password", json=example("PasswordChange")).status_code == 204
    reset = client.post(f"/api/v1/users/{user['id']}/password", json=example("PasswordReset"))
    assert reset.status_code == 204
    assert client.patch(f"/api/v1/users/{user['id']}", json=example("UserChange")).json()["active"] is False
    conforms("AuditEntry", client.get("/api/v1/audit").json()[0])


# What ends the session of whoever calls it, or of the user that it finds in a list: in a run of its own.
ENDING = (
    *("logout", "change_password", "change_user", "reset_password"),
    *("end_own_sessions", "end_sessions", "end_sessions_of_everybody"),
)


@pytest.mark.parametrize("selection", ["exclude", "include"])
def test_schemathesis_finds_nothing(start: Callable[..., Service], tmp_path: Path, selection: str) -> None:
    many = {"login_failures_per_account": 10_000, "login_failures_per_address": 1_000_000}
    service = start(**many, login_failures_elsewhere=1_000_000, password_queue=1000)
    number = "100" if os.environ.get("BIOSPARK_LONG") else "4"
    arguments = [
        *("run", f"{service.url}/openapi.json", "--header", f"Authorization: Bearer {service.token_of('admin')}"),
        # Not: that all that fits the schema is accepted. A schema can say neither "not in the future" nor "a cursor
        # of ours" nor "a key that was not used before".
        *("--exclude-checks", "positive_data_acceptance"),
        *("--checks", "all", "--max-examples", number, "--seed", "1", "--workers", "1", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--suppress-health-check", "all"),
        *(argument for name in ENDING for argument in (f"--{selection}-operation-id", name)),
    ]
    program = str(Path(sys.executable).with_name("schemathesis"))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert PASSWORD not in done.stdout
    if selection == "exclude":
        warnings = done.stdout.partition("= WARNINGS =")[2].partition("= SUMMARY =")[0]
        assert "GET /api/v1/auth/me" not in warnings, f"the session ended on the way: {warnings}"
