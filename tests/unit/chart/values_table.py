"""The values of the chart with their comments, as a table.

`python -m tests.unit.chart.values_table` writes the table into the chart's README.md; a test keeps it current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.unit.chart.helm import CHART

#: Objects that are one value: what is in them is Kubernetes' own.
OPEN = frozenset({"podSecurityContext", "networkPolicy.dns.podLabels"})

BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z][A-Za-z-]*):")


@dataclass(frozen=True)
class Value:
    """One value that can be set: its path, the comment above it, its default."""

    path: str
    description: str
    default: Any

    def row(self) -> str:
        """Return the row of the table."""
        default = json.dumps(self.default, ensure_ascii=False)
        return f"| `{self.path}` | `{default}` | {self.description} |"


def described_values() -> list[Value]:
    """Return every value of values.yaml, in its order."""
    text = (CHART / "values.yaml").read_text()
    comments, values = dict(_comments(text)), yaml.safe_load(text)
    return [Value(path, comments[path], default) for path, default in _leaves(values, "")]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value or path in OPEN:
        yield path, value
        return
    for name, child in value.items():
        yield from _leaves(child, f"{path}.{name}" if path else name)


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Yield each key with the comment right above it."""
    comment: list[str] = []
    parents: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
            continue
        if found := _KEY.match(line):
            parents = [*parents[: len(found["indent"]) // 2], found["name"]]
            yield ".".join(parents), " ".join(comment)
        comment = []


def with_table(readme: str) -> str:
    """Return the README with the current table between its marks."""
    rows = ["| value | default | meaning |", "|---|---|---|", *(value.row() for value in described_values())]
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return "\n".join([before + BEGIN, *rows, END + after])


if __name__ == "__main__":
    page = CHART / "README.md"
    page.write_text(with_table(page.read_text()))
