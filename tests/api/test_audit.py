"""The audit log: everything is in it, changes with their statement, reads soon after, and nobody's data."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from psycopg.errors import InsufficientPrivilege

from biospark_api.cleanup import purge_audit_log
from biospark_api.schema import keep_audit_log
from tests.api.service import PASSWORD, Load, Service, pool_of
from tests.api.test_patients import PATIENTS, ada, created

pytestmark = pytest.mark.integration

AUDIT = "/api/v1/audit"


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("clinician")


def test_change_is_in_the_log_when_its_answer_comes(service: Service, client: httpx.Client) -> None:
    request = uuid.uuid4().hex
    patient = client.post(PATIENTS, json=ada(), headers={"X-Request-ID": request}).json()["id"]
    (entry,) = service.audit(request_id=request)
    me = client.get("/api/v1/auth/me").json()["id"]
    assert entry == {
        "actor": me,
        "actor_role": "clinician",
        "action": "patients.create",
        "target": patient,
        "outcome": "success",
        "status": 201,
        "request_id": request,
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "status"),
    [
        ("GET", "", None, "patients.list", 200),
        ("GET", "?limit=0", None, "patients.list", 422),
        ("POST", "/_search", {"name": "x"}, "patients.search", 200),
        ("POST", "", {}, "patients.create", 422),
        ("GET", "/{patient}", None, "patients.get", 200),
        ("GET", "/{nobody}", None, "patients.get", 404),
        ("PATCH", "/{patient}", {}, "patients.change", 200),
        ("PATCH", "/{nobody}", {}, "patients.change", 404),
        ("DELETE", "/{patient}", None, "patients.delete", 403),
        ("GET", "/{patient}/records", None, "records.list", 200),
    ],
)
def test_every_call_is_in_the_log_once(
    service: Service, client: httpx.Client, method: str, path: str, body: Any, action: str, status: int
) -> None:
    ids = {"patient": created(client)["id"], "nobody": str(uuid.uuid4())}
    request = uuid.uuid4().hex
    options = {} if body is None else {"json": body}
    answer = client.request(method, PATIENTS + path.format(**ids), headers={"X-Request-ID": request}, **options)
    assert answer.status_code == status
    entry = service.await_audit(request_id=request)
    assert (entry["action"], entry["status"]) == (action, status)
    assert entry["outcome"] == {403: "denied"}.get(status, "success" if status < 400 else "failure")
    if "{" in path and status != 403:
        assert entry["target"] == ids["patient" if "{patient}" in path else "nobody"]
    assert len(service.audit(request_id=request)) == 1


def test_refused_change_leaves_no_success_behind(service: Service, client: httpx.Client) -> None:
    other, request = created(client), uuid.uuid4().hex
    answer = client.post(PATIENTS, json=ada(email=other["email"]), headers={"X-Request-ID": request})
    assert answer.status_code == 409
    assert service.await_audit(request_id=request)["outcome"] == "failure"
    assert len(service.audit(request_id=request)) == 1


def test_reads_that_come_during_a_write_wait_for_the_next_batch(start: Callable[..., Service]) -> None:
    own = start()
    client = own.as_role("clinician")
    with own.server.connect(own.database) as admin:
        # Every write takes long enough for further reads to come.
        admin.execute(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END'"
        )
        admin.execute("CREATE TRIGGER slowly AFTER INSERT ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION slowly()")
    begin = time.monotonic()
    with Load(lambda: client.get(PATIENTS).status_code, threads=4) as load:
        own.await_true(lambda: len(load.results) >= 2000, what="2000 answers")
    own.await_true(lambda: len(own.audit(action="patients.list")) == len(load.results), what="all entries")
    seconds = time.monotonic() - begin
    with own.server.connect(own.database) as admin:
        # A batch is one transaction.
        counted = admin.execute(
            "SELECT count(DISTINCT xmin::text) FROM audit_log WHERE action = 'patients.list'"
        ).fetchone()
    assert counted
    # Two a second, one of each 500 entries, and the last.
    most = 2 * seconds + len(load.results) / 500 + 1
    assert counted[0] <= most, f"{len(load.results)} entries in {counted[0]} batches within {seconds:.1f} s"


def test_list_and_search_say_whom_they_showed(service: Service, client: httpx.Client) -> None:
    tag = uuid.uuid4().hex
    seen = [created(client, last_name=f"{tag}{number}")["id"] for number in range(3)]
    other = created(client)["id"]
    records = f"{PATIENTS}/{seen[0]}/records"
    record = client.post(records, json={"record_type": "x", "data": {}, "recorded_at": "2020-01-01T00:00:00Z"}).json()
    requests = {
        "search": lambda headers: client.post(f"{PATIENTS}/_search", json={"name": tag}, headers=headers),
        "list": lambda headers: client.get(PATIENTS, params={"limit": 2}, headers=headers),
        "nobody": lambda headers: client.post(f"{PATIENTS}/_search", json={"name": f"{tag}-"}, headers=headers),
        "records": lambda headers: client.get(records, headers=headers),
        "records found": lambda headers: client.post(f"{records}/_search", json={"data": {}}, headers=headers),
        "agents": lambda headers: client.get("/api/v1/agents", headers=headers),
        "refused": lambda headers: client.get(PATIENTS, params={"limit": 0}, headers=headers),
    }
    shown = {}
    for what, send in requests.items():
        request = uuid.uuid4().hex
        body = send({"X-Request-ID": request}).json()
        service.await_audit(request_id=request)
        entry = next(entry for entry in _entries(service) if entry["request_id"] == request)
        items = body if isinstance(body, list) else body.get("items", [])
        shown[what] = entry["shown"]
        assert what == "refused" or entry["shown"] == [item["id"] for item in items], what
    assert shown["search"] == seen[::-1]
    assert shown["records"] == shown["records found"] == [record["id"]]
    assert (shown["nobody"], shown["refused"]) == ([], None)
    found = service.as_role("auditor").get(AUDIT, params={"shown": seen[2]}).json()
    assert "patients.search" in [entry["action"] for entry in found]
    assert all(seen[2] in entry["shown"] for entry in found)
    assert other not in shown["search"]


def _entries(service: Service) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = service.as_role("auditor").get(AUDIT, params={"limit": 200}).json()
    return entries


def test_entries_have_the_address_that_trusted_proxies_tell(start: Callable[..., Service]) -> None:
    own = start(trusted_proxies="127.0.0.0/8")
    client = own.as_role("admin")
    for forwarded, address in (
        ({}, "127.0.0.1"),
        ({"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "198.51.100.7, 192.0.2.2"}, "192.0.2.2"),
        ({"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1"),
        ({"X-Forwarded-For": "'; DROP TABLE audit_log; --"}, "127.0.0.1"),
    ):
        request = uuid.uuid4().hex
        headers = forwarded | {"X-Request-ID": request}
        client.get(PATIENTS, headers=headers)
        client.post(PATIENTS, json=ada(), headers=headers)
        own.await_true(lambda request=request: len(own.audit(request_id=request)) == 2)
        entries = own.as_role("auditor").get(AUDIT, params={"address": address, "limit": 200}).json()
        assert {entry["action"] for entry in entries if entry["request_id"] == request} == {
            "patients.list",
            "patients.create",
        }


def test_address_that_nobody_vouches_for_is_not_written_down(service: Service, client: httpx.Client) -> None:
    request = uuid.uuid4().hex
    client.get(PATIENTS, headers={"X-Forwarded-For": "192.0.2.99", "X-Request-ID": request})
    service.await_audit(request_id=request)
    (entry,) = [entry for entry in _entries(service) if entry["request_id"] == request]
    assert entry["address"] == "127.0.0.1"
    assert service.as_role("auditor").get(AUDIT, params={"address": "somewhere"}).status_code == 422


async def _purge(service: Service) -> int:
    async with pool_of(service) as pool:
        return await purge_audit_log(pool)


async def test_log_is_kept_as_long_as_the_owner_decided(start: Callable[..., Service]) -> None:
    own = start()
    with own.server.connect(own.database) as owner:
        for days in (1, 99, 101, 400):
            owner.execute(
                "INSERT INTO audit_log (at, action, outcome) VALUES (now() - make_interval(days => %s), %s, 'success')",
                (days, f"old.{days}"),
            )
        owner.execute(
            "INSERT INTO audit_log (at, action, outcome)"
            " SELECT now() - interval '200 days', 'old.many', 'success' FROM generate_series(1, 2500)"
        )
        assert await _purge(own) == 0, "without a decision all is kept"
        keep_audit_log(owner, 100)
        assert await _purge(own) == 2502
        left = {action for (action,) in owner.execute("SELECT action FROM audit_log WHERE action LIKE 'old.%'")}
    assert left == {"old.1", "old.99"}


def test_role_of_the_api_can_neither_shorten_the_log_nor_choose_what_goes(start: Callable[..., Service]) -> None:
    own = start()
    with own.server.connect(own.database) as owner:
        keep_audit_log(owner, 100)
        owner.execute("INSERT INTO audit_log (action, outcome) VALUES ('young', 'success')")
    with own.server.connect(own.database, user="api") as api:
        for statement in (
            "UPDATE retention SET days = 1",
            "INSERT INTO retention VALUES ('patients', 1)",
            "DELETE FROM retention",
            "DELETE FROM audit_log",
            "CREATE OR REPLACE FUNCTION purge_audit_log(most integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(InsufficientPrivilege):
                api.execute(statement)
        # Names of its own, which a function of another schema might be led to.
        api.execute("CREATE TEMP TABLE audit_log (id bigint, at timestamptz)")
        api.execute("CREATE TEMP TABLE retention AS SELECT 'audit_log' AS subject, 1 AS days")
        assert api.execute("SELECT purge_audit_log(1000000)").fetchone() == (0,)
        assert api.execute("SELECT count(*) FROM public.audit_log WHERE action = 'young'").fetchone() == (1,)


def test_logins_are_in_the_log_with_their_user(service: Service) -> None:
    email = f"{uuid.uuid4().hex}@test.example"
    user = service.add_user(email, "clinician")
    client = service.client()
    client.post("/api/v1/auth/login", json={"email": email, "password": "wrong"})
    assert service.await_audit(action="auth.login", target=user)["outcome"] == "denied"
    client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert service.audit(action="auth.login", actor=user)[0]["outcome"] == "success"


def test_auditor_reads_the_log_page_by_page_and_filtered(service: Service, client: httpx.Client) -> None:
    patient = created(client)["id"]
    for _ in range(3):
        client.patch(f"{PATIENTS}/{patient}", json={})
    auditor = service.as_role("auditor")
    filters = {"target": patient, "action": "patients.change", "outcome": "success", "limit": 2}
    first = auditor.get(AUDIT, params=filters)
    second = auditor.get(first.request.url.join(first.headers["link"].partition(">")[0][1:]))
    entries = [*first.json(), *second.json()]
    assert len(entries) == 3
    assert [entry["id"] for entry in entries] == sorted((entry["id"] for entry in entries), reverse=True)
    assert {entry["action"] for entry in entries} == {"patients.change"}
    assert "link" not in second.headers
    me = client.get("/api/v1/auth/me").json()["id"]
    assert {entry["actor"] for entry in auditor.get(AUDIT, params={"actor": me}).json()} == {me}
    assert auditor.get(AUDIT, params={"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}).json() == []


def test_reads_are_written_before_the_service_ends(start: Callable[..., Service]) -> None:
    service = start()
    client = service.as_role("clinician")
    for _ in range(20):
        assert client.get(PATIENTS).status_code == 200
    assert service.stop() == 0
    assert len(service.audit(action="patients.list")) == 20


def test_planted_data_is_in_no_log_and_no_audit_entry(start: Callable[..., Service]) -> None:
    """Names, addresses, passwords, tokens: sent in every way, found nowhere but in the tables of patients and users."""
    service = start(log_level="debug")
    planted = {
        "first_name": "Xanthippe",
        "last_name": "Quackenbush",
        "email": "xanthippe.q@planted.example",
        "phone": "555 0147 2839",
        "date_of_birth": "1961-07-23",
    }
    secrets = [PASSWORD, "wrong-Purple-lantern", "Hyperglycaemia-planted"]
    client = service.as_role("admin")
    patient = client.post(PATIENTS, json=planted, headers={"Idempotency-Key": "planted-key"}).json()["id"]
    client.post(PATIENTS, json=planted)
    client.post(PATIENTS, json=planted | {"first_name": "Xanthippe\x00"})
    client.post(PATIENTS, json={"Xanthippe": "Quackenbush"})
    client.post(PATIENTS, content=b'{"first_name": "Xanthippe", "')
    client.put(f"{PATIENTS}/{patient}", json=planted)
    client.post(f"{PATIENTS}/_search", json={"name": "Xanthippe", "email": planted["email"]})
    client.get(PATIENTS, params={"email": planted["email"], "limit": "Quackenbush"})
    client.get(f"{PATIENTS}/Quackenbush")
    client.get(f"/{planted['email']}")
    client.get(PATIENTS, headers={"X-Request-ID": planted["email"]})
    record = {"record_type": "note", "data": {"finding": secrets[2]}, "recorded_at": "2020-01-01T00:00:00Z"}
    client.post(f"{PATIENTS}/{patient}/records", json=record)
    client.post(f"{PATIENTS}/{patient}/records/_search", json={"data": {"finding": secrets[2]}})
    anybody = service.client()
    anybody.post("/api/v1/auth/login", json={"email": planted["email"], "password": secrets[1]})
    anybody.post("/api/v1/auth/login", json={"email": planted["email"], "password": {"x": secrets[1]}})
    anybody.get(PATIENTS, headers={"Authorization": f"Bearer {secrets[1]}"})
    session = service.login("admin@test.example")
    secrets += [session["token"], session["refresh_token"], session["token"].split(".")[2]]
    anybody.post("/api/v1/auth/refresh", json={"refresh_token": session["refresh_token"]})
    user = {"email": "new.user@planted.example", "password": "eleven-White-lanterns", "role": "clinician"}
    client.post("/api/v1/users", json=user)
    with service.server.connect(service.database) as admin:
        admin.execute("ALTER TABLE patients RENAME COLUMN phone TO telephone")  # a fault with data in its hands
        assert client.post(PATIENTS, json=planted | {"email": "other@planted.example"}).status_code == 500
        admin.execute("ALTER TABLE patients RENAME COLUMN telephone TO phone")
    metrics = httpx.get(f"http://127.0.0.1:{service.ports['metrics']}/metrics", trust_env=False).text
    assert service.stop() == 0
    with service.server.connect(service.database) as admin:
        audit = str(admin.execute("SELECT * FROM audit_log").fetchall())
    service_key = (service.home / "key").read_text().splitlines()[1]
    database_password = (service.home / "password").read_text()
    for text in [*planted.values(), *secrets, "planted.example", "eleven-White", service_key, database_password]:
        for name, place in {"log": service.output, "audit": audit, "metrics": metrics}.items():
            assert text.lower() not in place.lower(), f"{text!r} is in the {name}"
    assert "UndefinedColumn" in service.output, "the fault itself is logged"
