"""What a Vault client does where a real server can't be made to: lost answers, redirects, lags, silence."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients import bulkhead
from biospark_operator.clients.vault import server as vault_server
from biospark_operator.clients.vault import transport
from biospark_operator.clients.vault.errors import Answer, ConflictError, UncertainError
from biospark_operator.clients.vault.kv import Entry, Mount
from biospark_operator.clients.vault.login import Lease, Login, expiry
from biospark_operator.clients.vault.server import Vault
from biospark_operator.clients.vault.transport import Address, Freshness
from biospark_operator.engine.errors import OutsideError, RejectedError, UnavailableError
from tests.unit.clients.conftest import ApiServer, hangs, hangs_up, says

LOGIN, DATA, META = "/v1/auth/kubernetes/login", "/v1/secret/data/x", "/v1/secret/metadata/x"
TOKEN = "s.planted-token"
AUTH = {"client_token": TOKEN, "lease_duration": 600, "renewable": True, "token_type": "service"}
KV2 = {"data": {"type": "kv", "path": "secret/", "options": {"version": "2"}}}
HEALTHY = {"initialized": True, "sealed": False, "standby": False, "server_time_utc": int(time.time())}
CONFLICT = says({"errors": ["check-and-set parameter did not match the current version"]}, 400)
FAULT = says({"errors": ["internal error"]}, 500)
NOTHING = says({"errors": []}, 404)
STORED = says({"data": {"version": 1}})


def there(word: str, version: int = 1) -> Any:
    return says({"data": {"data": {"word": word}, "metadata": {"version": version, "custom_metadata": None}}})


@pytest.fixture(autouse=True)
def scripted(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always |= {
        LOGIN: says({"auth": AUTH}),
        "/v1/sys/internal/ui/mounts/secret": says(KV2),
        "/v1/sys/health": says(HEALTHY),
        "/v1/auth/token/revoke-self": says("", 204),
    }
    monkeypatch.setattr(vault_server, "_LOOKS", (0.0, 0.0))
    monkeypatch.setattr(vault_server, "_BEHIND", (0.0, 0.0))
    monkeypatch.setattr(vault_server, "_UNHEARD", (0.0,))


@pytest.fixture
async def vault(server: ApiServer, tmp_path: Path) -> AsyncIterator[Vault]:
    (tmp_path / "token").write_text("a.b.c")
    opened = Vault(Address(server.url), Login("kubernetes", "operator", tmp_path / "token"))  # type: ignore[attr-defined]
    yield opened
    await opened.close()


@pytest.fixture
def mount(vault: Vault) -> Mount:
    return Mount(vault, "secret")


async def problem_of(mount: Mount) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await mount.read("x")
    return caught.value


def sent(server: ApiServer, method: str) -> list[str]:
    return [request.path for request in server.requests if request.method == method and request.path != LOGIN]


@pytest.mark.parametrize("lost", [FAULT, hangs_up, says({}, 502), says({}, 504)], ids=["500", "cut", "502", "504"])
async def test_a_write_whose_answer_was_lost_counts_as_done_where_it_is_found(
    server: ApiServer, mount: Mount, lost: Any
) -> None:
    server.script[DATA] = [lost, there("planted")]
    assert await mount.write("x", {"word": "planted"}, 0) == 1
    assert sent(server, "POST") == [DATA]


async def test_a_write_whose_answer_was_lost_is_found_by_a_later_look(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [FAULT, NOTHING, there("planted")]
    server.always[META] = NOTHING
    assert await mount.write("x", {"word": "planted"}, 0) == 1
    assert sent(server, "POST") == [DATA]


async def test_a_write_that_is_not_found_is_made_again_for_the_same_version(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [FAULT, NOTHING, NOTHING, STORED]
    server.always[META] = NOTHING
    assert await mount.write("x", {"word": "planted"}, 0) == 1
    wanted = {"data": {"word": "planted"}, "options": {"cas": 0}}
    assert [body for body in server.bodies if body and "data" in body] == [wanted, wanted]


async def test_a_repeated_write_that_meets_the_first_one_is_done(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [FAULT, NOTHING, NOTHING, CONFLICT, there("planted")]
    server.always[META] = NOTHING
    assert await mount.write("x", {"word": "planted"}, 0) == 1


async def test_a_repeated_write_that_meets_somebody_else_is_a_conflict(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [FAULT, NOTHING, NOTHING, CONFLICT, there("of another")]
    server.always[META] = NOTHING
    with pytest.raises(ConflictError):
        await mount.write("x", {"word": "planted"}, 0)


async def test_a_write_is_not_repeated_while_nobody_can_look(server: ApiServer, mount: Mount) -> None:
    server.always[DATA] = FAULT
    with pytest.raises(UnavailableError) as caught:
        await mount.write("x", {"word": "planted"}, 0)
    assert caught.value.reason == Reason.VAULT_FAILING
    assert sent(server, "POST") == [DATA]


async def test_a_write_to_where_nothing_is_served_is_not_taken_for_done(server: ApiServer, mount: Mount) -> None:
    server.always[DATA] = NOTHING
    with pytest.raises(RejectedError):
        await mount.write("x", {"word": "planted"}, 0)


async def test_a_deletion_of_what_is_not_there_is_done(server: ApiServer, mount: Mount) -> None:
    server.always[META] = NOTHING
    await mount.delete("x")


async def test_a_deletion_whose_answer_was_lost_is_looked_at(server: ApiServer, mount: Mount) -> None:
    server.script[META] = [FAULT, NOTHING]
    await mount.delete("x")
    assert sent(server, "DELETE") == [META]


async def test_a_read_whose_connection_was_lost_is_made_again(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [hangs_up, there("planted")]
    assert (await mount.read("x")).data == {"word": "planted"}


async def test_a_redirect_takes_the_token_nowhere(server: ApiServer, mount: Mount) -> None:
    elsewhere: list[web.BaseRequest] = []

    async def listen(request: web.BaseRequest) -> web.Response:
        elsewhere.append(request)
        return web.Response(text="{}")

    other = web.ServerRunner(web.Server(listen))
    await other.setup()
    await web.TCPSite(other, "127.0.0.1", 0).start()
    port = other.addresses[0][1]
    for path in (DATA, LOGIN):
        server.script[path] = [says("", 307, Location=f"http://127.0.0.1:{port}{path}")]
        problem = await problem_of(mount)
        assert problem.reason == Reason.VAULT_NO_LEADER
        assert f"names http://127.0.0.1:{port};" in problem.message
        mount.vault._lease = None
    await other.cleanup()
    assert elsewhere == []


async def test_a_standby_that_is_behind_is_asked_again_at_once(server: ApiServer, mount: Mount) -> None:
    server.script[DATA] = [says({"errors": []}, 429), says({"errors": []}, 412), there("planted")]
    assert (await mount.read("x")).data == {"word": "planted"}
    server.always[DATA] = says({"errors": []}, 429)
    assert (await problem_of(mount)).reason == Reason.VAULT_NO_LEADER


async def test_what_follows_a_write_asks_for_what_is_as_new(server: ApiServer, mount: Mount) -> None:
    def indexed(value: int) -> str:
        return base64.b64encode(json.dumps({"cluster": "c", "value": str(value)}).encode()).decode()

    server.script[DATA] = [
        there("old"),
        says({"data": {"version": 2}}, **{"X-Vault-Index": indexed(41)}),
        there("new", 2),
        says({"data": {"version": 3}}),
    ]
    await mount.read("x")
    await mount.write("x", {"word": "new"}, 1)
    await mount.read("x")
    await mount.write("x", {"word": "newer"}, 2)
    asked = [request.headers.get("X-Vault-Index") for request in server.requests if request.path == DATA]
    assert asked == [None, None, indexed(41), indexed(41)]


def test_the_newest_index_counts_whatever_the_order_of_answers_and_for_a_while() -> None:
    now = [0.0]
    freshness = Freshness(lambda: now[0])

    def index(value: int) -> str:
        return base64.b64encode(json.dumps({"value": value}).encode()).decode()

    assert freshness.headers() == {}
    freshness.wrote(index(9))
    freshness.wrote(index(10))
    freshness.wrote(index(8))
    assert freshness.headers()["X-Vault-Index"] == index(10)
    freshness.wrote("not of OpenBao")
    assert freshness.headers()["X-Vault-Index"] == "not of OpenBao"
    now[0] = transport.FRESH + 1
    assert freshness.headers() == {}
    freshness.wrote(index(1))
    assert freshness.headers()["X-Vault-Index"] == index(1)


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({"initialized": False, "sealed": True, "standby": True}, Reason.VAULT_NOT_INITIALIZED),
        ({"initialized": True, "sealed": True, "standby": True}, Reason.VAULT_SEALED),
        ({"initialized": True, "sealed": False, "standby": True}, Reason.VAULT_NO_LEADER),
    ],
)
async def test_a_server_that_says_sealed_is_asked_for_its_health(
    server: ApiServer, mount: Mount, health: Any, reason: Reason
) -> None:
    server.always[LOGIN] = says({"errors": ["Vault is sealed"]}, 503)
    server.always["/v1/sys/health"] = says(health, 503)
    assert (await problem_of(mount)).reason == reason


async def test_clocks_that_differ_are_told_where_a_login_is_refused_for_it(server: ApiServer, mount: Mount) -> None:
    server.always[LOGIN] = says({"errors": ["permission denied"]}, 403)
    server.always["/v1/sys/health"] = says({**HEALTHY, "server_time_utc": int(time.time()) - 600})
    assert (await problem_of(mount)).reason == Reason.VAULT_CLOCK_SKEW


async def test_a_token_that_the_kubelet_does_not_replace_is_told(
    server: ApiServer, mount: Mount, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() - 100}).encode()).decode().rstrip("=")
    (tmp_path / "token").write_text(f"a.{payload}.c")
    server.always[LOGIN] = says({"errors": ["permission denied"]}, 403)
    problem = await problem_of(mount)
    assert "is expired; see the projected volume" in problem.message
    assert "the kubelet does not replace it" in caplog.text
    assert payload not in caplog.text + problem.message


async def test_a_right_that_is_missing_and_a_value_that_is_too_large_are_told_apart_from_faults(
    server: ApiServer, mount: Mount
) -> None:
    server.always[DATA] = says({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}, 403)
    assert (await problem_of(mount)).reason == Reason.VAULT_ACCESS_DENIED
    server.always[DATA] = says({"errors": ["put failed due to value being too large"]}, 500)
    with pytest.raises(RejectedError):
        await mount.write("x", {"word": "planted"}, 0)
    assert sent(server, "POST") == [DATA]


async def test_something_else_than_vault_is_told_as_that(server: ApiServer, mount: Mount) -> None:
    server.always[DATA] = says("<html>hello</html>")
    assert "not a Vault server" in (await problem_of(mount)).message


async def test_what_was_refused_is_not_asked_again_by_all_who_come_at_once(server: ApiServer, mount: Mount) -> None:
    server.always[LOGIN] = says({"errors": ["invalid role name"]}, 400)
    told = {(await problem_of(mount)).message for _ in range(10)}
    assert len(told) == 1
    assert server.paths[LOGIN] == 2  # the second one because a standby might not have heard of the role


async def test_a_token_that_is_good_is_used_on_while_nobody_can_log_in(server: ApiServer, mount: Mount) -> None:
    server.always[DATA] = there("planted")
    server.script[LOGIN] = [says({"auth": {**AUTH, "token_type": "batch", "renewable": False}})]
    server.always[LOGIN] = says({"errors": ["permission denied"]}, 403)
    await mount.read("x")
    lease = mount.vault._lease
    assert lease is not None
    lease.due = 0.0
    for _ in range(5):
        assert (await mount.read("x")).data == {"word": "planted"}
    assert server.paths[LOGIN] == 2
    assert "/v1/auth/token/renew-self" not in server.paths


async def test_a_renewal_that_fails_in_any_way_becomes_a_login(server: ApiServer, mount: Mount) -> None:
    server.always[DATA] = there("planted")
    server.always["/v1/auth/token/renew-self"] = FAULT
    await mount.read("x")
    assert mount.vault._lease is not None
    mount.vault._lease.due = 0.0
    await mount.read("x")
    assert server.paths[LOGIN] == 2
    (renewal,) = (i for i, request in enumerate(server.requests) if request.path.endswith("renew-self"))
    assert server.bodies[renewal] == {}


async def test_who_gives_up_waiting_leaves_a_turn_to_others_once_the_request_has_ended(
    server: ApiServer, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER", 0.3)
    server.script[DATA] = [hangs] * (2 * vault_server.LIMIT)
    server.always[DATA] = there("planted")
    await mount.check()
    waiting = [asyncio.create_task(mount.read("x")) for _ in range(vault_server.LIMIT)]
    while server.paths[DATA] < vault_server.LIMIT:
        await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    server.script[DATA].clear()
    assert (await mount.read("x")).data == {"word": "planted"}


async def test_a_silent_server_holds_up_a_few_only(
    server: ApiServer, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER", 1.0)
    monkeypatch.setattr(bulkhead, "SILENCE", 0.0)
    monkeypatch.setattr(bulkhead, "WAITING", 2)
    await mount.check()
    server.always[DATA] = hangs
    held = [asyncio.create_task(mount.read("x")) for _ in range(vault_server.LIMIT + 2)]
    while server.paths[DATA] < vault_server.LIMIT:
        await asyncio.sleep(0)
    assert "wait for it" in (await problem_of(mount)).message
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_nothing_of_the_environment_or_the_home_directory_is_used(
    server: ApiServer, mount: Mount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login planted password planted")
    (tmp_path / ".vault-token").write_text("planted")
    surroundings = {"VAULT_TOKEN": "planted", "VAULT_ADDR": "http://127.0.0.1:1", "VAULT_NAMESPACE": "planted"}
    for name, value in {**surroundings, "HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}.items():
        monkeypatch.setenv(name, value)
    server.always[DATA] = there("word")
    await mount.read("x")
    headers = [value for request in server.requests for value in request.headers.values()]
    assert not [value for value in headers if "planted" in value and value != TOKEN]
    assert not [request for request in server.requests if "Authorization" in request.headers]


def test_no_secret_is_in_what_is_shown() -> None:
    shown = [
        Answer(200, "GET", "secret/data/x", {"data": {"word": "planted"}}),
        Entry(1, {"word": "planted"}),
        Lease.of({**AUTH, "client_token": "planted"}, 0.0),
        Address("https://vault.example", authority=b"planted"),
    ]
    assert "planted" not in repr(shown)


def test_a_lease_is_renewed_in_time_and_left_where_it_gets_shorter() -> None:
    lease = Lease.of(AUTH, 1000.0)
    assert 1000 + 600 * 0.6 < lease.due < 1000 + 600 * 0.75
    assert lease.good(1599.0)
    assert not lease.good(1600.0)
    assert lease.renewed({"lease_duration": 600}, 1400.0)
    assert lease.good(1999.0)
    assert not lease.renewed({"lease_duration": 599}, 1500.0)
    assert not Lease.of({**AUTH, "token_type": "batch"}, 0.0).renewable


@pytest.mark.parametrize("text", ["", "a.b", "a.e30.c", "a.!!.c", "a.bnVsbA.c", "x" * 50])
def test_a_token_that_says_nothing_of_its_end_has_none(text: str) -> None:
    assert expiry(text) is None


@pytest.mark.parametrize(
    "values",
    [{}, {"number": 5}, {f"k{i}": "v" for i in range(500)}, {"large": "x" * 600_000}],
    ids=["none", "number", "many", "large"],
)
async def test_values_that_a_server_changes_or_refuses_are_not_sent(
    server: ApiServer, mount: Mount, values: Any
) -> None:
    with pytest.raises(RejectedError):
        await mount.write("x", values, 0)
    assert sent(server, "POST") == []


@pytest.mark.parametrize(
    "marks", [{"a": ""}, {"": "a"}, {"a": "x" * 513}, {"a": "b\n"}, {str(i): "x" for i in range(65)}]
)
async def test_marks_that_a_server_refuses_are_not_sent(server: ApiServer, mount: Mount, marks: Any) -> None:
    with pytest.raises(RejectedError):
        await mount.mark("x", marks, 1, None)
    assert sent(server, "POST") == []


def test_an_uncertain_write_is_worth_another_try() -> None:
    assert issubclass(UncertainError, UnavailableError)


def test_the_operator_starts_without_the_modules_for_vault() -> None:
    program = "import sys, biospark_operator.runtime.main; print([n for n in sys.modules if n.startswith('hvac')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
