"""Patients: what comes in comes out, conflicts are told, nothing is lost or shown that should not be."""

import threading
import uuid
from typing import Any

import httpx
import pytest

from tests.api.service import Service

pytestmark = pytest.mark.integration

PATIENTS = "/api/v1/patients"


def ada(**changes: Any) -> dict[str, Any]:
    """A patient that nobody else has made."""
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "date_of_birth": "1985-12-10",
        "email": f"{uuid.uuid4().hex}@example.org",
        "phone": "+44 20 7946 0958",
    } | changes


def created(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = client.post(PATIENTS, json=ada(**changes))
    assert answer.status_code == 201, answer.text
    patient: dict[str, Any] = answer.json()
    return patient


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("admin")


def test_created_patient_comes_back_as_it_was_sent(client: httpx.Client) -> None:
    sent = ada()
    answer = client.post(PATIENTS, json=sent)
    assert answer.status_code == 201
    patient = answer.json()
    assert {name: patient[name] for name in sent} == sent
    assert patient.keys() == {"id", *sent, "created_at", "updated_at"}
    assert answer.headers["location"] == f"{PATIENTS}/{patient['id']}"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["cache-control"] == "no-store"
    got = client.get(answer.headers["location"])
    assert (got.status_code, got.json(), got.headers["etag"]) == (200, patient, '"1"')


@pytest.mark.parametrize("written", [str.upper, lambda text: text.replace("-", "")])
def test_id_may_be_written_in_other_ways(service: Service, client: httpx.Client, written: Any) -> None:
    patient = created(client)
    request = f"written-{uuid.uuid4().hex}"
    got = client.get(f"{PATIENTS}/{written(patient['id'])}", headers={"X-Request-ID": request})
    assert (got.status_code, got.json()) == (200, patient)
    assert service.await_audit(request_id=request)["target"] == patient["id"]


def test_head_is_answered_as_get_without_the_body(service: Service, client: httpx.Client) -> None:
    patient = created(client)
    for path in (f"{PATIENTS}/{patient['id']}", f"{PATIENTS}?limit=1"):
        got = client.get(path)
        request = uuid.uuid4().hex
        head = client.head(path, headers={"X-Request-ID": request})
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "link", "content-type", "cache-control"):
            assert head.headers.get(name) == got.headers.get(name)
        assert int(head.headers["content-length"]) > 2
        assert service.await_audit(request_id=request)["outcome"] == "success", "it tells of a patient, as a read does"
    tag = client.get(f"{PATIENTS}/{patient['id']}").headers["etag"]
    assert client.head(f"{PATIENTS}/{patient['id']}", headers={"If-None-Match": tag}).status_code == 304
    assert client.head(f"{PATIENTS}/{uuid.uuid4()}").status_code == 404
    assert client.head(f"{PATIENTS}/_search").headers["allow"] == "POST"
    assert service.client().head(PATIENTS).status_code == 401


def test_text_of_any_script_survives(client: httpx.Client) -> None:
    name = "Zoë \u202eO'Brien-Łukasiewicz \U0001f98a \u0645\u0631\u062d\u0628\u0627"
    patient = created(client, first_name=name)
    assert client.get(f"{PATIENTS}/{patient['id']}").json()["first_name"] == name


def test_optional_fields_may_be_left_out(client: httpx.Client) -> None:
    sent = {"first_name": "A", "last_name": "B", "date_of_birth": "1900-01-01"}
    patient = client.post(PATIENTS, json=sent).json()
    assert (patient["email"], patient["phone"]) == (None, None)


def test_second_patient_with_an_address_is_a_conflict_that_names_the_field(client: httpx.Client) -> None:
    sent = ada()
    client.post(PATIENTS, json=sent)
    answer = client.post(PATIENTS, json=sent | {"email": sent["email"].upper()})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"pointer": "#/email", "detail": "Another patient has this address"}]
    assert sent["email"] not in answer.text


def test_put_replaces_everything(client: httpx.Client) -> None:
    patient = created(client)
    sent = {"first_name": "Augusta", "last_name": "King", "date_of_birth": "1985-12-11"}
    answer = client.put(f"{PATIENTS}/{patient['id']}", json=sent)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    now = answer.json()
    assert {name: now[name] for name in sent} == sent
    assert (now["email"], now["phone"], now["created_at"]) == (None, None, patient["created_at"])
    assert now["updated_at"] > patient["updated_at"]


