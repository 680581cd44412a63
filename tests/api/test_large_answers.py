"""Large records: pages end early, memory is bounded, and who got them is written down before."""

import json
import random
import socket
import string
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.api.test_patients import PATIENTS, created

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


def _records(service: Service, sizes: list[int]) -> tuple[str, list[str]]:
    """Records of a patient of their own, past the API, the newest first: their path and ids."""
    patient = created(service.as_role("admin"))["id"]
    letters = random.Random(1).choices(string.ascii_letters, k=max(sizes))
    with service.server.connect(service.database) as admin:
        ids = [
            admin.execute(
                "INSERT INTO health_records (patient_id, record_type, data, recorded_at)"
                " VALUES (%s, 'scan', %s::jsonb, timestamp '2024-01-01' - make_interval(secs => %s))"
                " RETURNING id::text",
                (patient, json.dumps({"image": "".join(letters[:size])}), number),
            ).fetchone()
            for number, size in enumerate(sizes)
        ]
    return f"{PATIENTS}/{patient}/records", [row[0] for row in ids if row]


def _pages(client: httpx.Client, url: str) -> list[list[str]]:
    """The ids of each page, by its links."""
    pages: list[list[str]] = []
    following: Any = url
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        pages.append([item["id"] for item in answer.json()])
        link = answer.headers.get("link")
        following = answer.request.url.join(link.partition(">")[0][1:]) if link else None
    return pages


def test_a_page_ends_before_its_bytes_and_the_next_goes_on_there(start: Callable[..., Service]) -> None:
    service = start(max_page_bytes=100_000)
    # A larger one by itself is a page of its own, wherever it stands.
    url, ids = _records(service, [200_000, 40_000, 40_000, 40_000, 300_000, 10, 10, 200_000])
    client = service.as_role("agent")
    sizes = [[0], [1, 2], [3], [4], [5, 6], [7]]
    assert _pages(client, f"{url}?limit=50") == [[ids[number] for number in page] for page in sizes]
    assert _pages(client, f"{url}?limit=1") == [[each] for each in ids]
    item = client.get(f"{url}?limit=50").json()[0]
    assert item.keys() == {"id", "patient_id", "record_type", "data", "recorded_at", "created_at"}


def test_a_page_of_a_search_ends_before_its_bytes_too(start: Callable[..., Service]) -> None:
    service = start(max_page_bytes=100_000)
    url, ids = _records(service, [40_000, 40_000, 40_000, 200_000, 10])
    client = service.as_role("agent")
    pages, cursor = [], None
    while True:
        found = client.post(f"{url}/_search", json={"type": "scan", "data": {}, "cursor": cursor}).json()
        pages.append([item["id"] for item in found["items"]])
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert pages == [ids[:2], ids[2:3], ids[3:4], ids[4:]]


def test_a_page_of_agents_ends_before_its_bytes_too(start: Callable[..., Service]) -> None:
    service = start(max_page_bytes=100_000)
    admin = service.as_role("admin")
    ids = [agent["id"] for agent in admin.get("/api/v1/agents").json()]
    admin.patch(f"/api/v1/agents/{ids[0]}", json={"config": None})
    for agent in ids[1:]:
        assert admin.patch(f"/api/v1/agents/{agent}", json={"config": {"x": "y" * 60_000}}).status_code == 200
    assert _pages(admin, "/api/v1/agents") == [ids[:2], ids[2:3], ids[3:]]
    assert admin.get("/api/v1/agents").json()[0]["config"] is None


def _peak_mib(service: Service) -> float:
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kib) / 1024


def test_many_who_read_large_records_do_not_exhaust_the_memory(start: Callable[..., Service]) -> None:
    service = start()
    url, ids = _records(service, [MIB] * 50)
    clients = [service.as_role(role) for role in ("agent", "clinician", "admin") for _ in range(4)]
    for client in clients:
        client.get(f"{PATIENTS}?limit=1")
    before = _peak_mib(service)
    statuses: list[int] = []

    def read(client: httpx.Client) -> None:
        statuses.append(client.get(f"{url}?limit=50").status_code)

    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503}
    assert 200 in statuses
    assert _peak_mib(service) - before < 100, "what the smallest pods have for it"
    assert len(service.audit(action="records.list", outcome="success")) == statuses.count(200)
    assert [record for page in _pages(clients[0], f"{url}?limit=50") for record in page] == ids


