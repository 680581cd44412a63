"""How kopf is set up: what it watches, what it writes, and what of a resource it passes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kopf
import pytest

from biospark_operator.runtime import handlers
from biospark_operator.runtime.handlers import operator_settings
from biospark_operator.runtime.leader import SoleReplica
from biospark_operator.runtime.loop import Environments
from tests.fakes.environments import body


def test_kopf_elects_posts_and_stores_nothing() -> None:
    settings = operator_settings()
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.persistence.finalizer == "biospark.ai/finalizer"
    patch = kopf.Patch()
    stored: Any = kopf.Body(body())
    settings.persistence.diffbase_storage.store(body=stored, patch=patch, essence={"spec": {}})
    settings.persistence.progress_storage.touch(body=stored, patch=patch, value="now")
    assert not patch


@pytest.mark.parametrize(
    ("metadata", "spec", "is_news"),
    [
        ({}, {}, False),
        ({"generation": 2}, {}, True),
        ({"annotations": {"biospark.ai/reconcile-requested-at": "now"}}, {}, True),
        ({"annotations": {"note": "seen"}}, {}, False),
        ({"labels": {"team": "heart"}}, {}, False),
        ({"resourceVersion": "9", "managedFields": []}, {}, False),
    ],
)
def test_only_a_new_generation_or_a_request_is_news(
    metadata: dict[str, Any], spec: dict[str, Any], is_news: bool
) -> None:
    changed = body(metadata=metadata, **spec)
    assert (handlers._version(body()) != handlers._version(changed)) is is_news


async def test_events_of_environments_make_and_forget_their_slots() -> None:
    environments = Environments(None, 1)  # type: ignore[arg-type]
    registry = handlers.registry(environments, SoleReplica().check_lease)
    (handle,) = [h.fn for h in registry._watching.get_all_handlers() if h.fn.__name__ == "environment_changed"]

    async def event(type_: str | None, **metadata: Any) -> None:
        changed = body(metadata=metadata, registry={"pullSecretRef": {"name": "pull"}})
        await handle(type=type_, name="dev", uid="u", body=changed)  # type: ignore[misc, call-arg]

    await event(None)
    ((name, slot),) = environments.all()
    assert (name, slot.secrets, slot.woken.is_set()) == ("dev", {"pull"}, False)
    await event("MODIFIED", generation=2)
    assert slot.woken.is_set()
    await event("DELETED")
    assert environments.all() == []


@pytest.mark.parametrize(("without", "proxy"), [("", "http://127.0.0.1:9"), ("192.0.2.0/24", None)])
async def test_kopf_goes_the_way_of_our_own_requests_and_reads_it_again_before_the_token_runs_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, without: str, proxy: str | None
) -> None:
    for name, value in {"https_proxy": "http://127.0.0.1:9", "no_proxy": without}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    clusters = [{"name": "x", "cluster": {"server": "https://192.0.2.7:6443"}}]
    contexts = [{"name": "x", "context": {"cluster": "x", "user": "x"}}]
    users = [{"name": "x", "user": {"token": "of-the-test"}}]
    config = {"current-context": "x", "clusters": clusters, "contexts": contexts, "users": users}
    (tmp_path / "config").write_text(json.dumps(config))
    made = await handlers._session(SoleReplica().check_lease)
    async with made.aiohttp_session as session:
        assert made.server == "https://192.0.2.7:6443"
        assert session.headers["Authorization"] == "Bearer of-the-test"
        assert (str(session._default_proxy) if session._default_proxy else None) == proxy
        assert not session.trust_env
    assert made.expiration is not None
    assert timedelta(0) < made.expiration - datetime.now(UTC) < timedelta(hours=1)
