"""Every promise, and every line of the threat model, names tests that exist, under the name that the page gives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
#: `| promise | tests |`, without the heading of the table and the line below it.
ROW = re.compile(r"^\|(?! *Promise *\|)(?! *line *\|)(?! *-)([^|]+)\|([^|]+)\|$", re.MULTILINE)
#: `[what is said](path of the test's file)`; a test of a file is named in the code before: `[`test_x`](path)`.
TEST = re.compile(r"\[`(\w+)`\]\(([^)]+\.py)\)")

ROWS = [
    row for page in ("promises.md", "threat-model.md") for row in ROW.findall((DOCS / page).read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("promise", "tests"), ROWS, ids=[promise.strip()[:60] for promise, _ in ROWS])
def test_a_promise_is_kept_by_tests_that_exist(promise: str, tests: str) -> None:
    named = TEST.findall(tests)
    assert named, f"nothing tests that {promise.strip()}"
    for name, path in named:
        assert name in functions(DOCS / path), f"{path} has no {name}"


def test_the_pages_have_lines() -> None:
    assert len(ROWS) > 60


def functions(file: Path) -> set[str]:
    """Return the names of the functions at the top of a file; none where it does not exist."""
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
