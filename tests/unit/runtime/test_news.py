"""Which changes of children are news, and for which environments."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.objects.kinds import kinds_of
from biospark_operator.runtime import news
from tests.fakes.components import COMPONENTS

DECLARED = {kind.kind: kind.status_matters for kind in kinds_of(COMPONENTS)}


def concerned(before: Any, after: Any) -> frozenset[str]:
    return news.concerned(before, after, status_matters=DECLARED[(after or before)["kind"]])


def child(version: str = "1", *, kind: str = "Service", environment: str | None = "dev", **parts: Any) -> Any:
    labels = {"biospark.ai/environment": environment} if environment else {}
    owner = {"kind": "BioSparkEnvironment", "name": "dev", "uid": "e"}
    metadata = {"uid": "u", "resourceVersion": version, "labels": labels, "ownerReferences": [owner]}
    return {"kind": kind, "metadata": metadata, "spec": {}, **parts}


def test_an_object_that_appears_or_goes_is_news() -> None:
    assert concerned(None, child()) == {"dev"}
    assert concerned(child(), None) == {"dev"}


def test_an_object_that_differs_is_news_and_one_that_does_not_is_none() -> None:
    assert concerned(child("1"), child("2")) == frozenset()
    assert concerned(child("1"), child("2", spec={"a": 1})) == {"dev"}


@pytest.mark.parametrize(
    ("kind", "parts", "is_news"),
    [
        ("ResourceQuota", {"status": {"used": {"pods": "1"}}}, False),
        ("Deployment", {"status": {"readyReplicas": 1}}, True),
        ("Namespace", {"status": {"phase": "Terminating"}}, True),
        ("Secret", {"data": {"a": "eA=="}}, True),
        ("Role", {"rules": []}, True),
    ],
)
def test_status_is_news_only_where_it_says_whether_the_environment_is_ready(
    kind: str, parts: dict[str, Any], is_news: bool
) -> None:
    assert bool(concerned(child("1", kind=kind), child("2", kind=kind, **parts))) is is_news


def test_bookkeeping_is_no_news() -> None:
    changed = child("2")
    changed["metadata"] |= {"managedFields": [{"manager": "x"}], "generation": 7}
    assert concerned(child("1"), changed) == frozenset()


@pytest.mark.parametrize("label", [None, "other"])
def test_a_changed_label_still_wakes_the_owner(label: str | None) -> None:
    assert "dev" in concerned(child("1"), child("2", environment=label))


def test_an_object_without_any_mark_left_wakes_whose_it_was() -> None:
    bare = child("2")
    del bare["metadata"]["labels"], bare["metadata"]["ownerReferences"]
    assert concerned(child("1"), bare) == {"dev"}
