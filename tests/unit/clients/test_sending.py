"""Requests as they leave, and answers that are errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client as kube
from kubernetes.aio.client.exceptions import ApiException

from biospark_operator.clients.kubernetes.contact import Contact
from biospark_operator.clients.kubernetes.sending import Sending
from tests.unit.clients.conftest import ApiServer, says

PATH = "/api/v1/namespaces/a/configmaps"


@pytest.fixture
async def sending(server: ApiServer) -> AsyncIterator[Sending]:
    settings = kube.Configuration(host=server.url, api_key={"BearerToken": "Bearer of-the-test"})  # type: ignore[attr-defined]
    async with kube.ApiClient(settings) as api:
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


@pytest.mark.parametrize(("status", "heard"), [(200, True), (403, True), (429, True), (500, False), (503, False)])
async def test_what_answers_for_an_api_server_that_is_away_is_not_contact(
    server: ApiServer, status: int, heard: bool
) -> None:
    contact = Contact()
    server.always[PATH] = says({}, status)
    async with kube.ApiClient(kube.Configuration(host=server.url)) as api:  # type: ignore[attr-defined]
        with contextlib.suppress(ApiException):
            await Sending(api, contact).request("get", PATH, seconds=5)
    assert contact.made is heard
