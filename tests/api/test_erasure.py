"""Erasure: nothing of a patient is left but ids in the audit log, by request or some time after the deletion."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from biospark_api.patients.erasure import erase_overdue
from tests.api.service import Service, pool_of
from tests.api.test_patients import PATIENTS, ada, created

pytestmark = pytest.mark.integration

RECORD = {"record_type": "note", "data": {"finding": "Quackenbush"}, "recorded_at": "2020-01-01T00:00:00Z"}


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("admin")


def left_of(service: Service, *texts: str) -> dict[str, int]:
    """How many rows of each table have one of these texts, however it is stored."""
    found = {}
    with service.server.connect(service.database) as admin:
        tables = admin.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = admin.execute(f"SELECT * FROM {table}").fetchall()
            count = sum(any(_has(value, text) for value in row for text in texts) for row in rows)
            if count:
                found[table] = count
    return found


def _has(value: Any, text: str) -> bool:
    return text in (value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def test_nothing_is_left_of_an_erased_patient_but_ids_in_the_audit_log(service: Service, client: httpx.Client) -> None:
    tag = uuid.uuid4().hex
    sent = ada(first_name=f"first{tag}", last_name=f"last{tag}", email=f"mail{tag}@example.org")
    key, record_key = {"Idempotency-Key": uuid.uuid4().hex}, {"Idempotency-Key": uuid.uuid4().hex}
    patient = client.post(PATIENTS, json=sent, headers=key).json()["id"]
    url, record = f"{PATIENTS}/{patient}", RECORD | {"data": {"finding": f"finding{tag}"}}
    client.post(f"{url}/records", json=record, headers=record_key)
    client.post(f"{url}/records", json=record)
    assert client.post(f"{url}/_erase").status_code == 409, "not before it is deleted"
    assert client.delete(url).status_code == 204
    assert left_of(service, tag) == {"patients": 1, "health_records": 2, "idempotency_keys": 2}
    request = uuid.uuid4().hex
    assert client.post(f"{url}/_erase", headers={"X-Request-ID": request}).status_code == 204
    assert left_of(service, tag) == {}
    assert left_of(service, patient).keys() <= {"audit_log", "idempotency_keys"}
    (entry,) = service.audit(request_id=request)
    assert (entry["action"], entry["target"], entry["outcome"]) == ("patients.erase", patient, "success")
    assert len(service.audit(target=patient)) >= 3, "what was done before stays"
    assert client.get(url).status_code == 404
    assert client.post(f"{url}/_erase").status_code == 404
    for again in (
        client.post(PATIENTS, json=sent, headers=key),
        client.post(f"{url}/records", json=record, headers=record_key),
    ):
        assert (again.status_code, again.json()["detail"]) == (410, "What this request created was erased.")
    assert left_of(service, tag) == {}, "a request that is repeated does not make the patient again"


def test_erasure_touches_nobody_else(client: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    other_sent = ada()
    other = client.post(PATIENTS, json=other_sent, headers=key)
    theirs = f"{PATIENTS}/{other.json()['id']}/records"
    client.post(theirs, json=RECORD)
    patient = created(client)["id"]
    client.delete(f"{PATIENTS}/{patient}")
    assert client.post(f"{PATIENTS}/{patient}/_erase").status_code == 204
    assert client.post(PATIENTS, json=other_sent, headers=key).content == other.content
    assert len(client.get(theirs).json()) == 1


def test_erasure_of_many_records_goes_on_where_it_was_interrupted(start: Callable[..., Service]) -> None:
    own = start(database_statement_seconds=5)
    client = own.as_role("admin")
    patient = created(client)["id"]
    client.post(f"{PATIENTS}/{patient}/records", json=RECORD)
    with own.server.connect(own.database) as admin:
        admin.execute(
            "INSERT INTO health_records (patient_id, record_type, data, recorded_at)"
            " SELECT patient_id, record_type, data, recorded_at FROM health_records, generate_series(1, 2500)"
        )
        client.delete(f"{PATIENTS}/{patient}")
        # The first batch succeeds, the second one doesn't: what was erased is erased, and the patient is still there.
        admin.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF (SELECT count(*) FROM health_records) < 2000 THEN RAISE SQLSTATE '57014'; END IF;"
            " RETURN NULL; END $$"
        )
        admin.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON health_records FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        )
        assert client.post(f"{PATIENTS}/{patient}/_erase").status_code == 503
        assert admin.execute("SELECT count(*) FROM health_records").fetchone() == (1501,)
        assert client.get(f"{PATIENTS}/{patient}").status_code == 410
        admin.execute("DROP TRIGGER refuse ON health_records")
        assert client.post(f"{PATIENTS}/{patient}/_erase").status_code == 204
        assert admin.execute("SELECT count(*) FROM health_records").fetchone() == (0,)
    own.await_audit(action="patients.erase", outcome="failure")
    assert len(own.audit(action="patients.erase", outcome="success")) == 1


async def test_patients_who_were_deleted_long_ago_are_erased(start: Callable[..., Service]) -> None:
    own = start(erase_deleted_days=30)
    client = own.as_role("admin")
    long_ago, lately, never = (created(client)["id"] for _ in range(3))
    for patient in (long_ago, lately, never):
        client.post(f"{PATIENTS}/{patient}/records", json=RECORD)
    with own.server.connect(own.database) as admin:
        for patient, days in ((long_ago, 31), (lately, 29)):
            client.delete(f"{PATIENTS}/{patient}")
            admin.execute(
                "UPDATE patients SET deleted_at = now() - make_interval(days => %s) WHERE id = %s", (days, patient)
            )
        async with pool_of(own) as pool:
            assert await erase_overdue(pool, 30) == 1
            assert await erase_overdue(pool, 30) == 0
        left = {str(identifier) for (identifier,) in admin.execute("SELECT id FROM patients")}
        records = {str(identifier) for (identifier,) in admin.execute("SELECT patient_id FROM health_records")}
    assert left == records == {lately, never}
    (entry,) = own.audit(action="patients.erase")
    assert (entry["target"], entry["actor"], entry["outcome"]) == (long_ago, None, "success")
