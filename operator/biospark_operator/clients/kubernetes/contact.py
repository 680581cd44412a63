"""Keeps in mind when the API server was heard last. Told by `sending` and `client`, asked by the probes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Contact:
    """Contact with the API server, by whatever client of this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()
        #: Whether it was ever heard.
        self.made = False

    def heard(self) -> None:
        """Take note that the API server answered, or went on with an answer."""
        self._last = self._monotonic()
        self.made = True

    @property
    def silence(self) -> float:
        """Seconds since it was heard, or since this process began to listen."""
        return self._monotonic() - self._last
