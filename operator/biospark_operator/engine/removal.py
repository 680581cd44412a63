"""Removes what nobody wants any more: single things after a change, everything on deletion.

Both are the same step on a part of the inventory or on all of it. Removal goes against the dependency order,
so that nothing loses what it still needs: a component's things go when those of its dependants are gone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from biospark_operator.engine import graph
from biospark_operator.engine.component import AnyComponent, Identity, Removed
from biospark_operator.engine.convergence import Leadership, outcome_of
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.inventory import Inventory
from biospark_operator.engine.outcome import Blocked, Failed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """How far a removal came: what is gone, what is waited for (id → why), and what went wrong if anything."""

    gone: tuple[str, ...] = ()
    #: What stays and is not ours any more.
    released: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    problem: Blocked | Failed | None = None
    #: How many deletions were begun, by component.
    begun: Mapping[str, int] = field(default_factory=dict)

    @property
    def done(self) -> tuple[str, ...]:
        """What does not belong to the environment any more."""
        return (*self.gone, *self.released)


async def remove(
    unwanted: Inventory,
    owner: Identity,
    components: Sequence[AnyComponent],
    leadership: Leadership,
    doubtful: Set[str] = frozenset(),
) -> Removal:
    """Start or go on removing `unwanted`; call again until nothing is waited for.

    What of it is `doubtful` was probably never made: where it can't be looked for, it is not.

    Stops at the first component whose things are not gone yet: those it requires may still be needed.
    Ids whose component this version of the operator does not know stay, and are reported.
    """
    so_far = Removal()
    for component in reversed(graph.in_order(components)):
        targets = unwanted.of(component.name)
        if not targets:
            continue
        leadership.check()
        try:
            result = await _removed(component, owner, targets, doubtful)
        except OutsideError as error:
            return replace(so_far, problem=outcome_of(error))
        kept = {*result.waiting, *result.released}
        so_far = Removal(
            gone=(*so_far.gone, *(target for target in targets if target not in kept)),
            released=(*so_far.released, *result.released),
            waiting=result.waiting,
            begun={**so_far.begun, component.name: len(result.deleted)},
        )
        if result.waiting:
            return so_far
    known = {component.name for component in components}
    strangers = {
        id_: f"created by the component {name!r}, which this version of the operator does not have"
        for id_, name in unwanted.entries.items()
        if name not in known
    }
    return replace(so_far, waiting=strangers)


async def _removed(component: AnyComponent, owner: Identity, targets: Sequence[str], doubtful: Set[str]) -> Removed:
    """Remove targets of one component; those that are doubtful only where the system they may be in answers."""
    sure = [target for target in targets if target not in doubtful]
    result = await component.remove(owner, sure) if sure else Removed()
    if len(sure) == len(targets):
        return result
    try:
        rest = await component.remove(owner, [target for target in targets if target in doubtful])
    except OutsideError as error:
        logger.info("%s of environment %s was never reached: %s", component.name, owner.name, error.message)
        return result
    return Removed(
        {**result.waiting, **rest.waiting}, (*result.released, *rest.released), (*result.deleted, *rest.deleted)
    )
