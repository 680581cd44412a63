"""Health records: stored as they are, found by what they contain, told apart by patient."""

import uuid
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.api.test_patients import PATIENTS, created

pytestmark = pytest.mark.integration

DATA = {"heart_rate": 72, "blood_pressure": {"systolic": 120, "diastolic": 80}, "tags": ["resting", "left arm"]}


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("clinician")


@pytest.fixture
def url(client: httpx.Client) -> str:
    return f"{PATIENTS}/{created(client)['id']}/records"


def record(**changes: Any) -> dict[str, Any]:
    return {"record_type": "vital_signs", "data": DATA, "recorded_at": "2024-05-01T10:00:00Z"} | changes


def _ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [item["id"] for item in (body if isinstance(body, list) else body["items"])]


def test_created_record_comes_back_as_it_was_sent(client: httpx.Client, url: str) -> None:
    answer = client.post(url, json=record())
    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in record()} == record()
    assert made.keys() == {"id", "patient_id", *record(), "created_at"}
    got = client.get(answer.headers["location"])
    assert (got.json(), got.headers["etag"]) == (made, answer.headers["etag"])
    same = client.get(answer.headers["location"], headers={"If-None-Match": got.headers["etag"]})
    assert same.status_code == 304


def test_moment_is_kept_as_utc(client: httpx.Client, url: str) -> None:
    made = client.post(url, json=record(recorded_at="2024-05-01T12:30:00.25+02:30")).json()
    assert made["recorded_at"] == "2024-05-01T10:00:00.25Z"


def test_list_has_the_newest_first_and_goes_on_by_cursor(client: httpx.Client, url: str) -> None:
    made = [
        client.post(url, json=record(recorded_at=f"2024-05-01T10:00:0{second}Z")).json()["id"] for second in range(5)
    ]
    made += [client.post(url, json=record(recorded_at="2024-05-01T10:00:04Z")).json()["id"]]
    seen: list[str] = []
    following: Any = f"{url}?limit=2"
    while following:
        answer = client.get(following)
        seen += _ids(answer)
        link = answer.headers.get("link")
        following = answer.request.url.join(link.partition(">")[0][1:]) if link else None
    assert set(seen) == set(made)
    assert len(seen) == len(made)
    assert seen[2:] == made[3::-1]


def test_filters_of_the_list_stay_in_the_link(client: httpx.Client, url: str) -> None:
    for hour in range(4):
        client.post(url, json=record(recorded_at=f"2024-05-01T1{hour}:00:00Z", record_type="a" if hour % 2 else "b"))
    everything = {"type": "a", "since": "2024-05-01T10:00:00Z", "until": "2024-05-01T14:00:00+00:00", "limit": 1}
    first = client.get(url, params=everything)
    second = client.get(first.request.url.join(first.headers["link"].partition(">")[0][1:]))
    found = [*first.json(), *second.json()]
    assert [(item["record_type"], item["recorded_at"][11:13]) for item in found] == [("a", "13"), ("a", "11")]
    assert "link" not in second.headers


def test_since_includes_its_moment_and_until_does_not(client: httpx.Client, url: str) -> None:
    one = client.post(url, json=record(recorded_at="2024-05-01T10:00:00Z")).json()["id"]
    two = client.post(url, json=record(recorded_at="2024-05-01T11:00:00Z")).json()["id"]
    assert _ids(client.get(url, params={"since": "2024-05-01T11:00:00Z"})) == [two]
    assert _ids(client.get(url, params={"until": "2024-05-01T11:00:00Z"})) == [one]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"heart_rate": 72}, True),
        ({"blood_pressure": {"systolic": 120}}, True),
        ({"tags": ["left arm"]}, True),
        ({}, True),
        ({"heart_rate": 73}, False),
        ({"systolic": 120}, False),
        ({"heart_rate": "72"}, False),
    ],
)
def test_search_finds_records_that_contain_something(
    client: httpx.Client, url: str, wanted: dict[str, Any], found: bool
) -> None:
    made = client.post(url, json=record()).json()["id"]
    assert _ids(client.post(f"{url}/_search", json={"data": wanted})) == ([made] if found else [])
    other = {"data": wanted, "type": "another"}
    assert _ids(client.post(f"{url}/_search", json=other)) == []


def test_search_goes_on_by_its_cursor(client: httpx.Client, url: str) -> None:
    made = {client.post(url, json=record()).json()["id"] for _ in range(3)}
    first = client.post(f"{url}/_search", json={"limit": 2}).json()
    second = client.post(f"{url}/_search", json={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert {item["id"] for item in [*first["items"], *second["items"]]} == made
    assert second["next_cursor"] is None


def test_record_belongs_to_its_patient_only(client: httpx.Client, url: str) -> None:
    made = client.post(url, json=record()).json()["id"]
    other = f"{PATIENTS}/{created(client)['id']}/records"
    assert client.get(f"{other}/{made}").status_code == 404
    assert _ids(client.get(other)) == []


def test_unknown_patient_has_no_records(client: httpx.Client) -> None:
    url = f"{PATIENTS}/{uuid.uuid4()}/records"
    for answer in (
        client.get(url),
        client.post(url, json=record()),
        client.post(f"{url}/_search", json={}),
        client.get(f"{url}/{uuid.uuid4()}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "There is no such patient."


def test_records_are_neither_changed_nor_deleted(client: httpx.Client, url: str) -> None:
    made = client.post(url, json=record()).json()["id"]
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.request(method, f"{url}/{made}").status_code == 405


def test_key_of_a_request_makes_one_record(client: httpx.Client, url: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = (client.post(url, json=record(), headers=key) for _ in range(2))
    assert first.content == second.content
    assert len(_ids(client.get(url))) == 1