def test_patch_changes_what_it_names(client: httpx.Client) -> None:
    patient = created(client)
    url = f"{PATIENTS}/{patient['id']}"
    answer = client.patch(url, json={"phone": None, "last_name": "King"})
    expected = patient | {"phone": None, "last_name": "King", "updated_at": answer.json()["updated_at"]}
    assert (answer.status_code, answer.json()) == (200, expected)
    merge = {"Content-Type": "application/merge-patch+json"}
    assert client.patch(url, content=b'{"first_name": "Augusta"}', headers=merge).json()["first_name"] == "Augusta"


def test_patch_cannot_remove_what_every_patient_has(client: httpx.Client) -> None:
    patient = created(client)
    answer = client.patch(f"{PATIENTS}/{patient['id']}", json={"first_name": None})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/first_name"


def test_empty_patch_changes_nothing_but_the_version(client: httpx.Client) -> None:
    patient = created(client)
    answer = client.patch(f"{PATIENTS}/{patient['id']}", json={})
    assert answer.json() == patient | {"updated_at": answer.json()["updated_at"]}


def test_change_of_an_old_version_is_refused(client: httpx.Client) -> None:
    patient = created(client)
    url = f"{PATIENTS}/{patient['id']}"
    first = client.patch(url, json={"phone": "111"}, headers={"If-Match": '"1"'})
    assert first.headers["etag"] == '"2"'
    for method in ("PATCH", "PUT", "DELETE"):
        body = {} if method == "DELETE" else {"json": ada() if method == "PUT" else {"phone": "222"}}
        late = client.request(method, url, headers={"If-Match": '"1"'}, **body)
        assert late.status_code == 412, method
    assert client.get(url).json()["phone"] == "111"


