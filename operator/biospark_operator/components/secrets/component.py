"""The secrets that the API has of its own: the key that signs tokens, and the first administrator's password.

They are made once and live in a Secret of the environment's namespace, which is the only place where they are: what
is there and good stays, whoever wrote it, and what is not is made anew when it is written. So no value is ever part
of a plan, and a restart, a lost status or an upgrade changes nothing.

The public keys are those whose tokens the API accepts beside its own. Every signing key that was made here is among
them, so who replaces a broken one, or takes another by hand, ends no session.
"""

from __future__ import annotations

import asyncio
import secrets as random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import namespace
from biospark_operator.components.names import API
from biospark_operator.components.secrets import keys
from biospark_operator.engine.component import Environment
from biospark_operator.objects import drift, kinds, secret_data
from biospark_operator.objects.component import Cluster, ObjectsComponent
from biospark_operator.objects.manifest import namespaced

NAME = "secrets"
#: The Secret and its keys.
SECRET = API
TOKEN_KEY, PUBLIC_KEYS = "token-key.pem", "token-public-keys.pem"
ADMIN_PASSWORD = "bootstrap-admin-password"  # noqa: S105 - a name
#: Stands in a plan for a value that is not made yet. No base64, so the API server would never take it.
UNMADE = "<made when it is written>"
#: Characters that the API accepts of a password, at least and at most.
_SHORTEST, _LONGEST = 12, 1024


def component(cluster: Cluster) -> ObjectsComponent:
    """Return the component. Without a database the API has no tokens and no users, so it needs no secrets."""
    # A hundred new environments at once must not take the processor from the loop.
    one_at_a_time = asyncio.Semaphore(1)

    async def complete(env: Environment, manifest: Manifest) -> Manifest:
        if UNMADE not in manifest.get("data", {}).values():
            return manifest
        # Read again instead of planned, so that a plan is the same as often as it is made.
        live = await cluster.get(ObjectRef.of(manifest))
        async with one_at_a_time:
            return await asyncio.to_thread(completed, manifest, live)

    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.SECRETS_READY,
        cluster=cluster,
        build=build,
        kinds=frozenset({kinds.SECRET}),
        requires=frozenset({namespace.NAME}),
        when=lambda env: env.spec.database.server is not None,
        fill=lambda env, manifest, live, _: planned(env, manifest, live),
        complete=complete,
    )


def build(env: Environment) -> Sequence[Manifest]:
    """Return the Secret without its data."""
    return [namespaced(env, "v1", "Secret", SECRET, type="Opaque")]


def planned(env: Environment, manifest: Manifest, live: Manifest | None) -> Manifest:
    """Return the Secret with the values that it has and that are ours, and `UNMADE` for those that are to be made.

    A good value that somebody else wrote is theirs: it is neither put back nor told as drift.
    """
    held = {key: text for key, text in secret_data.texts(live).items() if key in _GOOD and _GOOD[key](text)}
    data = {key: secret_data.encoded(held[key]) if key in held else UNMADE for key in _wanted(env)}
    if data[TOKEN_KEY] == UNMADE:
        # The new key comes to them.
        data[PUBLIC_KEYS] = UNMADE
    # One of another type is replaced as a whole.
    if live is not None and live.get("type") == manifest["type"]:
        ours = drift.applied_fields(live, FIELD_MANAGER).get("f:data", {})
        data = {key: value for key, value in data.items() if value == UNMADE or f"f:{key}" in ours}
    # What is empty the API server forgets.
    return {**manifest, "data": data} if data else manifest


def completed(manifest: Manifest, live: Manifest | None) -> Manifest:
    """Return the Secret with all its values; those that are missing are made, which takes up to half a second."""
    held = secret_data.texts(live)
    signing, password = held.get(TOKEN_KEY, ""), held.get(ADMIN_PASSWORD, "")
    signing = signing if keys.is_signing_key(signing) else keys.new_signing_key()
    password = password if _is_password(password) else random.token_urlsafe(24)
    public = keys.with_public_key(held.get(PUBLIC_KEYS, ""), keys.public_half(signing))
    made = {TOKEN_KEY: signing, PUBLIC_KEYS: public, ADMIN_PASSWORD: password}
    data = {
        key: secret_data.encoded(made[key]) if value == UNMADE else value for key, value in manifest["data"].items()
    }
    return {**manifest, "data": data}


def _is_password(text: str) -> bool:
    return _SHORTEST <= len(text) <= _LONGEST


#: Whether a value is good, by key.
_GOOD: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        TOKEN_KEY: keys.is_signing_key,
        PUBLIC_KEYS: keys.are_public_keys,
        ADMIN_PASSWORD: _is_password,
    }
)


def _wanted(env: Environment) -> Sequence[str]:
    return [TOKEN_KEY, PUBLIC_KEYS, *([ADMIN_PASSWORD] if env.spec.api.bootstrap_admin else [])]
