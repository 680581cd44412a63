"""Numbers in documents: what is sent comes back digit for digit, or is refused with a word on where and why."""

import json
import re
import uuid
from datetime import date
from typing import Any

import carebundle
import httpx
import pytest

from biospark_api.documents import MAX_DIGITS
from tests.api.service import Service
from tests.api.test_patients import PATIENTS, created

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}


def exactly(text: str | bytes) -> Any:
    """A JSON text with its numbers as they are written."""
    return json.loads(text, parse_float=lambda number: ("number", number), parse_int=lambda number: ("number", number))


def record(data: str, **changes: str) -> str:
    """A record whose data is this text."""
    others = {"record_type": "observation", "recorded_at": "2024-05-01T10:00:00Z"} | changes
    return json.dumps(others)[:-1] + f', "data": {data}}}'


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("admin")


@pytest.fixture
def url(client: httpx.Client) -> str:
    return f"{PATIENTS}/{created(client)['id']}/records"


def sent(client: httpx.Client, url: str, data: str, **headers: str) -> httpx.Response:
    return client.post(url, content=record(data), headers=JSON | headers)


def refusal(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["errors"]
    return fault["pointer"], fault["detail"]


@pytest.mark.parametrize(
    "number",
    [
        "5.10",
        "0.010",
        "-0.50",
        "0",
        "0.00",
        "-7",
        "1" + "0" * 40,
        "123456789012345678901234567890.123456789012345678901234567890",
        "3.14159265358979323846264338327950288419716939937510",
        "9" * MAX_DIGITS,
        "0." + "1" * (MAX_DIGITS - 2),
    ],
)
def test_number_comes_back_digit_for_digit(client: httpx.Client, url: str, number: str) -> None:
    answer = sent(client, url, f'{{"value": {number}, "list": [[{number}]]}}')
    assert answer.status_code == 201, answer.text
    expected = exactly(f'{{"value": {number}, "list": [[{number}]]}}')
    assert exactly(answer.content)["data"] == expected
    got = client.get(answer.headers["location"])
    assert exactly(got.content)["data"] == expected
    assert exactly(client.get(url).content)[0]["data"] == expected
    search = client.post(f"{url}/_search", content=f'{{"data": {{"value": {number}}}}}', headers=JSON)
    assert [item["data"] for item in exactly(search.content)["items"]] == [expected]


@pytest.mark.parametrize(
    ("number", "written_out"),
    [("1e-7", "0.0000001"), ("1.50E-2", "0.0150"), ("12.50e1", "125.0"), ("1e0", "1"), ("-2.5e-3", "-0.0025")],
)
def test_exponent_comes_back_written_out_with_the_same_digits(
    client: httpx.Client, url: str, number: str, written_out: str
) -> None:
    answer = sent(client, url, f'{{"value": {number}}}')
    assert exactly(answer.content)["data"] == {"value": ("number", written_out)}


@pytest.mark.parametrize("number", ["1e2", "1.5e3", "0e1", "1e+21", "1e999999999", "1E400"])
def test_exponent_that_would_add_digits_is_refused(client: httpx.Client, url: str, number: str) -> None:
    pointer, detail = refusal(sent(client, url, f'{{"a": [0, {{"b/c": {number}}}]}}'))
    assert pointer == "#/data/a/1/b~1c"
    assert "write it out" in detail


@pytest.mark.parametrize("number", ["-0", "-0.0", "-0.00e-5"])
def test_negative_zero_is_refused(client: httpx.Client, url: str, number: str) -> None:
    assert refusal(sent(client, url, f'{{"a": {number}}}')) == (
        "#/data/a",
        "Input should not be a negative zero; write it without the sign",
    )


@pytest.mark.parametrize(
    "number", ["9" * (MAX_DIGITS + 1), "0." + "1" * MAX_DIGITS, "1e-999999999", f"1e-{MAX_DIGITS + 1}", "9" * 200_000]
)
def test_number_without_end_is_refused(client: httpx.Client, url: str, number: str) -> None:
    pointer, detail = refusal(sent(client, url, f'{{"a": {number}}}'))
    assert pointer == "#/data/a"
    assert str(MAX_DIGITS) in detail


def test_many_exponents_cannot_make_a_large_answer_of_a_small_request(client: httpx.Client, url: str) -> None:
    pointer, _ = refusal(sent(client, url, f'{{"a": [{", ".join(["1e-999"] * 1000)}]}}'))
    assert pointer.startswith("#/data/a/")


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ('{"a": 1, "a": 1}', "#/data/a"),
        ('{"a": {"b": [0, {"c": 1, "d": 2, "c": 3}]}}', "#/data/a/b/1/c"),
        ('{"a": 1, "\\u0061": 2}', "#/data/a"),
        ('{"": 1, "": 2}', "#/data/"),
        ('{"a": 1, "b": ' + "9" * 5000 + ', "a": 2}', "#/data/a"),
        (f'{{"{"x" * 1000}": 1, "{"x" * 1000}": 2}}', "#/data"),
        ('{"\\ud800": 1, "\\ud800": 2}', "#/data"),
    ],
    ids=["flat", "deep", "escaped", "empty", "beside a long number", "long", "surrogate"],
)
def test_doubled_member_is_refused_where_it_is(client: httpx.Client, url: str, data: str, pointer: str) -> None:
    assert refusal(sent(client, url, data)) == (pointer, "Input should have each member once")
    search = client.post(f"{url}/_search", content=f'{{"data": {data}}}', headers=JSON)
    assert refusal(search) == (pointer, "Input should have each member once")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"first_name": "A", "first_name": "C"}', "#/first_name"),
        ('{"first_name": "A: B", "phone": null, "first_name": "C"}', "#/first_name"),
        ('{"first_name": "A", "first\\u005fname": "C"}', "#/first_name"),
        ('{"Jane Doe": "A", "Jane Doe": "B"}', "#"),
        ('{"Jane Doe": {"x": 1, "x": 2}}', "#"),
    ],
)
def test_doubled_member_of_a_body_is_refused_without_names_that_nobody_knows(
    client: httpx.Client, url: str, body: str, pointer: str
) -> None:
    answer = client.patch(url.removesuffix("/records"), content=body, headers=JSON)
    found, detail = refusal(answer)
    assert found == pointer
    assert detail == "Input should have each member once" or (pointer == "#" and "unknown member" in detail)
    assert "Jane" not in answer.text
    assert client.patch(url.removesuffix("/records"), content='{"first_name": "A: B"}', headers=JSON).status_code == 200


