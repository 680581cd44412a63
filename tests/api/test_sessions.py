"""What ends sessions: their tokens and their refresh tokens as well."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.service import PASSWORD, Service

pytestmark = pytest.mark.integration

LOGIN, REFRESH, ME, OWN = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/me", "/api/v1/auth/sessions"
USERS = "/api/v1/users"
NEW = "nine-Green-lanterns"


class Owner:
    """A user with two sessions, and an administrator."""

    def __init__(self, service: Service, administrator: httpx.Client | None = None) -> None:
        self.service = service
        self.email = f"{uuid.uuid4().hex}@test.example"
        self.id = service.add_user(self.email, "clinician")
        self.sessions = [service.login(self.email) for _ in range(2)]
        self.administrator = administrator or service.as_role("admin")

    @property
    def client(self) -> httpx.Client:
        """Logged in by the first session."""
        return self.service.client(self.sessions[0]["token"])

    def refresh(self, session: dict[str, Any]) -> httpx.Response:
        """Ask for the next token of a session."""
        return self.service.client().post(REFRESH, json={"refresh_token": session["refresh_token"]})

    def are_open(self) -> list[bool]:
        """Whether each session still gets tokens. What is asked can be asked once."""
        return [self.refresh(session).status_code == 200 for session in self.sessions]


def _change_password(owner: Owner) -> httpx.Response:
    return owner.client.post("/api/v1/auth/password", json={"current": PASSWORD, "password": NEW})


def _reset(owner: Owner) -> httpx.Response:
    return owner.administrator.post(f"{USERS}/{owner.id}/password", json={"password": NEW})


def _disable_and_enable(owner: Owner) -> httpx.Response:
    owner.administrator.patch(f"{USERS}/{owner.id}", json={"active": False})
    return owner.administrator.patch(f"{USERS}/{owner.id}", json={"active": True})


def _end_own(owner: Owner) -> httpx.Response:
    return owner.client.delete(OWN)


def _end(owner: Owner) -> httpx.Response:
    return owner.administrator.delete(f"{USERS}/{owner.id}/sessions")


@pytest.mark.parametrize(
    ("end", "password"),
    [(_change_password, NEW), (_reset, NEW), (_disable_and_enable, PASSWORD), (_end_own, PASSWORD), (_end, PASSWORD)],
)
def test_all_sessions_of_a_user_end_with_their_refresh_tokens(
    service: Service, end: Callable[[Owner], httpx.Response], password: str
) -> None:
    owner, other = Owner(service), Owner(service)
    assert end(owner).is_success
    assert service.client(owner.sessions[0]["token"]).get(ME).status_code == 401
    assert owner.are_open() == [False, False]
    owner.sessions = [service.login(owner.email, password)]
    assert owner.are_open() == [True]
    assert other.are_open() == [True, True]


def test_a_new_role_ends_no_session(service: Service) -> None:
    owner = Owner(service)
    owner.administrator.patch(f"{USERS}/{owner.id}", json={"role": "auditor"})
    assert owner.are_open() == [True, True]


def test_all_sessions_of_everybody_end_with_their_refresh_tokens(start: Callable[..., Service]) -> None:
    service = start()
    owners = [Owner(service), Owner(service)]
    administrator = service.as_role("admin")
    assert administrator.delete(f"{USERS}/sessions").status_code == 204
    assert administrator.get(ME).status_code == 401, "the caller's as well"
    for owner in owners:
        assert owner.client.get(ME).status_code == 401
        assert owner.are_open() == [False, False]
        assert service.login(owner.email)
    (entry,) = service.audit(action="users.end_all_sessions")
    assert (entry["target"], entry["outcome"], entry["status"]) == (None, "success", 204)


def test_ended_sessions_are_in_the_audit_log(service: Service) -> None:
    owner = Owner(service)
    _end(owner)
    owner.sessions = [service.login(owner.email)]
    _end_own(owner)
    assert service.audit(action="users.end_sessions", target=owner.id, outcome="success")
    assert service.audit(action="auth.end_sessions", target=owner.id, outcome="success")


def test_sessions_of_nobody_are_not_there(service: Service) -> None:
    assert service.as_role("admin").delete(f"{USERS}/{uuid.uuid4()}/sessions").status_code == 404


def test_a_session_of_the_release_before_is_refreshed_until_something_about_its_user_changes(service: Service) -> None:
    owner = Owner(service)
    with service.server.connect(service.database) as admin:
        admin.execute("UPDATE sessions SET token_generation = NULL WHERE user_id = %s", (owner.id,))
    first, second = owner.sessions
    assert owner.refresh(first).status_code == 200
    _reset(owner)
    assert owner.refresh(second).status_code == 401
