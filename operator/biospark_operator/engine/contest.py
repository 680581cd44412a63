"""Damps the repair of drift that keeps coming back, so that two controllers don't fight at full speed.

The first repairs of a drift are made at once, the following ones at growing intervals of at most five minutes.
The same drift is the same action: target, summary, and what is wanted. When it was repaired `CONTESTED_AFTER`
times in a row the user is told who fights over what. All else is repaired at once as before.

A fight is over when its drift stayed away for a while, when something else is wanted, or when the user asks for
a pass. Kept in memory: a restart begins anew.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.backoff import delay
from biospark_operator.engine.component import Action
from biospark_operator.engine.outcome import Blocked, Outcome, Progressing, Ready

#: Repairs of one drift that are made at once.
AT_ONCE = 3
#: Repairs of one drift in a row after which the user is told.
CONTESTED_AFTER = 5
#: Seconds, at least, for which a drift has to stay away until the fight over it is over.
QUIET = 300.0


@dataclass(frozen=True, slots=True)
class _Fight:
    action: Action
    #: Of what is wanted: small, and it holds nothing secret.
    digest: bytes
    repairs: int
    #: Monotonic times in seconds: until when the next repair is held back, and when the fight counts as over.
    held_until: float
    over_at: float


@dataclass
class Contest:
    """The repairs of one environment, by component, target and summary."""

    rng: random.Random = field(default_factory=random.Random)
    _fights: dict[tuple[str, str, str], _Fight] = field(default_factory=dict)

    def due(self, component: str, action: Action, now: float) -> bool:
        """Whether `action` may be carried out at `now` (seconds, monotonic)."""
        fight = self._fight(component, action, now)
        return fight is None or now >= fight.held_until

    def repaired(self, component: str, action: Action, now: float) -> None:
        """Take note that `action` was carried out at `now`."""
        before = self._fight(component, action, now)
        repairs = before.repairs + 1 if before else 1
        wait = delay(repairs - AT_ONCE + 1, self.rng) if repairs >= AT_ONCE else 0.0
        known = before.action if before and not action.rivals else replace(action, payload=None)
        over_at = now + max(QUIET, 2 * wait)
        fight = _Fight(known, _digest(action), repairs, now + wait, over_at)
        self._fights[component, action.target, action.summary] = fight

    def verdict(self, component: str, outcome: Outcome, now: float) -> Outcome:
        """Return what to tell of `component` at `now`: its outcome, or the fight that keeps it from being done."""
        fights = [
            fight.action
            for (name, _, _), fight in sorted(self._fights.items())
            if name == component and fight.repairs >= CONTESTED_AFTER and now < fight.over_at
        ]
        if not fights or not isinstance(outcome, Ready | Progressing):
            return outcome
        # What is ready but for the fight can be built on: the rest of the environment must not suffer.
        return Blocked(Reason.DRIFT_CONTESTED, _told(fights), usable=isinstance(outcome, Ready))

    def is_on(self, now: float) -> bool:
        """Whether any repair is held back, or may be the next time. Forgets what is over."""
        self._fights = {key: fight for key, fight in self._fights.items() if now < fight.over_at}
        return any(fight.repairs >= AT_ONCE for fight in self._fights.values())

    def next_look(self, now: float) -> float | None:
        """Return the seconds until a repair is due or a fight over, or None if there is neither."""
        times = [
            fight.held_until if fight.held_until > now else fight.over_at
            for fight in self._fights.values()
            if now < fight.over_at and fight.repairs >= AT_ONCE
        ]
        return min(times) - now if times else None

    def clear(self) -> None:
        """Forget every fight: the user acted, so it may be over."""
        self._fights.clear()

    def _fight(self, component: str, action: Action, now: float) -> _Fight | None:
        fight = self._fights.get((component, action.target, action.summary))
        return fight if fight and now < fight.over_at and fight.digest == _digest(action) else None


def _digest(action: Action) -> bytes:
    return hashlib.sha256(repr(action.payload).encode()).digest()


def _told(fights: Sequence[Action]) -> str:
    action = fights[0]
    who = ", ".join(action.rivals) or "an admission webhook, or somebody unknown,"
    more = f" (and {len(fights) - 1} more)" if len(fights) > 1 else ""
    if action.verb is Verb.CREATE:
        return (
            f"{action.target} keeps being deleted{more}; it is recreated at growing intervals; find out from the "
            "audit log of the API server who deletes it, and stop that"
        )
    fields = action.summary.removeprefix("set ")
    what = f"changing {fields} of {action.target}" if fields != action.summary else f"undoing this: {action.summary}"
    return (
        f"{who} keeps {what}{more}; it is repaired at growing intervals; "
        "stop that, or change the environment to what is wanted"
    )
