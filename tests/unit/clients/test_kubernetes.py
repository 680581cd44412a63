"""The client against an API server in trouble."""

from __future__ import annotations

import asyncio

import pytest

from biospark_operator.clients.kubernetes import client as kubernetes
from biospark_operator.clients.kubernetes import discovery
from biospark_operator.clients.kubernetes.client import Change, KubernetesClient, Listing, connected
from biospark_operator.clients.kubernetes.event_manifest import event_manifest
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.engine.errors import AccessError, OutsideError, RejectedError, UnavailableError
from tests.unit.clients.conftest import ApiServer, hangs, hangs_up, says, streams

SECRET = ObjectRef("v1", "Secret", "a", "b")
PATH = "/api/v1/namespaces/a/secrets/b"
CERTIFICATE = ObjectRef("cert-manager.io/v1", "Certificate", "a", "b")
CERTIFICATES = {"resources": [{"name": "certificates", "kind": "Certificate"}]}
MANIFEST = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "namespace": "a"}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says("", 500), UnavailableError),
        (says({"message": "slow down"}, 429, **{"Retry-After": "3"}), UnavailableError),
        (says("<html>welcome</html>"), UnavailableError),
        (says("[]"), UnavailableError),
        (hangs_up, UnavailableError),
        (says({"message": "no"}, 403), AccessError),
        (says({"message": "no"}, 401), AccessError),
        (says({"message": "no"}, 422), RejectedError),
    ],
)
async def test_whatever_goes_wrong_is_an_error_of_our_vocabulary(
    server: ApiServer, client: KubernetesClient, answer: object, kind: type[OutsideError]
) -> None:
    server.always[PATH] = answer  # type: ignore[assignment]
    with pytest.raises(kind, match="could not read Secret a/b"):
        await client.get(SECRET)


async def test_an_api_server_that_never_answers_is_given_up(
    server: ApiServer, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "TIMEOUT", 0.05)
    server.always[PATH] = hangs
    with pytest.raises(UnavailableError, match="no answer"):
        await client.get(SECRET)


async def test_requests_under_way_are_bounded(server: ApiServer, client: KubernetesClient) -> None:
    client._slots = asyncio.Semaphore(3)
    running, most, go = 0, 0, asyncio.Event()

    async def answer(request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            go.set()
        await go.wait()
        running -= 1
        return await says({})(request)

    server.always[PATH] = answer
    await asyncio.gather(*(client.get(SECRET) for _ in range(9)))
    assert most == 3


async def test_an_object_that_does_not_exist_is_none(server: ApiServer, client: KubernetesClient) -> None:
    assert await client.get(SECRET) is None


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_a_kind_is_not_taken_for_missing_because_discovery_fails(
    server: ApiServer, client: KubernetesClient, status: int
) -> None:
    server.script["/apis/cert-manager.io/v1"] = [says("unavailable", status)]
    server.always["/apis/cert-manager.io/v1"] = says(CERTIFICATES)
    server.always["/apis/cert-manager.io/v1/namespaces/a/certificates/b"] = says({"kind": "Certificate"})
    with pytest.raises((UnavailableError, AccessError), match=r"cert-manager\.io"):
        await client.get(CERTIFICATE)
    assert await client.get(CERTIFICATE) == {"kind": "Certificate"}


async def test_a_kind_is_found_once_it_is_installed(
    server: ApiServer, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    client._discovery = discovery.Discovery(client._resource_list, monotonic=lambda: now)
    manifest = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "b", "namespace": "a"}}
    for _ in range(5):
        assert await client.get(CERTIFICATE) is None
        with pytest.raises(RejectedError, match=r"does not have the kind Certificate of cert-manager.io/v1: install"):
            await client.apply(manifest, force=False)
    assert server.paths["/apis/cert-manager.io/v1"] == 1, "a missing kind is not looked for at every request"
    server.always["/apis/cert-manager.io/v1"] = says(CERTIFICATES)
    server.always["/apis/cert-manager.io/v1/namespaces/a/certificates/b"] = says({"kind": "Certificate"})
    now = discovery.ABSENCE
    assert await client.get(CERTIFICATE) == {"kind": "Certificate"}


async def test_a_kind_that_is_served_no_more_is_told_as_one_that_never_was(
    server: ApiServer, client: KubernetesClient
) -> None:
    manifest = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "b", "namespace": "a"}}
    path = "/apis/cert-manager.io/v1/namespaces/a/certificates"
    server.script["/apis/cert-manager.io/v1"] = [says(CERTIFICATES)]
    server.script[f"{path}/b"] = [says({"kind": "Certificate"}), says("404 page not found\n", 404)]
    server.always["/apis/cert-manager.io/v1"] = says({"resources": []})
    server.always[path] = says({"items": []})
    assert await client.get(CERTIFICATE) == {"kind": "Certificate"}
    with pytest.raises(RejectedError, match="does not have the kind Certificate") as gone:
        await client.apply(manifest, force=False)
    assert gone.value.reason == "DefinitionMissing"
    with pytest.raises(RejectedError, match="does not have the kind Certificate"):
        await client.list("cert-manager.io/v1", "Certificate", namespace="a")
    assert server.paths[path] == 0, "it is not asked for where it was"


