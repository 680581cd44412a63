"""Logging in, tokens and what ends them."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.api.service import KEY, PASSWORD, Service, new_key

pytestmark = pytest.mark.integration

LOGIN, REFRESH, ME = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/me"


def address() -> str:
    return f"{uuid.uuid4().hex}@test.example"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_login_gives_a_token_of_the_user(service: Service) -> None:
    email = address()
    user = service.add_user(email, "clinician")
    before = int(time.time())
    session = service.login(email.upper())
    claims = claims_of(session["token"])
    assert (claims["sub"], claims["userId"], claims["email"], claims["roles"]) == (user, user, email, ["clinician"])
    assert (claims["iss"], claims["aud"]) == ("biospark/test", "biospark-api")
    assert before <= claims["iat"] <= time.time()
    assert claims["nbf"] == claims["iat"] - 30
    assert claims["exp"] == claims["iat"] + 86_400 == claims["iat"] + session["expires_in"]
    assert session["token_type"] == "Bearer"
    me = service.client(session["token"]).get(ME)
    assert me.status_code == 200
    assert (me.json()["id"], me.json()["email"], me.json()["role"]) == (user, email, "clinician")


def test_token_verifies_with_the_published_key(service: Service) -> None:
    token = service.login(_user(service))["token"]
    answer = service.client().get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=60"
    keys = jwt.PyJWKSet.from_dict(answer.json())
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "RS256"
    decoded = jwt.decode(token, keys[header["kid"]].key, algorithms=["RS256"], audience="biospark-api")
    assert decoded == claims_of(token)


def _user(service: Service, role: str = "clinician") -> str:
    email = address()
    service.add_user(email, role)
    return email


def test_wrong_password_and_unknown_user_get_the_same_answer(service: Service) -> None:
    answers = [
        service.client().post(LOGIN, json={"email": email, "password": "wrong"})
        for email in (_user(service), address())
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    first, second = ({**answer.json(), "requestId": None} for answer in answers)
    assert first == second


def test_disabled_user_gets_the_answer_of_a_wrong_password(service: Service) -> None:
    email = _user(service)
    with service.server.connect(service.database) as admin:
        admin.execute("UPDATE users SET active = false WHERE email = %s", (email,))
    answer = service.client().post(LOGIN, json={"email": email, "password": PASSWORD})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "The e-mail address or the password is wrong."


def test_refresh_gives_the_next_token_of_the_session(service: Service) -> None:
    first = service.login(_user(service))
    answer = service.client().post(REFRESH, json={"refresh_token": first["refresh_token"]})
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh_token"] != first["refresh_token"]
    assert claims_of(second["token"])["sid"] == claims_of(first["token"])["sid"]
    assert claims_of(second["token"])["jti"] != claims_of(first["token"])["jti"]
    assert service.client(second["token"]).get(ME).status_code == 200


def test_refresh_token_that_comes_twice_ends_the_whole_session(service: Service) -> None:
    first = service.login(_user(service))
    client = service.client()
    second = client.post(REFRESH, json={"refresh_token": first["refresh_token"]}).json()
    thief = client.post(REFRESH, json={"refresh_token": first["refresh_token"]})
    assert thief.status_code == 401
    assert "used before" in thief.json()["detail"]
    assert client.post(REFRESH, json={"refresh_token": second["refresh_token"]}).status_code == 401
    for token in (first["token"], second["token"]):
        assert service.client(token).get(ME).status_code == 401
    assert service.audit(action="auth.refresh", target=claims_of(first["token"])["sid"], status=401)


def test_unknown_refresh_token_is_refused(service: Service) -> None:
    assert service.client().post(REFRESH, json={"refresh_token": "x" * 43}).status_code == 401


def test_logout_ends_the_session_and_only_that(service: Service) -> None:
    email = _user(service)
    first, other = service.login(email), service.login(email)
    assert service.client(first["token"]).post("/api/v1/auth/logout").status_code == 204
    assert service.client(first["token"]).get(ME).status_code == 401
    assert service.client().post(REFRESH, json={"refresh_token": first["refresh_token"]}).status_code == 401
    assert service.client(other["token"]).get(ME).status_code == 200
    with service.server.connect(service.database) as admin:
        jti = claims_of(first["token"])["jti"]
        assert admin.execute("SELECT count(*) FROM revoked_tokens WHERE jti = %s", (jti,)).fetchone() == (1,)


def test_logout_on_one_pod_is_known_to_the_others_in_time(
    service: Service, start: Callable[..., Service], tmp_path: Any
) -> None:
    one = start(revocation_seconds=0.2)
    (tmp_path / "two").mkdir()
    two = Service(one.server, one.database, tmp_path / "two", revocation_seconds=0.2)
    try:
        one.add_user("a@test.example", "clinician")
        token = one.login("a@test.example")["token"]
        assert two.client(token).get(ME).status_code == 200
        one.client(token).post("/api/v1/auth/logout")
        two.await_true(lambda: two.client(token).get(ME).status_code == 401, 5, "the refusal")
    finally:
        two.close()


def test_own_password_can_be_changed_with_the_present_one(service: Service) -> None:
    email = _user(service)
    token = service.login(email)["token"]
    url, new = "/api/v1/auth/password", "nine-Green-lanterns"
    wrong = service.client(token).post(url, json={"current": "not-this-one", "password": new})
    assert wrong.status_code == 401
    assert service.client(token).post(url, json={"current": PASSWORD, "password": new}).status_code == 204
    assert service.client(token).get(ME).status_code == 401
    assert service.client().post(LOGIN, json={"email": email, "password": PASSWORD}).status_code == 401
    assert service.login(email, new)["token"]


def test_old_hash_is_replaced_at_login(service: Service) -> None:
    import argon2

    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    email = address()
    service.add_user(email, "clinician", weak)
    service.login(email)
    with service.server.connect(service.database) as admin:
        row = admin.execute("SELECT password_hash FROM users WHERE email = %s", (email,)).fetchone()
    assert row
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    service.login(email)


def _signed(service: Service, key: Any = KEY, kid: str | None = None, header: Any = None, **changes: Any) -> str:
    token = service.token_of("clinician")
    claims = claims_of(token) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    kid = kid or jwt.get_unverified_header(token)["kid"]
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid, **(header or {})})


@pytest.fixture(scope="module")
def other_key() -> Any:
    return new_key()


def test_token_that_was_only_signed_again_is_valid(service: Service) -> None:
    assert service.client(_signed(service)).get(ME).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": int(time.time()) - 1},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"exp": "never"},
        {"iss": "somebody"},
        {"aud": "another-service"},
        {"sub": str(uuid.uuid4())},
        {"sub": "1 OR 1=1"},
        {"sid": str(uuid.uuid4())},
        {"gen": 0},
        {"gen": 10**30},
        {"jti": "x"},
        {"roles": []},
        {"roles": ["root"]},
        {"roles": "admin"},
        *({name: None} for name in ("exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "gen")),
    ],
    ids="-".join,
)
def test_token_of_ours_with_wrong_claims_is_refused(service: Service, changes: dict[str, Any]) -> None:
    answer = service.client(_signed(service, **changes)).get(ME)
    assert answer.status_code == 401, answer.text
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_clocks_of_pods_may_differ_a_little(service: Service) -> None:
    assert service.client(_signed(service, iat=int(time.time()) + 20)).get(ME).status_code == 200


def test_role_in_a_token_does_not_count(service: Service) -> None:
    client = service.client(_signed(service, roles=["admin"]))
    assert client.get(ME).json()["role"] == "clinician"
    assert client.get("/api/v1/users").status_code == 403


def test_token_of_another_key_is_refused(service: Service, other_key: Any) -> None:
    assert service.client(_signed(service, other_key)).get(ME).status_code == 401
    assert service.client(_signed(service, other_key, kid="unknown")).get(ME).status_code == 401


def test_key_in_the_header_is_not_used(service: Service, other_key: Any) -> None:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other_key.public_key()))
    for header in ({"jwk": jwk}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/c"}):
        assert service.client(_signed(service, other_key, header=header)).get(ME).status_code == 401


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_token_without_a_signature_is_refused(service: Service) -> None:
    token = service.token_of("clinician")
    kid = jwt.get_unverified_header(token)["kid"]
    payload = token.split(".")[1]
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        for signature in ("", token.split(".")[2]):
            forged = f"{_encoded({'alg': algorithm, 'typ': 'JWT', 'kid': kid})}.{payload}.{signature}"
            assert service.client(forged).get(ME).status_code == 401, algorithm


def test_public_key_is_no_shared_secret(service: Service) -> None:
    import hashlib
    import hmac

    from tests.api.service import public_pem

    token = service.token_of("clinician")
    kid = jwt.get_unverified_header(token)["kid"]
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{token.split('.')[1]}"
    digest = hmac.new(public_pem(KEY).encode(), signed.encode(), hashlib.sha256).digest()
    forged = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert service.client(forged).get(ME).status_code == 401


def test_any_changed_character_of_a_token_is_noticed(service: Service) -> None:
    token = service.token_of("clinician")
    head, payload, signature = token.split(".")
    tampered = claims_of(token) | {"email": "admin@test.example"}
    for forged in (
        f"{head}.{_encoded(tampered)}.{signature}",
        f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{head}.{payload}.{signature[4:]}",
        f"{head}.{payload}",
        f"{head}.{payload}.",
        token + "x.y",
    ):
        assert service.client(forged).get(ME).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YTpi", "bearer x", "Bearer ...", f"Bearer {'x' * 5000}", "Bearer a b", "token"],
)
def test_header_that_holds_no_token_is_refused(service: Service, header: str) -> None:
    answer = service.client().get(ME, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_scheme_may_be_written_in_any_case(service: Service) -> None:
    token = service.token_of("clinician")
    assert service.client().get(ME, headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_what_a_gateway_says_about_the_user_is_not_believed(service: Service) -> None:
    claims = {"X-Consumer-Username": "admin", "X-User-Id": "1", "X-Authenticated-Userid": "admin"}
    assert service.client().get(ME, headers=claims).status_code == 401


def test_failures_are_in_the_audit_log_and_forgotten_after_the_window(start: Callable[..., Service]) -> None:
    service = start(login_failures_per_account=3, login_window_seconds=5)
    service.add_user("a@test.example", "clinician")
    service.add_user("b@test.example", "clinician")
    client = service.client()

    def wrong() -> int:
        return client.post(LOGIN, json={"email": "A@test.example", "password": "no"}).status_code

    assert [wrong() for _ in range(4)] == [401, 401, 401, 429]
    assert service.login("b@test.example")
    service.await_audit(action="auth.login", outcome="denied", status=401)
    service.await_audit(action="auth.login", outcome="denied", status=429)
    service.await_true(lambda: [wrong(), wrong()] == [401, 401], 30, "the end of the window")


def test_expired_token_is_refused_though_it_was_believed_before(start: Callable[..., Service]) -> None:
    service = start(token_lifetime_seconds=60, revocation_seconds=300)
    service.add_user("a@test.example", "clinician")
    token = service.login("a@test.example")["token"]
    soon = claims_of(token) | {"exp": int(time.time()) + 2}
    short = jwt.encode(soon, KEY, algorithm="RS256", headers={"kid": jwt.get_unverified_header(token)["kid"]})
    client = service.client(short)
    assert client.get(ME).status_code == 200
    service.await_true(lambda: client.get(ME).status_code == 401, 10, "the expiry")
    assert client.get(ME).json()["detail"] == "The token has expired; log in again."


def test_first_administrator_is_made_once(start: Callable[..., Service]) -> None:
    settings = {"bootstrap_admin_email": "Root@test.example", "bootstrap_admin_password": "first-Blue-lantern"}
    service = start(**settings)
    service.await_record("The first administrator was made")
    token = service.login("root@test.example", "first-Blue-lantern")["token"]
    assert service.client(token).get(ME).json()["role"] == "admin"
    service.close()
    again = start(**settings | {"bootstrap_admin_email": "second@test.example"})
    answer = again.client().post(LOGIN, json={"email": "second@test.example", "password": "first-Blue-lantern"})
    assert answer.status_code == 401
    assert "first-Blue-lantern" not in again.output + service.output
