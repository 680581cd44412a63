"""Reads from managedFields who else sets fields of an object, and what it is without our part. Pure; for `component`.

Paths are written as `drift` writes them, so that both can be compared and shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.objects.drift import applied_fields, dotted, has_key, item_key, item_label

#: What every manifest has to say of the object it means.
_IDENTITY = ("name", "namespace", "uid")


def others_on(paths: Iterable[str], live: Manifest, manager: str) -> list[str]:
    """Return the names of the field managers beside `manager` that set one of `paths` or a part of it, sorted.

    Who writes the status alone does not count.
    """
    wanted = list(paths)
    return sorted(
        {
            entry["manager"]
            for entry in live["metadata"].get("managedFields") or ()
            if entry["manager"] != manager and entry.get("subresource") != "status"
            if any(_within(a, b) for a in _paths(entry.get("fieldsV1") or {}, live, "") for b in wanted)
        }
    )


def bare(live: Manifest) -> Manifest:
    """Return the manifest with which a manager gives all its fields up. The uid keeps it from making the object."""
    metadata = {key: live["metadata"][key] for key in _IDENTITY if key in live["metadata"]}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}


def held(live: Manifest, manager: str) -> Manifest:
    """Return the manifest with which `manager` applies an object as it is, so that nothing of it changes."""
    known, its = bare(live), _held(live, applied_fields(live, manager))
    return {**its, **known, "metadata": {**its.get("metadata", {}), **known["metadata"]}}


def _within(one: str, other: str) -> bool:
    """Whether one of two paths is the other or lies below it."""
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


def _paths(fields: Mapping[str, Any], live: Any, path: str) -> Iterator[str]:
    """Yield the paths of the leaves of a tree of managedFields."""
    for entry, below in fields.items():
        kind, _, text = entry.partition(":")
        if kind == "f":
            here, value = dotted(path, text), live.get(text) if isinstance(live, Mapping) else None
        elif kind in ("k", "v"):
            key = item_key(text)
            index, value = _item(live, key)
            here = f"{path}[{item_label(value if value is not None else key, index)}]"
        else:
            continue
        if below and set(below) != {"."}:
            yield from _paths(below, value, here)
        else:
            yield here


def _held(live: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of a value that a tree of managedFields names; a list item keeps what tells it apart."""
    if not fields:
        return live
    if isinstance(live, Mapping):
        keys = {entry[2:]: below for entry, below in fields.items() if entry.startswith("f:")}
        return {key: _held(live[key], below) for key, below in keys.items() if key in live}
    items: list[Any] = []
    ours = [(item_key(entry[2:]), below) for entry, below in fields.items() if entry[:2] in ("k:", "v:")]
    # In the order of the list: that of containers or variables makes another version of a Deployment.
    for item in live:
        for key, below in ours:
            if has_key(item, key):
                items.append({**_held(item, below), **key} if isinstance(item, Mapping) else item)
                break
    return items


def _item(live: Any, key: Any) -> tuple[int, Any]:
    """Return the item of a list that managedFields names, and where it is; None if it is not there."""
    items: Sequence[Any] = live if isinstance(live, Sequence) and not isinstance(live, str) else ()
    return next(((index, item) for index, item in enumerate(items) if has_key(item, key)), (0, None))