class Silent:
    """A client that asks, and then does nothing any more."""

    def __init__(self, service: Service, token: str, request: str, body: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.ports["api"]))
        # What the kernel would take for it would count as read.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"{request} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n"
        self._socket.sendall(f"{head}Content-Type: application/json\r\nContent-Length: ".encode())
        self._socket.sendall(f"{2_000_000 if body else 0}\r\n\r\n".encode() + body)

    def __enter__(self) -> "Silent":
        return self

    def rest(self) -> int:
        """How many bytes still come until the service ends the connection."""
        self._socket.settimeout(60)
        received = 0
        try:
            while part := self._socket.recv(65_536):
                received += len(part)
        except ConnectionResetError:
            pass
        return received

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_answers_that_nobody_takes_are_counted_for_who_asked(start: Callable[..., Service]) -> None:
    service = start(max_answers_bytes=24 * MIB, max_page_bytes=10 * MIB, send_seconds=300)
    url, _ = _records(service, [MIB] * 10)
    slow, other = service.as_role("agent"), service.as_role("clinician")
    with Silent(service, service.token_of("agent"), f"GET {url}?limit=50"):
        service.await_audit(action="records.list", outcome="success")
        refused = slow.get(f"{url}?limit=50")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert slow.get(f"{url}?limit=1").status_code == 200, "a share is a half"
        assert other.get(f"{url}?limit=50").status_code == 200
    service.await_true(lambda: slow.get(f"{url}?limit=50").status_code == 200, what="the end of the slow one")


def test_a_change_that_was_made_is_answered_though_there_is_no_room(start: Callable[..., Service]) -> None:
    service = start(max_answers_bytes=1024, max_page_bytes=10 * MIB, send_seconds=300)
    # More than the kernel takes of an answer that nobody reads.
    url, _ = _records(service, [MIB] * 10)
    record = {"record_type": "scan", "data": {"image": "x" * 900_000}, "recorded_at": "2024-01-01T00:00:00Z"}
    with Silent(service, service.token_of("agent"), f"GET {url}?limit=50"):
        service.await_audit(action="records.list", outcome="success")
        client = service.as_role("clinician")
        assert client.get(url).status_code == 503
        assert client.post(url, json=record).status_code == 201


def test_a_client_that_takes_nothing_of_its_answer_is_given_up(start: Callable[..., Service]) -> None:
    service = start(max_page_bytes=10 * MIB, send_seconds=0.5)
    url, _ = _records(service, [MIB] * 10)
    with Silent(service, service.token_of("agent"), f"GET {url}?limit=50") as silent:
        service.await_record("request", route="/api/v1/patients/{patient_id}/records", status=200)
        assert silent.rest() < 9 * MIB, "no more than what the kernel had taken"
    assert service.as_role("agent").get(f"{url}?limit=50").status_code == 200


def test_a_large_answer_leaves_after_its_entry_in_the_audit_log(start: Callable[..., Service]) -> None:
    service = start(database_statement_seconds=1)
    url, ids = _records(service, [200_000, 10])
    client = service.as_role("agent")
    client.get(f"{url}/{ids[1]}")
    with service.server.connect(service.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        for path in (f"{url}?limit=1", f"{url}/{ids[0]}"):
            assert client.get(path).status_code == 503
        assert client.get(f"{url}/{ids[1]}").status_code == 200, "a small one does not wait for its entry"
    request = {"X-Request-ID": uuid.uuid4().hex}
    assert client.get(f"{url}?limit=1", headers=request).status_code == 200
    (entry,) = service.audit(request_id=request["X-Request-ID"])
    assert (entry["action"], entry["outcome"]) == ("records.list", "success")


def test_large_bodies_wait_for_those_that_are_under_way(start: Callable[..., Service]) -> None:
    bodies = {"max_body_bytes": 4_000_000, "max_bodies_bytes": 5_000_000}
    service = start(**bodies, database_wait_seconds=0.5, body_seconds=60)
    url = f"{PATIENTS}/{created(service.as_role('admin'))['id']}/records"
    record = {"record_type": "scan", "data": {"image": "x" * 1_000_000}, "recorded_at": "2024-01-01T00:00:00Z"}
    slow, other = service.as_role("agent"), service.as_role("clinician")
    slow.get(PATIENTS)
    with Silent(service, service.token_of("agent"), f"POST {url}", b"{"):
        service.await_true(lambda: slow.post(url, json=record).status_code == 503, what="the share that is in use")
        small = {**record, "data": {}}
        assert slow.post(url, json=small).status_code == 201
        assert other.post(url, json=record).status_code == 201
    service.await_true(lambda: slow.post(url, json=record).status_code == 201, what="the end of the slow one")
