"""How kopf is set up: what it watches, what it writes, and what of a resource it passes on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
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


@dataclasses.dataclass(frozen=True)
class _Logins:
    account: kopf.ConnectionInfo | None
    config: kopf.ConnectionInfo | None


@pytest.mark.parametrize(
    ("logins", "server"),
    [
        (_Logins(kopf.ConnectionInfo(server="account"), kopf.ConnectionInfo(server="config")), "account"),
        (_Logins(None, kopf.ConnectionInfo(server="config")), "config"),
        (_Logins(None, None), None),
    ],
)
def test_credentials_are_read_again_before_they_run_out(
    monkeypatch: pytest.MonkeyPatch, logins: _Logins, server: str | None
) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: logins.account)
    monkeypatch.setattr(kopf, "login_via_client", lambda **_: logins.config)
    info = handlers._login()
    assert (info.server if info else None) == server
    if info:
        assert info.expiration is not None
        assert timedelta(0) < info.expiration - datetime.now(UTC) < timedelta(hours=1)
