"""How hard a password is to guess, as zxcvbn estimates it. Used by `passwords`, and for the one of the settings."""

from collections.abc import Iterable

from zxcvbn_rs_py import zxcvbn

_JUDGED = 100
"""Characters that are looked at. The time grows faster than the length: 60 ms for a hundred that are all the same."""
_ENOUGH = 3
""""Safely unguessable" in zxcvbn's words: more than 10^8 guesses."""
_OURS = ("biospark", "health", "postgres", "kubernetes", "operator")


def is_guessable(password: str, about: Iterable[str] = ()) -> bool:
    """Whether too few guesses find it, for somebody who knows these words about the user."""
    return int(zxcvbn(password[:_JUDGED], [*_OURS, *about]).score) < _ENOUGH