@pytest.mark.parametrize("tag", ["*", '"1"', '"7", "1"'])
def test_if_match_takes_any_of_its_tags(client: httpx.Client, tag: str) -> None:
    patient = created(client)
    assert client.patch(f"{PATIENTS}/{patient['id']}", json={}, headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize("tag", ['W/"1"', "1", "nonsense", '"99999999999999999999"', '"-1"', '"1; DROP TABLE x"'])
def test_if_match_that_is_no_strong_tag_of_the_version_never_matches(client: httpx.Client, tag: str) -> None:
    patient = created(client)
    assert client.patch(f"{PATIENTS}/{patient['id']}", json={}, headers={"If-Match": tag}).status_code == 412


def test_of_writers_at_the_same_time_with_one_version_one_wins(service: Service, client: httpx.Client) -> None:
    patient = created(client)
    url = f"{PATIENTS}/{patient['id']}"
    statuses: list[int] = []

    def write(number: int) -> None:
        answer = service.as_role("admin").patch(url, json={"phone": f"{number}00"}, headers={"If-Match": '"1"'})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7


@pytest.mark.parametrize(("tag", "status"), [('"1"', 304), ('W/"1"', 304), ("*", 304), ('"2"', 200), ("1", 200)])
def test_unchanged_patient_is_not_sent_again(client: httpx.Client, tag: str, status: int) -> None:
    patient = created(client)
    answer = client.get(f"{PATIENTS}/{patient['id']}", headers={"If-None-Match": tag})
    assert answer.status_code == status
    assert answer.headers["etag"] == '"1"'
    assert bool(answer.content) is (status == 200)


def test_deleted_patient_is_gone_for_every_operation_and_frees_the_address(client: httpx.Client) -> None:
    patient = created(client)
    url = f"{PATIENTS}/{patient['id']}"
    assert client.delete(url).status_code == 204
    for answer in (
        client.get(url),
        client.put(url, json=ada()),
        client.patch(url, json={}),
        client.delete(url),
        client.get(f"{url}/records"),
        client.post(f"{url}/records", json={"record_type": "x", "data": {}, "recorded_at": "2020-01-01T00:00:00Z"}),
    ):
        assert answer.status_code == 410, answer.request
    found = client.post(f"{PATIENTS}/_search", json={"email": patient["email"]}).json()
    assert found == {"items": [], "next_cursor": None}
    assert created(client, email=patient["email"])["id"] != patient["id"]


def test_unknown_patient_is_not_found(client: httpx.Client) -> None:
    url = f"{PATIENTS}/{uuid.uuid4()}"
    for answer in (client.get(url), client.put(url, json=ada()), client.patch(url, json={}), client.delete(url)):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "There is no such resource."


def test_search_finds_by_the_beginning_of_either_name_and_by_all_that_is_given(client: httpx.Client) -> None:
    tag = uuid.uuid4().hex
    one = created(client, last_name=f"{tag}-One", date_of_birth="1970-01-01")
    two = created(client, first_name=f"{tag.upper()}-Two", date_of_birth="1980-01-01")

    def found(**wanted: Any) -> list[str]:
        return [patient["id"] for patient in client.post(f"{PATIENTS}/_search", json=wanted).json()["items"]]

    assert found(name=tag) == [two["id"], one["id"]]
    assert found(name=tag, date_of_birth="1970-01-01") == [one["id"]]
    assert found(email=two["email"].upper()) == [two["id"]]
    assert found(name=tag, email="nobody@example.org") == []


@pytest.mark.parametrize("pattern", ["%", "_", "\\", "a%", "' OR 1=1 --"])
def test_search_takes_patterns_literally(client: httpx.Client, pattern: str) -> None:
    created(client)
    wanted = {"name": f"{pattern}{uuid.uuid4().hex}"}
    assert client.post(f"{PATIENTS}/_search", json=wanted).json()["items"] == []
    odd = created(client, last_name=f"{pattern}x")
    items = client.post(f"{PATIENTS}/_search", json={"name": pattern}).json()["items"]
    assert odd["id"] in [item["id"] for item in items]
    assert all(pattern in item["last_name"] for item in items)


def test_search_goes_on_by_its_cursor(client: httpx.Client) -> None:
    tag = uuid.uuid4().hex
    made = [created(client, last_name=f"{tag}{number}")["id"] for number in range(5)]
    wanted: dict[str, Any] = {"name": tag, "limit": 2}
    seen = []
    for expected in (2, 2, 1):
        page = client.post(f"{PATIENTS}/_search", json=wanted).json()
        assert len(page["items"]) == expected
        seen += [item["id"] for item in page["items"]]
        wanted["cursor"] = page["next_cursor"]
    assert page["next_cursor"] is None
    assert seen == made[::-1]


def test_post_with_a_key_is_done_once_and_answered_the_same(client: httpx.Client) -> None:
    sent, key = ada(), {"Idempotency-Key": uuid.uuid4().hex}
    first = client.post(PATIENTS, json=sent, headers=key)
    again = client.post(PATIENTS, json=sent, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert (again.headers["location"], again.headers["etag"]) == (first.headers["location"], first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_key_of_another_request_is_refused(client: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert client.post(PATIENTS, json=ada(), headers=key).status_code == 201
    answer = client.post(PATIENTS, json=ada(), headers=key)
    assert answer.status_code == 422
    assert "another request" in answer.json()["detail"]


def test_keys_of_two_users_are_two_keys(service: Service, client: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.post(PATIENTS, json=ada(), headers=key).json()
    second = service.as_role("clinician").post(PATIENTS, json=ada(), headers=key).json()
    assert first["id"] != second["id"]


def test_request_that_failed_may_be_sent_again_with_its_key(client: httpx.Client) -> None:
    other, key = created(client), {"Idempotency-Key": uuid.uuid4().hex}
    sent = ada(email=other["email"])
    assert client.post(PATIENTS, json=sent, headers=key).status_code == 409
    client.delete(f"{PATIENTS}/{other['id']}")
    assert client.post(PATIENTS, json=sent, headers=key).status_code == 201


def test_requests_at_the_same_time_with_one_key_make_one_patient(service: Service, client: httpx.Client) -> None:
    sent, key = ada(email=None), {"Idempotency-Key": uuid.uuid4().hex}
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(service.as_role("admin").post(PATIENTS, json=sent, headers=key)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9".encode().decode("latin-1")])
def test_key_that_cannot_be_stored_is_refused(client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert client.post(PATIENTS, json=ada(), headers=headers).status_code == 422
