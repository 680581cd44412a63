"""Reads Markdown as far as tests of the documentation need it: links, and the anchors of headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[^\n]*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)[^`].*?\1(?!`)")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def links(text: str) -> Iterator[str]:
    """Yield the target of every link and image outside of code."""
    prose = _CODE.sub("", _FENCE.sub("", text))
    yield from _LINK.findall(prose)
    yield from _DEFINITION.findall(prose)


def anchors(text: str) -> set[str]:
    """Return the anchors that forges give to the headings: lower case, punctuation dropped, blanks as hyphens."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def fault(page: Path, target: str) -> str | None:
    """Say what is wrong with a link of a page, or None. Links to other hosts are not followed."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    place, _, anchor = target.partition("#")
    goal = (page.parent / place).resolve() if place else page
    if not goal.exists():
        return f"{page.name}: there is no {place}"
    if anchor and (goal.suffix != ".md" or anchor not in anchors(goal.read_text(encoding="utf-8"))):
        return f"{page.name}: there is no heading #{anchor} in {goal.name}"
    return None
