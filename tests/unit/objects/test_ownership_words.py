"""The words of ownership serve any system: here one that has them in tags, as a gateway does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from biospark_operator.engine.component import Identity
from biospark_operator.objects import ownership
from biospark_operator.objects.ownership import Origin, Standing, standing_of

OWNER = Identity("dev", "u-2", predecessor="u-1")


def tags(environment: str, uid: str, origin: Origin) -> list[str]:
    return ["others", f"biospark/{origin}/{environment}/{uid}"]


def standing(found: Sequence[str], owner: Identity) -> Standing:
    """How something with these tags stands: all that a new carrier has to write."""
    for tag in found:
        if tag.startswith("biospark/"):
            _, origin, environment, uid = tag.split("/")
            return standing_of(environment, uid, Origin(origin), owner)
    return Standing.UNOWNED


@pytest.mark.parametrize(
    ("found", "stands"),
    [
        ([], Standing.UNOWNED),
        (["others"], Standing.UNOWNED),
        (tags("dev", "u-2", Origin.CREATED), Standing.OURS),
        (tags("dev", "u-2", Origin.ADOPTED), Standing.OURS),
        (tags("dev", "u-1", Origin.CREATED), Standing.PREDECESSORS),
        (tags("dev", "u-0", Origin.CREATED), Standing.ANOTHERS),
        (tags("prod", "u-1", Origin.CREATED), Standing.ANOTHERS),
        (tags("dev", "u-0", Origin.RELEASED), Standing.OFFERED),
        (tags("prod", "u-0", Origin.RELEASED), Standing.ANOTHERS),
        (tags("dev", "", Origin.OFFERED), Standing.OFFERED),
        (tags("dev", "u-2", Origin.OFFERED), Standing.OFFERED),
        (tags("dev", "u-9", Origin.OFFERED), Standing.ANOTHERS),
    ],
    ids=str,
)
def test_how_something_stands_follows_from_its_mark_alone(found: list[str], stands: Standing) -> None:
    assert standing(found, OWNER) is stands


def test_every_refusal_names_the_thing_and_the_way_out() -> None:
    what, way_out = "service api on kong.example", "choose another name"
    for sentence in (
        ownership.belongs_to(what, "BioSparkEnvironment prod", way_out),
        ownership.kept_for(what, "prod", way_out),
        ownership.not_created_here(what, way_out),
    ):
        assert sentence.startswith(f"{what} exists and ")
        assert sentence.endswith(f"; {way_out}")
