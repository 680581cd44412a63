"""Agents and users: what administrators change, and what follows from it at once."""

import threading
import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.api.service import PASSWORD, Service

pytestmark = pytest.mark.integration

AGENTS, USERS, ME = "/api/v1/agents", "/api/v1/users", "/api/v1/auth/me"


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("admin")


def test_the_four_agents_are_there(client: httpx.Client) -> None:
    agents = client.get(AGENTS).json()
    assert {agent["type"] for agent in agents} == {"analyst", "architect", "developer", "orchestrator"}
    (analyst,) = client.get(AGENTS, params={"type": "analyst"}).json()
    assert analyst["name"] == "Analyst Agent"
    assert analyst["config"] == {"version": "1.0", "capabilities": ["data_analysis", "reporting"]}
    assert client.get(f"{AGENTS}/{analyst['id']}").json() == analyst


def test_agents_are_found_by_status_and_paged(client: httpx.Client) -> None:
    assert client.get(AGENTS, params={"status": "unheard-of"}).json() == []
    first = client.get(AGENTS, params={"limit": 3})
    second = client.get(first.request.url.join(first.headers["link"].partition(">")[0][1:]))
    assert len({agent["id"] for agent in [*first.json(), *second.json()]}) == 4


def test_status_and_configuration_of_an_agent_change(client: httpx.Client) -> None:
    (agent,) = client.get(AGENTS, params={"type": "developer"}).json()
    url = f"{AGENTS}/{agent['id']}"
    tag = client.get(url).headers["etag"]
    changed = client.patch(url, json={"status": "inactive"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "inactive")
    assert changed.json()["config"] == agent["config"]
    assert client.patch(url, json={"status": "active"}, headers={"If-Match": tag}).status_code == 412
    assert client.patch(url, json={"config": None}).json()["config"] is None
    assert client.patch(url, json={"config": agent["config"], "status": "active"}).json()["config"] == agent["config"]
    assert client.patch(url, json={"status": "asleep"}).status_code == 422
    assert client.patch(url, json={"status": None}).status_code == 422
    assert client.patch(url, json={"name": "x"}).status_code == 422
    assert client.patch(f"{AGENTS}/{uuid.uuid4()}", json={}).status_code == 404


def _new(client: httpx.Client, role: str = "clinician") -> dict[str, str]:
    email = f"{uuid.uuid4().hex}@test.example"
    answer = client.post(USERS, json={"email": email, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{USERS}/{answer.json()['id']}"
    user: dict[str, str] = answer.json()
    return user


def test_created_user_can_log_in_and_is_shown_without_a_password(service: Service, client: httpx.Client) -> None:
    user = _new(client)
    assert user.keys() == {"id", "email", "role", "active", "created_at", "updated_at"}
    token = service.login(user["email"])["token"]
    assert service.client(token).get(ME).json()["role"] == "clinician"
    assert client.get(f"{USERS}/{user['id']}").json() == user
    assert user in client.get(USERS, params={"limit": 200}).json()
    with service.server.connect(service.database) as admin:
        row = admin.execute("SELECT password_hash FROM users WHERE id = %s", (user["id"],)).fetchone()
    assert row
    assert row[0].startswith("$argon2id$")


def test_second_user_with_an_address_is_a_conflict(client: httpx.Client) -> None:
    user = _new(client)
    body = {"email": user["email"].upper(), "password": PASSWORD, "role": "agent"}
    answer = client.post(USERS, json=body)
    assert answer.status_code == 409
    assert answer.json()["errors"] == [{"pointer": "#/email", "detail": "Another user has this address"}]


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 1025,
        "a" * 12,
        "a" * 1024,
        "abcabcabcabc",
        "qwertyuiopasdf",
        "Password2024!",
        "passwordpassword",
        "123456789012",
        "changeme-changeme",
        "",
        None,
        12345678901234,
    ],
)
def test_weak_password_is_refused_and_not_repeated(client: httpx.Client, password: object) -> None:
    body = {"email": f"{uuid.uuid4().hex}@test.example", "password": password, "role": "agent"}
    answer = client.post(USERS, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/password"
    if password:
        assert str(password) not in answer.text


def test_password_of_the_own_address_is_refused_everywhere(service: Service, client: httpx.Client) -> None:
    name = "marguerite.yourcenar"
    email, password = f"{name}@{uuid.uuid4().hex[:12]}.example", f"{name}1"
    body = {"email": email, "password": password, "role": "agent"}
    assert client.post(USERS, json=body).json()["errors"][0]["pointer"] == "#/password"
    user = client.post(USERS, json=body | {"password": PASSWORD}).json()
    weak = {"password": "a" * 12}
    assert client.post(f"{USERS}/{user['id']}/password", json=weak).json()["errors"][0]["pointer"] == "#/password"
    own = service.client(service.login(email)["token"])
    change = own.post("/api/v1/auth/password", json={"current": PASSWORD, "password": password})
    assert (change.status_code, change.json()["errors"][0]["pointer"]) == (422, "#/password")
    assert service.login(email), "the password is the one of before"


def test_disabled_user_is_out_at_once(service: Service, client: httpx.Client) -> None:
    user = _new(client)
    session = service.login(user["email"])
    theirs = service.client(session["token"])
    assert theirs.get(ME).status_code == 200
    assert client.patch(f"{USERS}/{user['id']}", json={"active": False}).json()["active"] is False
    assert theirs.get(ME).status_code == 401
    refresh = {"refresh_token": session["refresh_token"]}
    assert service.client().post("/api/v1/auth/refresh", json=refresh).status_code == 401
    client.patch(f"{USERS}/{user['id']}", json={"active": True})
    assert theirs.get(ME).status_code == 401, "tokens of before stay invalid"
    assert service.login(user["email"])


def test_new_role_counts_for_tokens_that_are_in_use(service: Service, client: httpx.Client) -> None:
    user = _new(client)
    theirs = service.client(service.login(user["email"])["token"])
    assert theirs.get("/api/v1/patients").status_code == 200
    client.patch(f"{USERS}/{user['id']}", json={"role": "auditor"})
    assert theirs.get("/api/v1/patients").status_code == 403
    assert theirs.get("/api/v1/audit").status_code == 200


def test_reset_password_ends_all_sessions(service: Service, client: httpx.Client) -> None:
    user = _new(client)
    theirs = service.client(service.login(user["email"])["token"])
    url, new = f"{USERS}/{user['id']}/password", "nine-Green-lanterns"
    assert client.post(url, json={"password": new}).status_code == 204
    assert theirs.get(ME).status_code == 401
    old = {"email": user["email"], "password": PASSWORD}
    assert service.client().post("/api/v1/auth/login", json=old).status_code == 401
    assert service.login(user["email"], new)
    assert client.post(f"{USERS}/{uuid.uuid4()}/password", json={"password": new}).status_code == 404


def test_change_of_an_old_version_of_a_user_is_refused(client: httpx.Client) -> None:
    url = f"{USERS}/{_new(client)['id']}"
    tag = {"If-Match": client.get(url).headers["etag"]}
    assert client.patch(url, json={"role": "agent"}, headers=tag).status_code == 200
    assert client.patch(url, json={"role": "admin"}, headers=tag).status_code == 412


def test_last_administrator_stays_one(start: Callable[..., Service]) -> None:
    service = start()
    one, two = (service.add_user(f"{name}@test.example", "admin") for name in ("one", "two"))
    clients = {
        one: service.client(service.login("one@test.example")["token"]),
        two: service.client(service.login("two@test.example")["token"]),
    }
    statuses: list[int] = []

    def disable(actor: str, target: str) -> None:
        statuses.append(clients[actor].patch(f"{USERS}/{target}", json={"active": False}).status_code)

    threads = [threading.Thread(target=disable, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The other is stopped by the rule, or was out before the request was looked at.
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 401}
    left = one if clients[one].get(ME).status_code == 200 else two
    for change in ({"active": False}, {"role": "clinician"}):
        refused = clients[left].patch(f"{USERS}/{left}", json=change)
        assert refused.status_code == 409
        assert "last active administrator" in refused.json()["detail"]
    assert clients[left].patch(f"{USERS}/{left}", json={"role": "admin"}).status_code == 200
