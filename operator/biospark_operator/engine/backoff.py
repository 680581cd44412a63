"""Spaces out retries: exponential with jitter, capped, one series per component of an environment."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

#: Seconds. The first retry comes within two seconds, none later than five minutes.
BASE, CAP = 2.0, 300.0
#: Seconds. The shortest delay, so that jitter can't turn a series into a busy loop.
FLOOR = 0.5


def delay(failures: int, rng: random.Random) -> float:
    """Return how long to wait after the `failures`-th failure in a row (1 is the first), in seconds."""
    ceiling = min(CAP, BASE * 2 ** min(failures - 1, 16))
    return max(FLOOR, rng.uniform(ceiling / 2 if failures > 1 else 0, ceiling))


@dataclass
class Backoff:
    """The failures in a row of each component of one environment. Kept in memory: a restart starts anew."""

    rng: random.Random = field(default_factory=random.Random)
    _failures: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def failed(self, component: str, now: float, at_least: float | None = None) -> float:
        """Count a failure at `now` (seconds, monotonic) and return the delay before the next try."""
        self._failures[component] = self._failures.get(component, 0) + 1
        wait = max(delay(self._failures[component], self.rng), at_least or 0.0)
        self._not_before[component] = now + wait
        return wait

    def succeeded(self, component: str) -> None:
        """End the series of `component`."""
        self._failures.pop(component, None)
        self._not_before.pop(component, None)

    def reset(self) -> None:
        """Forget every series: something changed, so the reason to wait may be gone."""
        self._failures.clear()
        self._not_before.clear()

    def remaining(self, component: str, now: float) -> float:
        """Return the seconds that `component` still has to wait at `now`, 0 if it is due."""
        return max(0.0, self._not_before.get(component, now) - now)
