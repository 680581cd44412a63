"""Lists: pages, cursors, counts. On a database of the module's own, since others add patients."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.api.postgres import Server
from tests.api.service import Service, running_service

pytestmark = pytest.mark.integration

PATIENTS = "/api/v1/patients"
NUMBER = 120


@pytest.fixture(scope="module")
def filled(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with patients, ten of whom share each moment of creation."""
    server.create_database("paging", template)
    with server.connect("paging") as admin:
        admin.execute(
            "INSERT INTO patients (first_name, last_name, date_of_birth, created_at)"
            " SELECT 'N' || n, 'X', '2000-01-01', timestamp '2024-01-01' + (n / 10) * interval '1 second'"
            " FROM generate_series(1, %s) AS n",
            (NUMBER,),
        )
        admin.execute("UPDATE patients SET deleted_at = now() WHERE first_name = 'N7'")
    with running_service(server, "paging", tmp_path_factory.mktemp("paging")) as service:
        yield service


@pytest.fixture
def client(filled: Service) -> httpx.Client:
    return filled.as_role("clinician")


def _next(answer: httpx.Response) -> str | None:
    link = answer.headers.get("link")
    if link is None:
        return None
    target, relation = link.split("; ")
    assert relation == 'rel="next"'
    return str(answer.request.url.join(target.strip("<>")))


def _names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [patient["first_name"] for patient in answer.json()]


def test_list_without_parameters_is_the_first_fifty(client: httpx.Client) -> None:
    answer = client.get(PATIENTS)
    assert len(answer.json()) == 50
    moments = [(patient["created_at"], patient["id"]) for patient in answer.json()]
    assert moments == sorted(moments, reverse=True)
    assert moments[0][0].endswith("Z")


@pytest.mark.parametrize("limit", [1, 7, 10, 50, 119, 200])
def test_pages_by_cursor_show_each_patient_once(client: httpx.Client, limit: int) -> None:
    whole = _names(client.get(PATIENTS, params={"limit": 200}))
    assert len(whole) == len(set(whole)) == NUMBER - 1
    assert "N7" not in whole
    seen: list[str] = []
    url: str | None = f"{PATIENTS}?limit={limit}"
    while url:
        answer = client.get(url)
        assert len(answer.json()) <= limit
        seen += _names(answer)
        url = _next(answer)
    assert seen == whole


def test_pages_by_offset_show_the_same(client: httpx.Client) -> None:
    whole = _names(client.get(PATIENTS, params={"limit": 200}))
    seen = [
        name
        for offset in range(0, 130, 13)
        for name in _names(client.get(PATIENTS, params={"limit": 13, "offset": offset}))
    ]
    assert seen == whole
    assert _names(client.get(PATIENTS, params={"offset": 1_000_000})) == []


def test_next_page_of_an_offset_goes_on_by_cursor(client: httpx.Client) -> None:
    answer = client.get(PATIENTS, params={"limit": 10, "offset": 20})
    url = _next(answer)
    assert url
    assert parse_qs(urlsplit(url).query).keys() == {"limit", "cursor"}
    assert _names(client.get(url)) == _names(client.get(PATIENTS, params={"limit": 10, "offset": 30}))


def test_new_patient_does_not_move_the_pages_behind_a_cursor(filled: Service, client: httpx.Client) -> None:
    url = _next(client.get(PATIENTS, params={"limit": 5}))
    assert url
    before = _names(client.get(url))
    new = {"first_name": "New", "last_name": "X", "date_of_birth": "2000-01-01"}
    made = client.post(PATIENTS, json=new).json()
    assert _names(client.get(url)) == before
    assert _names(client.get(PATIENTS, params={"limit": 1})) == ["New"]
    filled.as_role("admin").delete(f"{PATIENTS}/{made['id']}")


def test_link_holds_no_personal_data_and_works_behind_a_prefix(client: httpx.Client) -> None:
    link = client.get(PATIENTS, params={"limit": 5}).headers["link"]
    assert link.startswith("<?limit=5&cursor=")


def test_count_is_told_on_request(filled: Service, client: httpx.Client) -> None:
    assert "x-total-count" not in client.get(PATIENTS).headers
    with filled.server.connect(filled.database) as admin:
        row = admin.execute("SELECT count(*) FROM patients WHERE deleted_at IS NULL").fetchone()
        assert row
        exact = client.get(PATIENTS, params={"count": "exact", "limit": 1})
        assert exact.headers["x-total-count"] == str(row[0])
        admin.execute("ANALYZE patients")
    estimate = client.get(PATIENTS, params={"count": "estimate", "limit": 1})
    assert int(estimate.headers["x-total-count"]) >= row[0]  # the statistics know the deleted ones, too


def test_deep_page_by_cursor_uses_the_index(filled: Service) -> None:
    with filled.server.connect(filled.database) as admin:
        admin.execute("SET enable_seqscan = off")
        plan = admin.execute(
            "EXPLAIN SELECT id FROM patients WHERE deleted_at IS NULL"
            " AND (created_at, id) < ('2024-01-01', '00000000-0000-0000-0000-000000000000')"
            " ORDER BY created_at DESC, id DESC LIMIT 50"
        ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "idx_patients_page" in text
    assert "Sort" not in text
