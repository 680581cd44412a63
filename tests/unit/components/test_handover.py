"""What one component hands to the API's pods, and how it learns that they have taken it up."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.components.handover import DATABASE_LOGIN, Handover, Uptake
from biospark_operator.components.secrets.store import Credential, Slot
from biospark_operator.engine.component import Environment
from tests.fakes.credentials import MemoryStore
from tests.fakes.environments import environment

TOY = Handover("toy", "made-at", "example.com/key-made-at")
GIVEN = "2030-01-01T00:00:00Z"


def slot(**notes: str) -> Slot:
    return Slot("toy", "id", "where", Credential({}, notes))


def deployment(*, annotations: dict[str, str] | None = None, updated: int = 1) -> Any:
    template = {"metadata": {"labels": {"app": "toy"}} | ({"annotations": annotations} if annotations else {})}
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": updated, "availableReplicas": 1}
    return {
        "kind": "Deployment",
        "metadata": {"generation": 1},
        "spec": {"replicas": 1, "template": template},
        "status": status,
    }


def test_pods_take_up_what_is_given_and_the_giver_learns_of_it() -> None:
    taken = TOY.stamped(deployment(), GIVEN)
    assert taken["spec"]["template"]["metadata"]["labels"] == {"app": "toy"}
    assert TOY.uptake_of(taken) == Uptake(True, TOY.given(slot(**{"made-at": GIVEN})))
    assert TOY.uptake_of(taken).is_done(GIVEN)
    assert not TOY.uptake_of(deployment()).is_done(GIVEN)


def test_two_handovers_do_not_take_each_other_away() -> None:
    both = TOY.stamped(DATABASE_LOGIN.stamped(deployment(), "2029-01-01T00:00:00Z"), GIVEN)
    assert (TOY.uptake_of(both).stamp, DATABASE_LOGIN.uptake_of(both).stamp) == (GIVEN, "2029-01-01T00:00:00Z")


def test_while_pods_are_replaced_nothing_is_taken_up() -> None:
    moments = {TOY.annotation: "2030-01-01T00:00:00Z"}
    assert TOY.uptake_of(deployment(annotations=moments, updated=0)) == Uptake(has_pods=True)


def test_where_there_are_no_pods_nothing_is_waited_for() -> None:
    assert TOY.uptake_of(None).is_done(GIVEN)


@pytest.mark.parametrize("given", [Slot("toy", "id", "where"), slot(), slot(other="x")], ids=["empty", "none", "other"])
async def test_what_says_no_moment_changes_nothing(given: Slot) -> None:
    class Store(MemoryStore):
        async def read(self, env: Environment, name: str) -> Slot:
            return given

    assert TOY.given(given) is None
    assert await TOY.taken(Store(), environment(), deployment()) == deployment()


def test_the_annotation_of_the_login_is_that_of_earlier_versions() -> None:
    assert DATABASE_LOGIN.annotation == "biospark.ai/rotated-at", "another one would replace the pods at an upgrade"
