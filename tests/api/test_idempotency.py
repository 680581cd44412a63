"""What is kept of a request to tell it from another gives nobody its body, and outlives an exchange of the key."""

import hashlib
import json
import uuid
from collections.abc import Callable

import pytest

from tests.api.service import Service, new_key, private_pem
from tests.api.test_patients import PATIENTS, ada

pytestmark = pytest.mark.integration

USERS = "/api/v1/users"


def test_hash_of_a_body_with_a_password_cannot_be_made_by_who_reads_the_table(service: Service) -> None:
    key = uuid.uuid4().hex
    user = {"email": f"{uuid.uuid4().hex}@test.example", "password": "nine-Green-lanterns", "role": "agent"}
    body = json.dumps(user).encode()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    client = service.as_role("admin")
    first = client.post(USERS, content=body, headers=headers)
    again = client.post(USERS, content=body, headers=headers)
    assert (first.status_code, again.content) == (201, first.content)
    other = json.dumps(user | {"password": "ten-Yellow-lanterns"}).encode()
    assert client.post(USERS, content=other, headers=headers).status_code == 422
    with service.server.connect(service.database) as admin:
        row = admin.execute("SELECT fingerprint FROM idempotency_keys WHERE key = %s", (key,)).fetchone()
    assert row
    sent = f"POST {USERS}\n".encode() + body
    for plain in (hashlib.sha256(sent), hashlib.sha256(body), hashlib.sha512(sent)):
        assert plain.digest()[:16] not in row[0]


def test_request_of_the_release_before_is_recognised(service: Service) -> None:
    key, body = uuid.uuid4().hex, json.dumps(ada()).encode()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    client = service.as_role("admin")
    first = client.post(PATIENTS, content=body, headers=headers)
    plain = hashlib.sha256(f"POST {PATIENTS}\n".encode() + body).digest()
    with service.server.connect(service.database) as admin:
        admin.execute("UPDATE idempotency_keys SET fingerprint = %s WHERE key = %s", (plain, key))
    assert client.post(PATIENTS, content=body, headers=headers).content == first.content
    assert client.post(PATIENTS, content=body + b" ", headers=headers).status_code == 422


def test_request_is_recognised_after_the_signing_key_was_exchanged(start: Callable[..., Service]) -> None:
    own = start(secrets_poll_seconds=0.1)
    sent, key = ada(), {"Idempotency-Key": uuid.uuid4().hex}
    client = own.as_role("admin")
    first = client.post(PATIENTS, json=sent, headers=key)
    (own.home / "key").write_text(private_pem(new_key()))
    own.await_record("Tokens are signed with another key")
    again = client.post(PATIENTS, json=sent, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert own.stop() == 0
    # A process that never had the key of before can't compare: it says so, and does nothing.
    other = start(secrets_poll_seconds=0.1)
    answer = other.client(other.login("admin@test.example")["token"]).post(PATIENTS, json=sent, headers=key)
    assert answer.status_code == 409
    assert "before the key that signs tokens was exchanged" in answer.json()["detail"]
