"""Policies of a Vault server: rendered from data, compared byte for byte.

A server stores nearly any text, also one that grants nothing or everything, so only text that is rendered here is
written. A policy takes effect at once in every token that has it; the list of policies in a token does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import names
from biospark_operator.clients.vault.server import Vault
from biospark_operator.engine.errors import RejectedError

#: What OpenBao calls the version of a policy that is not there.
_NEW = -1
#: What a rule may allow. `deny` is not among them: it would hide what another rule gives, instead of not giving it.
CAPABILITIES = ("create", "delete", "list", "patch", "read", "update")


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done at a path, or with `below` at everything below it, in the order of `CAPABILITIES`."""

    path: str
    capabilities: tuple[str, ...]
    below: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as a server has it. OpenBao counts versions, and writes only over the one that is expected."""

    text: str
    version: int | None = None


def render(rules: Sequence[Rule]) -> str:
    """Return the text of a policy; raises `RejectedError` for one that says nothing, or more than it seems to."""
    if not rules:
        raise RejectedError("a policy without rules allows nothing; name a path", reason=Reason.INVALID_SPEC)
    return "\n".join(_rendered(rule) for rule in rules)


def _rendered(rule: Rule) -> str:
    path = names.mount(rule.path, "the path of a policy")
    if not rule.capabilities or not set(rule.capabilities) <= set(CAPABILITIES):
        raise RejectedError(
            f"the capabilities of a policy at {path}: write some of {', '.join(CAPABILITIES)}",
            reason=Reason.INVALID_SPEC,
        )
    listed = ", ".join(f'"{name}"' for name in CAPABILITIES if name in rule.capabilities)
    return f'path "{path}{"/*" if rule.below else ""}" {{\n  capabilities = [{listed}]\n}}\n'


async def read(vault: Vault, name: str) -> Policy | None:
    """Return a policy, None where there is none."""
    name = names.policy(name, "the name of a policy")
    answer = await vault.ask(f"read the policy {name}", lambda api: api.sys.read_acl_policy(name=name))
    if not answer.good:
        return None
    version = answer.data.get("version")
    return Policy(str(answer.data.get("policy", "")), version if isinstance(version, int) else None)


async def write(vault: Vault, name: str, rules: Sequence[Rule], before: Policy | None) -> None:
    """Create a policy, or change the one that was read `before`; raises `ConflictError` if it is another one by now.

    Only a server that counts versions notices that.
    """
    name, text = names.policy(name, "the name of a policy"), render(rules)
    expected = _NEW if before is None else before.version
    body = {"policy": text, **({} if expected is None else {"cas": expected})}

    async def there() -> bool:
        found = await read(vault, name)
        return found is not None and found.text == text

    # hvac's method has no place for the version.
    await vault.write(
        f"write the policy {name}", lambda api: api.plain.post(f"/v1/sys/policies/acl/{name}", json=body), there
    )


async def delete(vault: Vault, name: str) -> None:
    """Delete a policy, which cuts off every token that lives by it; nothing there is fine."""
    name = names.policy(name, "the name of a policy")

    async def gone() -> bool:
        return await read(vault, name) is None

    await vault.write(f"delete the policy {name}", lambda api: api.sys.delete_acl_policy(name=name), gone)
