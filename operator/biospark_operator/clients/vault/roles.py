"""Roles of the Kubernetes auth method: whom they let in, and for how long. Compared field by field.

A server keeps what a write does not mention, drops what it does not understand, and writes durations and ranges its own
way. So every field is written each time, and what is read is compared after both were put into one form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import names
from biospark_operator.clients.vault.server import Vault
from biospark_operator.engine.errors import RejectedError

Fields = Mapping[str, Any]

#: What a field that a server does not tell is worth: older ones do not have all.
_ZERO: Fields = {
    "alias_name_source": "serviceaccount_uid",
    "audience": "",
    "bound_service_account_names": [],
    "bound_service_account_namespaces": [],
    "bound_service_account_namespace_selector": "",
    "token_bound_cidrs": [],
    "token_explicit_max_ttl": 0,
    "token_max_ttl": 0,
    "token_no_default_policy": False,
    "token_num_uses": 0,
    "token_period": 0,
    "token_policies": [],
    "token_ttl": 0,
    "token_type": "default",
}
_DURATION = re.compile(r"(\d+[hms])+")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Role:
    """Lets ServiceAccounts of namespaces in, with tokens for one audience. Times are seconds.

    Its tokens are service tokens, so that they can be renewed and revoked.
    """

    accounts: tuple[str, ...]
    namespaces: tuple[str, ...]
    audience: str
    policies: tuple[str, ...]
    ttl: int
    max_ttl: int
    cidrs: tuple[str, ...] = ()

    @property
    def fields(self) -> Fields:
        """Every field as it is written. Raises `RejectedError` for what would let in more than it seems to."""
        for what, values in (("ServiceAccount", self.accounts), ("namespace", self.namespaces)):
            if not values:
                raise RejectedError(f"a role of Vault: name at least one {what}", reason=Reason.INVALID_SPEC)
        if not self.policies:
            raise RejectedError("a role of Vault: name at least one policy", reason=Reason.INVALID_SPEC)
        if not 0 < self.ttl <= self.max_ttl:
            raise RejectedError(
                "a role of Vault: write a TTL of at least one second that is not above the longest one",
                reason=Reason.INVALID_SPEC,
            )
        return {
            **_ZERO,
            "audience": names.audience(self.audience, "the audience of a role"),
            "bound_service_account_names": [
                names.account(name, "a ServiceAccount of a role") for name in self.accounts
            ],
            "bound_service_account_namespaces": [
                names.account(name, "a namespace of a role") for name in self.namespaces
            ],
            "token_bound_cidrs": [names.cidr(text, "a range of addresses of a role") for text in self.cidrs],
            "token_policies": [names.policy(name, "a policy of a role") for name in self.policies],
            "token_ttl": self.ttl,
            "token_max_ttl": self.max_ttl,
            "token_type": "service",
        }


def differences(wanted: Role, found: Fields) -> tuple[str, ...]:
    """Return the names of the fields in which a role as it was read differs.

    What is not a field of ours is not looked at: servers tell some fields again by older names.
    """
    fields = wanted.fields
    return tuple(name for name in _ZERO if _normal(fields[name]) != _normal(found.get(name, _ZERO[name])))


def _normal(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(sorted(_one_address(str(item)) for item in value))
    if value is None:
        return ()
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([hms])", value))
    return value


def _one_address(text: str) -> str:
    """Return a range of a single address as servers tell it."""
    return re.sub(r"^([0-9.]+)/32$|^([0-9a-f:]+)/128$", r"\1\2", text)


async def read(vault: Vault, mount: str, name: str) -> Fields | None:
    """Return the fields of a role, None where there is none."""
    mount, name = names.mount(mount, "the mount of the auth method"), names.role(name, "the name of a role")
    answer = await vault.ask(
        f"read the role {name} of {mount}", lambda api: api.plain.get(f"/v1/auth/{mount}/role/{name}")
    )
    return answer.data if answer.good else None


async def write(vault: Vault, mount: str, name: str, role: Role) -> None:
    """Create or change a role. Raises `RejectedError` where the server takes it and tells it differently afterwards."""
    mount, name = names.mount(mount, "the mount of the auth method"), names.role(name, "the name of a role")
    fields = role.fields

    async def there() -> bool:
        found = await read(vault, mount, name)
        return found is not None and not differences(role, found)

    # hvac's method leaves fields out, which then stay as somebody else made them.
    await vault.write(
        f"write the role {name} of {mount}",
        lambda api: api.plain.post(f"/v1/auth/{mount}/role/{name}", json=fields),
        there,
    )
    if dropped := differences(role, await read(vault, mount, name) or {}):
        raise RejectedError(
            f"the server {vault.address} took the role {name} of {mount}, but not what it says of {', '.join(dropped)}"
        )


async def delete(vault: Vault, mount: str, name: str) -> None:
    """Delete a role; nothing there is fine. Tokens that it gave live on: their policy has to go first."""
    mount, name = names.mount(mount, "the mount of the auth method"), names.role(name, "the name of a role")

    async def gone() -> bool:
        return await read(vault, mount, name) is None

    await vault.write(
        f"delete the role {name} of {mount}", lambda api: api.auth.kubernetes.delete_role(name, mount_point=mount), gone
    )
