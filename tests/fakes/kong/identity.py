"""Which Kong the stand-in is like, and how it says that it is none.

`MARK` is in every answer of the Admin API and of the proxy, in the information endpoint, in the certificate that it
has of its own and in the message with which the program starts.
"""

from __future__ import annotations

from dataclasses import dataclass

MARK = "BioSpark test double"


@dataclass(frozen=True, order=True)
class Version:
    """A version of Kong Gateway."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        major, minor, patch = (int(part) for part in text.split("."))
        return cls(major, minor, patch)

    def since(self, major: int, minor: int) -> bool:
        """Whether it has what came with `major.minor`."""
        return (self.major, self.minor) >= (major, minor)

    @property
    def product(self) -> str:
        """What stands in `Server` and `Via`: clients find the version where Kong has it."""
        return f"kong/{self} ({MARK})"

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
