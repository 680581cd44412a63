"""References: their text form is what the inventory keeps, so it must read back as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.clients.kubernetes.objects import ObjectRef

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
versions = st.sampled_from(["v1", "v2", "v1alpha1"])
api_versions = st.one_of(versions, st.builds("{}/{}".format, names, versions))
kinds = st.from_regex(r"[A-Z][A-Za-z]{0,20}", fullmatch=True)
#: Names of Roles may hold almost anything, as in "system:auth-delegator".
paths = st.one_of(names, st.builds("{}:{}".format, labels, labels))


@given(st.builds(ObjectRef, api_versions, kinds, st.one_of(st.none(), labels), paths))
def test_the_text_form_reads_back(ref: ObjectRef) -> None:
    assert ObjectRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", ["", "v1", "v1 Namespace", "v1 Namespace a b", "v1  Namespace a"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not name a Kubernetes object"):
        ObjectRef.parse(text)


def test_the_short_form_leaves_out_the_version() -> None:
    assert ObjectRef("apps/v1", "Deployment", "a", "b").short == "Deployment a/b"
    assert ObjectRef("v1", "Namespace", None, "a").short == "Namespace a"