async def test_a_missing_kind_is_found_at_once_after_its_definition_changed(
    server: ApiServer, client: KubernetesClient
) -> None:
    assert await client.get(CERTIFICATE) is None
    server.always["/apis/cert-manager.io/v1"] = says(CERTIFICATES)
    server.always["/apis/cert-manager.io/v1/namespaces/a/certificates/b"] = says({"kind": "Certificate"})
    client.look_again("example.org")
    assert await client.get(CERTIFICATE) is None
    client.look_again("cert-manager.io")
    assert await client.get(CERTIFICATE) == {"kind": "Certificate"}


async def test_only_the_group_that_is_asked_for_is_discovered_and_only_once(
    server: ApiServer, client: KubernetesClient
) -> None:
    await asyncio.gather(*(client.get(SECRET) for _ in range(10)))
    assert server.paths == {"/api/v1": 1, PATH: 10}


async def test_opening_a_client_sends_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "users: [{name: x, user: {}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
    )
    async with connected(kubeconfig=str(config)) as opened:
        with pytest.raises(UnavailableError, match="no answer from the API server"):
            await opened.get(SECRET)


async def test_without_a_way_to_a_cluster_the_message_says_what_to_set(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessError, match="set KUBECONFIG"):
        async with connected(kubeconfig=str(tmp_path / "none")):
            raise AssertionError


async def test_apply_says_who_and_whether_by_force(server: ApiServer, client: KubernetesClient) -> None:
    server.always[PATH] = says({"metadata": {"uid": "u", "resourceVersion": "7"}})
    await client.apply(MANIFEST, force=True, dry_run=True)
    await client.apply(MANIFEST, force=False)
    forced, plain = server.requests[-2:]
    assert dict(forced.query) == {"fieldManager": "biospark-operator", "force": "true", "dryRun": "All"}
    assert dict(plain.query) == {"fieldManager": "biospark-operator"}
    assert plain.headers["Content-Type"] == "application/apply-patch+yaml"


async def test_the_status_is_written_to_its_subresource_by_its_own_manager(
    server: ApiServer, client: KubernetesClient
) -> None:
    server.always[f"{PATH}/status"] = says({})
    await client.apply_status({**MANIFEST, "status": {}})
    assert dict(server.requests[-1].query) == {"fieldManager": "biospark-operator-status", "force": "true"}


async def test_only_the_object_with_the_uid_is_deleted(server: ApiServer, client: KubernetesClient) -> None:
    server.script[PATH] = [says({}), says({"message": "gone"}, 404), says({"message": "Precondition failed"}, 409)]
    for _ in range(3):
        await client.delete(SECRET, uid="u")
    assert server.bodies[-1]["preconditions"] == {"uid": "u"}
    assert server.bodies[-1]["propagationPolicy"] == "Background"


async def test_a_deletion_that_fails_is_an_error(server: ApiServer, client: KubernetesClient) -> None:
    server.always[PATH] = says({"message": "planted"}, 429)
    with pytest.raises(UnavailableError) as raised:
        await client.delete(SECRET, uid="u")
    assert raised.value.__cause__ is None, "the answer about a Secret must not appear in a traceback"
    assert "planted" not in str(raised.value)


async def test_lists_carry_the_kind_that_the_api_server_leaves_out(server: ApiServer, client: KubernetesClient) -> None:
    server.always["/api/v1/namespaces/a/secrets"] = says({"items": [{"metadata": {"name": "b"}}]})
    found = await client.list("v1", "Secret", namespace="a", labels="x=y", fields="type=z")
    assert found == [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}]
    assert dict(server.requests[-1].query) == {"labelSelector": "x=y", "fieldSelector": "type=z"}


def _listed(*names: str) -> object:
    return says({"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": name}} for name in names]})


def _event(type_: str, name: str, version: str) -> dict[str, object]:
    return {"type": type_, "object": {"metadata": {"name": name, "resourceVersion": version}}}


async def _watched(client: KubernetesClient, **how: bool) -> list[str]:
    names = []
    async for news in client.follow("v1", "Secret", namespace="a", labels="x=y", **how):  # type: ignore[arg-type]
        match news:
            case Listing(items=items):
                names += [item["metadata"]["name"] for item in items]
            case Change(object=item, gone=gone):
                names.append(f"{'-' if gone else '+'}{item['metadata']['name']}")
    return names


