"""Who owns what of the status, so that several can write it and none takes away what is another's. Pure.

A writer says which conditions and fields are its own, and sees only those. One writer has the rest: what nobody else
owns, also what an older version left behind, so that nothing stays for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Status = Mapping[str, Any]


class Part(Protocol):
    """What of a status is a writer's own."""

    @property
    def writer(self) -> str:
        """The writer's name among those who write the status, which stays the same for ever; "" for the one with the
        rest."""

    def owns_condition(self, type_: str) -> bool:
        """Whether a condition is the writer's."""

    def owns_field(self, name: str) -> bool:
        """Whether a top-level field is the writer's. `conditions` is nobody's: each condition has an owner."""


@dataclass(frozen=True)
class Share:
    """Conditions and fields that are listed."""

    writer: str
    conditions: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    def owns_condition(self, type_: str) -> bool:
        """Whether it is listed."""
        return type_ in self.conditions

    def owns_field(self, name: str) -> bool:
        """Whether it is listed."""
        return name in self.fields


@dataclass(frozen=True)
class Rest:
    """All that is in no other writer's share."""

    others: tuple[Share, ...] = ()
    writer: str = ""

    def owns_condition(self, type_: str) -> bool:
        """Whether nobody else owns it."""
        return not any(share.owns_condition(type_) for share in self.others)

    def owns_field(self, name: str) -> bool:
        """Whether nobody else owns it."""
        return not any(share.owns_field(name) for share in self.others)


def own(status: Status, part: Part) -> dict[str, Any]:
    """Return what of a status is in `part`."""
    return _selected(status, part.owns_condition, part.owns_field)


def combined(status: Status, part: Part, written: Status) -> dict[str, Any]:
    """Return a status with `written` in the place of all that is in `part`."""
    others = _selected(status, lambda t: not part.owns_condition(t), lambda name: not part.owns_field(name))
    conditions = [*written.get("conditions", ()), *others.pop("conditions", ())]
    return {**others, **written} | ({"conditions": conditions} if conditions else {})


def equal(one: Status, other: Status) -> bool:
    """Whether two statuses say the same. The API server may change the order of conditions of different writers."""
    return _unordered(one) == _unordered(other)


def _selected(status: Status, condition: Callable[[str], bool], field_: Callable[[str], bool]) -> dict[str, Any]:
    kept = {name: value for name, value in status.items() if name != "conditions" and field_(name)}
    conditions = [entry for entry in status.get("conditions") or () if condition(entry["type"])]
    return kept | ({"conditions": conditions} if conditions else {})


def _unordered(status: Status) -> dict[str, Any]:
    return {**status, "conditions": {entry["type"]: entry for entry in status.get("conditions") or ()}}
