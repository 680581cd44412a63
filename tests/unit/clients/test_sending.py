"""Requests as they leave, and answers that are errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client as kube
from kubernetes.aio.client.exceptions import ApiException

from biospark_operator.clients.sending import Sending, prepared
from tests.unit.clients.conftest import ApiServer, says

PATH = "/api/v1/namespaces/a/configmaps"


@pytest.fixture
async def sending(server: ApiServer) -> AsyncIterator[Sending]:
    settings = kube.Configuration(host=server.url, api_key={"BearerToken": "Bearer of-the-test"})  # type: ignore[attr-defined]
    async with kube.ApiClient(prepared(settings)) as api:
        yield Sending(api)


async def test_parameters_have_the_names_of_the_api_and_those_without_value_are_left_out(
    server: ApiServer, sending: Sending
) -> None:
    server.always[PATH] = says({})
    await sending.request(
        "get", PATH, seconds=5, label_selector="a=b,c=d", _continue="x y", limit=3, field_selector=None
    )
    await sending.request("patch", PATH, seconds=5, body={}, field_manager="me", force_conflicts="true", dry_run="All")
    assert dict(server.requests[0].query) == {"labelSelector": "a=b,c=d", "continue": "x y", "limit": "3"}
    assert dict(server.requests[1].query) == {"fieldManager": "me", "force": "true", "dryRun": "All"}


async def test_every_request_says_who_we_are_and_what_it_carries(server: ApiServer, sending: Sending) -> None:
    server.always[PATH] = says({})
    content_type = "application/apply-patch+yaml"
    await sending.request("patch", PATH, seconds=5, body={"kind": "ConfigMap"}, content_type=content_type)
    sent = server.requests[0].headers
    assert (sent["Authorization"], sent["Content-Type"]) == ("Bearer of-the-test", content_type)
    assert server.bodies == [{"kind": "ConfigMap"}]


async def test_an_error_has_the_words_and_the_headers_of_the_api_server(server: ApiServer, sending: Sending) -> None:
    server.always[PATH] = says({"message": "slow down"}, 429, **{"Retry-After": "7"})
    with pytest.raises(ApiException) as caught:
        await sending.request("get", PATH, seconds=5)
    error = caught.value
    assert (error.status, error.headers["Retry-After"]) == (429, "7")
    assert "slow down" in (error.body or "")


async def test_a_proxy_is_used_where_the_environment_names_one(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert prepared(kube.Configuration()).client_session_kwargs == {"trust_env": False}
    monkeypatch.setenv("HTTP_PROXY", server.url)  # type: ignore[attr-defined]
    server.always[PATH] = says({})
    async with kube.ApiClient(prepared(kube.Configuration(host="http://cluster.example"))) as api:
        await Sending(api).request("get", PATH, seconds=5)
    assert server.requests[0].headers["Host"] == "cluster.example"
