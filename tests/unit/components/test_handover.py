"""What one component hands to the API's pods, and how it learns that they have taken it up."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.components.handover import DATABASE_LOGIN, Handover

TOY = Handover("example.com/key-made-at")
GIVEN = {"metadata": {"annotations": {TOY.annotation: "2030-01-01T00:00:00Z"}}}


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
    taken = TOY.taken(deployment(), GIVEN)
    assert taken["spec"]["template"]["metadata"]["labels"] == {"app": "toy"}
    assert TOY.taken_up(taken) == TOY.offered(GIVEN) == "2030-01-01T00:00:00Z"
    assert TOY.taken_up(deployment()) is None


def test_two_handovers_do_not_take_each_other_away() -> None:
    other = {"metadata": {"annotations": {DATABASE_LOGIN.annotation: "2029-01-01T00:00:00Z"}}}
    both = TOY.taken(DATABASE_LOGIN.taken(deployment(), other), GIVEN)
    assert (TOY.taken_up(both), DATABASE_LOGIN.taken_up(both)) == ("2030-01-01T00:00:00Z", "2029-01-01T00:00:00Z")


def test_while_pods_are_replaced_nothing_is_taken_up() -> None:
    moments = {TOY.annotation: "2030-01-01T00:00:00Z"}
    assert TOY.taken_up(deployment(annotations=moments, updated=0)) is None
    assert TOY.taken_up(None) is None


@pytest.mark.parametrize("given", [None, {}, {"metadata": {}}, {"metadata": {"annotations": None}}], ids=str)
def test_what_says_no_moment_changes_nothing(given: Any) -> None:
    assert TOY.offered(given) is None
    assert TOY.taken(deployment(), given) == deployment()


def test_the_annotation_of_the_login_is_that_of_earlier_versions() -> None:
    assert DATABASE_LOGIN.annotation == "biospark.ai/rotated-at", "another one would replace the pods at an upgrade"
