"""Wrong passwords: how many are looked at, who waits for whom, and how somebody is let in again."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.api.service import PASSWORD, Service

pytestmark = pytest.mark.integration

LOGIN, USERS = "/api/v1/auth/login", "/api/v1/users"
OWNER = "owner@test.example"
HOME, ABROAD = "203.0.113.7", "198.51.100.7"


def _login(service: Service, password: str, address: str = HOME, email: str = OWNER) -> httpx.Response:
    """Log in through the gateway, which says where the request came from."""
    body = {"email": email, "password": password}
    with service.client() as client:
        return client.post(LOGIN, json=body, headers={"X-Forwarded-For": address})


def _status(service: Service, password: str, address: str = HOME, email: str = OWNER) -> int:
    return _login(service, password, address, email).status_code


def _let_time_pass(service: Service) -> None:
    """As if the next attempt had been waited for."""
    with service.server.connect(service.database) as admin:
        admin.execute("UPDATE login_attempts SET not_before = now()")


@pytest.fixture
def behind(start: Callable[..., Service]) -> Callable[..., Service]:
    """Starts a service behind a gateway, with an account."""

    def started(**settings: object) -> Service:
        service = start(**{"trusted_proxies": "127.0.0.0/8", **settings})
        service.add_user(OWNER, "clinician")
        return service

    return started


def test_each_failure_beyond_the_limit_doubles_the_wait(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_account=3, login_window_seconds=10)
    assert [_status(service, "wrong") for _ in range(3)] == [401] * 3
    waits = []
    for _ in range(6):
        refused = _login(service, PASSWORD)
        assert refused.status_code == 429, "whatever the password is"
        waits.append(int(refused.headers["retry-after"]))
        _let_time_pass(service)
        assert _status(service, "wrong") == 401
    assert waits == [1, 2, 4, 8, 10, 10]
    _let_time_pass(service)
    assert _status(service, PASSWORD) == 200
    assert [_status(service, "wrong") for _ in range(3)] == [401] * 3, "a login begins anew"


def _together(number: int, attempt: Callable[[int], int]) -> list[int]:
    statuses: list[int] = []
    gate = threading.Barrier(number)

    def run(index: int) -> None:
        gate.wait()
        statuses.append(attempt(index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_guesses_at_once_are_looked_at_no_oftener_than_one_after_another(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_account=5, password_queue=100, login_window_seconds=60)
    statuses = _together(40, lambda index: _status(service, f"guess-{index}"))
    # A second one of them may have passed meanwhile.
    assert set(statuses) == {401, 429}
    assert 5 <= statuses.count(401) <= 8
    with service.server.connect(service.database) as admin:
        row = admin.execute("SELECT failures FROM login_attempts WHERE account <> '' AND address <> ''").fetchone()
    assert row == (statuses.count(401),)


def test_replicas_count_together(behind: Callable[..., Service], tmp_path: Path) -> None:
    one = behind(login_failures_per_account=4)
    (tmp_path / "two").mkdir()
    two = Service(
        one.server, one.database, tmp_path / "two", login_failures_per_account=4, trusted_proxies="127.0.0.0/8"
    )
    try:
        two.await_ready()
        assert [_status(service, "wrong") for service in (one, two, one, two)] == [401] * 4
        assert [_status(service, "wrong") for service in (one, two)] == [429] * 2
    finally:
        two.close()


def test_who_guesses_elsewhere_does_not_keep_the_owner_out(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_elsewhere=4)
    assert _status(service, PASSWORD, HOME) == 200
    assert [_status(service, "wrong", f"198.51.100.{n}") for n in range(5)] == [401] * 4 + [429]
    assert _status(service, PASSWORD, "192.0.2.1") == 429, "nobody knows that this is the owner, too"
    assert _status(service, PASSWORD, HOME) == 200
    assert [_status(service, "wrong", HOME), _status(service, PASSWORD, HOME)] == [401, 200]


def test_an_account_is_held_up_at_one_address_only(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_account=3)
    assert [_status(service, "wrong", ABROAD) for _ in range(4)] == [401] * 3 + [429]
    assert _status(service, PASSWORD, HOME) == 200
    assert _status(service, PASSWORD, ABROAD) == 429


def test_an_address_is_held_up_for_all_accounts(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_address=3)
    guesses = [_status(service, "wrong", ABROAD, f"{n}@test.example") for n in range(4)]
    assert guesses == [401] * 3 + [429]
    assert _status(service, PASSWORD, ABROAD) == 429
    assert _status(service, PASSWORD, HOME) == 200


def test_logins_that_succeed_are_never_too_many(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_account=3, login_failures_per_address=3, login_failures_elsewhere=3)
    assert [_status(service, PASSWORD) for _ in range(8)] == [200] * 8


def test_attempts_that_nobody_looked_at_do_not_count(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_account=100, password_queue=1)
    statuses = _together(12, lambda index: _status(service, f"guess-{index}"))
    assert {401, 503} == set(statuses)
    with service.server.connect(service.database) as admin:
        row = admin.execute("SELECT failures FROM login_attempts WHERE account <> '' AND address <> ''").fetchone()
    assert row == (statuses.count(401),)


def _held_up(behind: Callable[..., Service]) -> Service:
    """A service at which the owner has to wait, here and elsewhere."""
    service = behind(login_failures_per_account=3, login_failures_elsewhere=5, login_window_seconds=900)
    assert [_status(service, "wrong") for _ in range(4)] == [401] * 3 + [429]
    assert [_status(service, "wrong", f"198.51.100.{n}") for n in range(3)] == [401] * 2 + [429]
    with service.server.connect(service.database) as admin:
        admin.execute("UPDATE login_attempts SET not_before = now() + interval '15 minutes' WHERE account <> ''")
    return service


def test_an_administrator_lets_a_user_log_in_at_once(behind: Callable[..., Service]) -> None:
    service = _held_up(behind)
    user = service.add_user(OWNER, "clinician")
    service.add_user("admin@test.example", "admin")
    token = _login(service, PASSWORD, HOME, "admin@test.example").json()["token"]
    assert service.client(token).delete(f"{USERS}/{user}/failures").status_code == 204
    assert service.audit(action="users.unlock", target=user, outcome="success")
    assert [_status(service, PASSWORD, address) for address in (HOME, ABROAD)] == [200, 200]


@pytest.mark.parametrize("argument", [OWNER.upper(), "--all"])
def test_whoever_runs_the_service_lets_the_only_administrator_in(behind: Callable[..., Service], argument: str) -> None:
    service = _held_up(behind)
    done = _unlock(service, argument)
    assert done.returncode == 0, done.stderr
    assert [_status(service, PASSWORD, address) for address in (HOME, ABROAD)] == [200, 200]
    (entry,) = service.audit(action="users.unlock")
    assert (entry["actor"], entry["outcome"]) == (None, "success")


def test_unlocking_says_why_it_cannot(behind: Callable[..., Service]) -> None:
    service = behind()
    unknown = _unlock(service, "nobody@test.example")
    assert (unknown.returncode, unknown.stderr) == (1, "unlock: there is no user with this address\n")
    service.environ["BIOSPARK_DATABASE_PORT"] = "1"
    away = _unlock(service, OWNER)
    assert away.returncode == 1
    assert away.stderr.startswith("unlock: the database cannot be used now")
    del service.environ["BIOSPARK_DATABASE_HOST"]
    without = _unlock(service, OWNER)
    assert (without.returncode, without.stderr) == (2, "unlock: BIOSPARK_DATABASE_HOST: must be set\n")


def _unlock(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "biospark_api.auth.unlock", *arguments]
    return subprocess.run(program, env=service.environ, capture_output=True, text=True)


@pytest.mark.parametrize(
    "forwarded",
    [
        "198.51.100.{n}, 203.0.113.7",  # what the client itself put in front
        "198.51.100.{n}, 203.0.113.7, 10.0.0.{n}",  # hops inside of the cluster
        "198.51.100.{n}, 203.0.113.7:{n}00, ::ffff:10.0.0.{n}",  # ports, and IPv4 as IPv6
        "127.0.0.1, 203.0.113.7, [fd00::{n}]:443",
        "203.0.113.9, 2001:db8:0:1::{n}",  # one customer has all these
        "203.0.113.{n}, who knows",
    ],
)
def test_what_a_client_says_about_its_address_is_not_believed(behind: Callable[..., Service], forwarded: str) -> None:
    service = behind(login_failures_per_address=3, trusted_proxies="127.0.0.0/8, 10.0.0.0/8, fd00::/8")
    guesses = [_status(service, "wrong", forwarded.format(n=n), f"{n}@test.example") for n in range(1, 5)]
    assert guesses == [401] * 3 + [429]


def test_an_address_is_that_of_the_gateway_only_without_a_trusted_proxy(behind: Callable[..., Service]) -> None:
    service = behind(login_failures_per_address=3, trusted_proxies="192.0.2.0/24")
    guesses = [_status(service, "wrong", f"198.51.100.{n}", f"{n}@test.example") for n in range(4)]
    assert guesses == [401] * 3 + [429]