async def test_a_watch_goes_on_where_the_last_stream_ended(
    server: ApiServer, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "SHORTEST_WATCH", 0.0)
    server.script["/api/v1/namespaces/a/secrets"] = [
        _listed("one"),  # type: ignore[list-item]
        streams(_event("ADDED", "two", "6"), _event("BOOKMARK", "", "9")),
        streams(_event("DELETED", "one", "10"), {"type": "ERROR", "object": {"code": 410}}),
    ]
    assert await _watched(client) == ["one", "+two", "-one"]
    watches = [request.query for request in server.requests if "watch" in request.query]
    assert [query["resourceVersion"] for query in watches] == ["5", "9"]
    assert {query["allowWatchBookmarks"] for query in watches} == {"true"}
    assert {r.query["labelSelector"] for r in server.requests if r.path != "/api/v1"} == {"x=y"}


async def test_a_watch_of_metadata_alone_asks_for_nothing_else(server: ApiServer, client: KubernetesClient) -> None:
    server.script["/api/v1/namespaces/a/secrets"] = [_listed("one"), streams()]  # type: ignore[list-item]
    await _watched(client, only_metadata=True)
    accepted = [r.headers["Accept"] for r in server.requests if r.path != "/api/v1"]
    assert ["as=PartialObjectMetadataList;" in accepted[0], "as=PartialObjectMetadata;" in accepted[1]] == [True, True]


async def test_a_collection_is_listed_page_by_page(server: ApiServer, client: KubernetesClient) -> None:
    first = {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [{"metadata": {"name": "one"}}]}
    server.script["/api/v1/namespaces/a/secrets"] = [says(first), _listed("two"), streams()]  # type: ignore[list-item]
    assert await _watched(client) == ["one", "two"]
    assert [r.query.get("continue") for r in server.requests if r.query.get("limit")] == [None, "more"]


async def test_no_more_than_one_page_of_a_collection_is_held(server: ApiServer, client: KubernetesClient) -> None:
    first = {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [{"metadata": {"name": "one"}}]}
    server.script["/api/v1/namespaces/a/secrets"] = [says(first), _listed("two"), streams()]  # type: ignore[list-item]
    asked = []
    async for news in client.follow("v1", "Secret", namespace="a"):
        assert isinstance(news, Listing)
        asked.append((news.last, sum("limit" in request.query for request in server.requests)))
    assert asked == [(False, 1), (True, 2)]


async def test_an_object_may_be_larger_than_the_buffer_of_the_connection(
    server: ApiServer, client: KubernetesClient
) -> None:
    large = _event("MODIFIED", "large", "6")
    large["object"]["data"] = {"x": "A" * 1_000_000}  # type: ignore[index]
    server.script["/api/v1/namespaces/a/secrets"] = [
        _listed(),  # type: ignore[list-item]
        streams(large, _event("ADDED", "next", "7")),
    ]
    assert await _watched(client) == ["+large", "+next"]


async def test_a_watch_that_falls_silent_is_given_up(
    server: ApiServer, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "SILENCE", 0.05)
    server.script["/api/v1/namespaces/a/secrets"] = [_listed(), hangs]  # type: ignore[list-item]
    with pytest.raises(UnavailableError, match="could not watch Secrets in a"):
        await _watched(client)


async def test_a_watch_that_is_closed_at_once_is_not_begun_anew_without_end(
    server: ApiServer, client: KubernetesClient
) -> None:
    server.script["/api/v1/namespaces/a/secrets"] = [_listed("one")]  # type: ignore[list-item]
    server.always["/api/v1/namespaces/a/secrets"] = streams()
    assert await _watched(client) == ["one"]
    assert server.paths["/api/v1/namespaces/a/secrets"] == 2


@pytest.mark.parametrize("answer", [says({"message": "no"}, 403), hangs_up, says("{broken\n")])
async def test_a_watch_that_fails_raises_from_our_vocabulary(
    server: ApiServer, client: KubernetesClient, answer: object
) -> None:
    server.script["/api/v1/namespaces/a/secrets"] = [_listed(), answer]  # type: ignore[list-item]
    with pytest.raises(OutsideError, match="could not watch Secrets in a"):
        await _watched(client)


def test_an_event_stays_within_the_limits_of_the_api_server() -> None:
    ref = ObjectRef("biospark.ai/v1alpha1", "BioSparkEnvironment", None, "dev.eu")
    event = event_manifest(ref, "0123456789", type_="Normal", reason="R", message="…" * 1024, reporter="ü" * 128)
    assert len(event["note"].encode()) <= 1024
    assert set(event["note"]) == {"…"}
    assert len(event["reportingInstance"].encode()) <= 128
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["name"].startswith("dev-eu-01234567-")