def test_search_finds_a_number_however_it_is_written(client: httpx.Client, url: str) -> None:
    made = sent(client, url, '{"value": 5.10}').json()["id"]
    for number in ("5.1", "5.10", "5.100", "510e-2"):
        found = client.post(f"{url}/_search", content=f'{{"data": {{"value": {number}}}}}', headers=JSON).json()
        assert [item["id"] for item in found["items"]] == [made], number


def test_configuration_of_an_agent_keeps_its_digits(client: httpx.Client) -> None:
    agent = client.get("/api/v1/agents").json()[0]["id"]
    path = f"/api/v1/agents/{agent}"
    before = client.get(path)
    wanted = '{"threshold": 0.10, "large": 12345678901234567890.10}'
    try:
        changed = client.patch(path, content=f'{{"config": {wanted}}}', headers=JSON)
        assert exactly(changed.content)["config"] == exactly(wanted)
        got = client.get(path)
        assert exactly(got.content)["config"] == exactly(wanted)
        assert got.headers["etag"] == changed.headers["etag"] != before.headers["etag"]
        for bad, pointer in (('{"a": [-0.0]}', "#/config/a/0"), ('{"a": 1, "a": 2}', "#/config/a")):
            assert refusal(client.patch(path, content=f'{{"config": {bad}}}', headers=JSON))[0] == pointer
    finally:
        client.patch(path, json={"config": before.json()["config"]})


def test_request_that_is_sent_twice_is_told_from_one_with_other_digits(client: httpx.Client, url: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = sent(client, url, '{"value": 5.10}', **key)
    again = sent(client, url, '{"value": 5.10}', **key)
    assert (again.status_code, again.content) == (201, first.content)
    assert sent(client, url, '{"value": 5.1}', **key).status_code == 422


def _resources(seed: int) -> list[str]:
    """FHIR R4 resources that belong together, with decimals as laboratories report them: some end in zero."""
    bundle = carebundle.generate_bundle(profile="ckd_stage3", seed=seed, reference_date=date(2024, 5, 1))
    entries = json.loads(carebundle.to_json(bundle))["entry"]
    return [
        re.sub(r'("value": -?\d+\.\d+)', r"\g<1>0", json.dumps(entry["resource"]))
        for entry in entries
        if entry["resource"]["resourceType"] != "Patient"
    ]


def test_fhir_resources_come_back_as_they_were_sent(client: httpx.Client, url: str) -> None:
    resources = _resources(seed=1)
    assert len(resources) > 20
    assert any(re.search(r'"value": \d+\.\d*0\b', text) for text in resources)
    made = {}
    for text in resources:
        answer = sent(client, url, text)
        assert answer.status_code == 201, answer.text
        got = client.get(answer.headers["location"])
        assert (got.content, got.headers["etag"]) == (answer.content, answer.headers["etag"])
        assert exactly(got.content)["data"] == exactly(text)
        made[answer.json()["id"]] = exactly(text)
    listed = exactly(client.get(url, params={"limit": 200}).content)
    assert {item["id"]: item["data"] for item in listed} == made
    quantities = [exactly(text)["valueQuantity"] for text in resources if "valueQuantity" in exactly(text)]
    assert quantities
    for quantity in quantities:
        _, number = quantity["value"]
        shorter = number.rstrip("0").rstrip(".") if "." in number else number
        wanted = f'{{"data": {{"valueQuantity": {{"value": {shorter}}}}}}}'
        search = client.post(f"{url}/_search", content=wanted, headers=JSON)
        assert quantity in [item["data"]["valueQuantity"] for item in exactly(search.content)["items"]]
