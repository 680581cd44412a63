"""Which events of children wake which environments."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.runtime.news import News


class Writes:
    """Remembers what the operator wrote."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    def wrote(self, uid: str, resource_version: str) -> bool:
        return self.versions.get(uid) == resource_version

    def forget(self, uid: str) -> None:
        self.versions.pop(uid, None)


def child(version: str = "1", *, kind: str = "Service", environment: str | None = "dev", **parts: Any) -> Any:
    labels = {"biospark.ai/environment": environment} if environment else {}
    owner = {"kind": "BioSparkEnvironment", "name": "dev", "uid": "e"}
    metadata = {"uid": "u", "resourceVersion": version, "labels": labels, "ownerReferences": [owner]}
    return {"kind": kind, "metadata": metadata, "spec": {}, **parts}


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def news(writes: Writes) -> News:
    return News(writes)


def test_the_first_list_is_no_news(news: News) -> None:
    assert news.of(None, child()) == frozenset()


def test_a_new_object_of_somebody_else_is_news(news: News) -> None:
    assert news.of("ADDED", child()) == {"dev"}


def test_what_we_wrote_is_no_news_and_what_follows_is(news: News, writes: Writes) -> None:
    writes.versions["u"] = "1"
    assert news.of("ADDED", child("1")) == frozenset()
    assert news.of("MODIFIED", child("2", spec={"a": 1})) == {"dev"}


def test_an_object_that_differs_when_it_is_listed_again_is_news(news: News) -> None:
    news.of(None, child("1"))
    assert news.of(None, child("2")) == frozenset()
    assert news.of(None, child("3", spec={"a": 1})) == {"dev"}


def test_a_deletion_is_news_also_of_what_we_wrote_and_nothing_of_it_is_kept(news: News, writes: Writes) -> None:
    writes.versions["u"] = "1"
    news.of("ADDED", child("1"))
    assert news.of("DELETED", child("1")) == {"dev"}
    assert len(news) == 0
    assert writes.versions == {}


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
    news: News, kind: str, parts: dict[str, Any], is_news: bool
) -> None:
    news.of(None, child("1", kind=kind))
    assert bool(news.of("MODIFIED", child("2", kind=kind, **parts))) is is_news


def test_bookkeeping_is_no_news(news: News) -> None:
    news.of(None, child("1"))
    changed = child("2")
    changed["metadata"] |= {"managedFields": [{"manager": "x"}], "generation": 7}
    assert news.of("MODIFIED", changed) == frozenset()


@pytest.mark.parametrize("label", [None, "other"])
def test_a_changed_label_still_wakes_the_owner(news: News, label: str | None) -> None:
    news.of(None, child("1"))
    assert "dev" in news.of("MODIFIED", child("2", environment=label))


def test_an_object_without_any_mark_left_wakes_whose_it_was(news: News) -> None:
    news.of(None, child("1"))
    bare = child("2")
    del bare["metadata"]["labels"], bare["metadata"]["ownerReferences"]
    assert news.of("MODIFIED", bare) == {"dev"}
