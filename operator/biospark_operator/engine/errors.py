"""One vocabulary for everything that can go wrong outside the operator.

Clients raise these and nothing else; `convergence` turns them into outcomes. So the question "is it worth
trying again?" is answered in one place, whatever answered: the API server, PostgreSQL, Vault or Kong.
Messages name the object and the next step, are the same on every try, and never hold a value of a Secret.
"""

from __future__ import annotations


class OutsideError(Exception):
    """An outside system did not do what it was asked. Raised only as one of the subclasses.

    `reason` is the condition reason where it is known better than from the class of the error.
    """

    def __init__(self, message: str, *, reason: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        #: Seconds that the other side asked us to wait, if it did.
        self.retry_after = retry_after


class UnavailableError(OutsideError):
    """It may work the next time: no connection, overload, a conflict with a concurrent write, a 5xx answer."""


class AccessError(OutsideError):
    """We are not allowed to. Rights may come later, so it is tried again, slowly."""


class RejectedError(OutsideError):
    """The request is wrong as it stands and will stay wrong until the specification or the object changes."""


class FieldConflictError(OutsideError):
    """Another field manager owns a field that we set, on an object that is not ours to force."""


class StillRunningError(OutsideError):
    """It was begun and goes on by itself: nothing is wrong. `retry_after` says when to look again."""


class NotLeaderError(Exception):
    """This process lost its leadership in the middle of a pass: it must not touch anything any more."""
