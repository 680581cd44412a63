"""Every relative link of the documentation leads to a file, and to a heading in it where it names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.markdown import anchors, fault, links

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "charts").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = [fault(page, target) for target in links(page.read_text(encoding="utf-8"))]
    assert [found for found in faults if found] == []


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target.partition("#")[0]).resolve() for target in links(index.read_text(encoding="utf-8"))
    }
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_links_are_found_outside_of_code_only() -> None:
    text = "[a](x.md) `[b](y.md)`\n```\n[c](z.md)\n```\n![d](e.png) [`f`](g.md#h)\n\n[i]: j.md\n"
    assert list(links(text)) == ["x.md", "e.png", "g.md#h", "j.md"]


def test_anchors_are_those_of_forges() -> None:
    text = "# What it does\n## `spec.api`\n## The API server's answers\n## A\n## A\n```\n# no heading\n```\n"
    assert anchors(text) == {"what-it-does", "specapi", "the-api-servers-answers", "a", "a-1"}


@pytest.mark.parametrize("target", ["missing.md", "page.md#missing", "#missing", "../missing/"])
def test_a_link_that_leads_nowhere_is_found(target: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here\n", encoding="utf-8")
    assert fault(page, target) is not None
    assert fault(page, "#here") is None
    assert fault(page, "https://example.com/#missing") is None
