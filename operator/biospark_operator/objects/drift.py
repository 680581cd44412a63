"""Compares an object as we want it with the object as it is. Pure; used by `component`.

Nothing is remembered between passes, so a restart of the operator finds unchanged objects unchanged and writes
nothing. Two sources are enough, both on the live object: its values, and `metadata.managedFields`, in which the
API server keeps which fields this operator applied. A field needs us if its value differs, if another manager
took it from us, or if we applied it before and don't want it any more.

Both objects are plain JSON, so dictionaries and lists are looked for by their types: to ask for a Mapping takes
many times longer, and this is most of what a pass over an unchanged environment costs.

The answer is field paths, never values: it is shown to users.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.clients.kubernetes.objects import Manifest

#: Fields below these names are Kubernetes quantities, which the API server writes in its own way.
_QUANTITIES = frozenset({"limits", "requests", "hard", "default", "defaultRequest", "max", "min"})
#: Keys by which the items of a list are told apart, the first that all items have.
_ITEM_KEYS = ("uid", "name", "mountPath", "type")


def differences(desired: Manifest, live: Manifest, manager: str) -> list[str]:
    """Return the paths in which `live` is not what `manager` wants with `desired`, sorted, without doubles."""
    applied = applied_fields(live, manager)
    paths = {
        *_changed(desired, live, applied, "", quantity=False),
        *_lost(_without_identity(desired), applied, ""),
        *_abandoned(_without_identity(desired), applied, ""),
    }
    return sorted(path for path in paths if not any(path.startswith((f"{other}.", f"{other}[")) for other in paths))


def applied_fields(live: Manifest, manager: str) -> Mapping[str, Any]:
    """Return what `manager` applied to an object, as the tree of managedFields; empty if it applied nothing."""
    for entry in live["metadata"].get("managedFields") or ():
        if (entry.get("manager"), entry.get("operation"), entry.get("subresource")) == (
            manager,
            "Apply",
            None,
        ):
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return {}


def _without_identity(desired: Manifest) -> Manifest:
    """Leave out what names the object: managedFields don't tell of it."""
    metadata = {key: value for key, value in desired["metadata"].items() if key not in ("name", "namespace")}
    return {**{k: v for k, v in desired.items() if k not in ("apiVersion", "kind")}, "metadata": metadata}


def _changed(desired: Any, live: Any, applied: Mapping[str, Any] | None, path: str, *, quantity: bool) -> Iterator[str]:
    """Yield the paths of values that are wanted and are not there."""
    applied = applied or {}
    if isinstance(desired, dict) and isinstance(live, dict):
        for key, value in desired.items():
            found = live.get(key)
            if _same(value, found):  # most of what there is, and most of the time it took
                continue
            below, is_quantity = applied.get(f"f:{key}"), quantity or key in _QUANTITIES
            yield from _changed(value, found, below, dotted(path, key), quantity=is_quantity)
    elif _is_list(desired) and _is_list(live) and (pairs := _paired(desired, live, applied)) is not None:
        for label, wanted, found in pairs:
            if _same(wanted, found):
                continue
            below = _entry_of(wanted, applied)
            yield from _changed(wanted, found, below, f"{path}[{label}]", quantity=quantity)
    elif not _equal(desired, live, quantity=quantity):
        yield path


def _lost(desired: Any, applied: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths that are wanted and that the API server does not count as ours (any more)."""
    if isinstance(desired, dict):
        for key, value in desired.items():
            below = applied.get(f"f:{key}")
            if below is None:
                if not _dropped(value):
                    yield dotted(path, key)
            elif below:
                yield from _lost(value, below, dotted(path, key))
    elif _is_list(desired):
        for index, item in enumerate(desired):
            below = _entry_of(item, applied)
            if below is None:
                yield f"{path}[{item_label(item, index)}]"
            elif below:
                yield from _lost(item, below, f"{path}[{item_label(item, index)}]")


def _abandoned(desired: Any, applied: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths that we applied before and don't want any more."""
    for entry, below in applied.items():
        kind, _, text = entry.partition(":")
        if kind == "f":
            if not isinstance(desired, dict) or text not in desired:
                yield dotted(path, text)
            elif below:
                yield from _abandoned(desired[text], below, dotted(path, text))
        elif kind in ("k", "v") and _is_list(desired):
            key = item_key(text)
            item = next((item for item in desired if has_key(item, key)), None)
            label = next(iter(key.values())) if isinstance(key, dict) else key
            if item is None:
                yield f"{path}[{label}]"
            elif below:
                yield from _abandoned(item, below, f"{path}[{label}]")


def _entry_of(item: Any, applied: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for entry, below in applied.items():
        kind, _, text = entry.partition(":")
        if kind in ("k", "v") and has_key(item, item_key(text)):
            found: Mapping[str, Any] = below
            return found
    return None


@lru_cache(maxsize=1024)
def item_key(text: str) -> Any:
    """Return the key of a list item as managedFields write it. They write the same few for every environment.

    Not to be changed: it is kept.
    """
    return msgspec.json.decode(text)


def has_key(item: Any, key: Any) -> bool:
    """Whether a list item is the one that managedFields names; defaulted key fields may be absent in it."""
    if isinstance(key, dict):
        return isinstance(item, dict) and all(item.get(name, value) == value for name, value in key.items())
    return bool(item == key)


def _paired(
    desired: Sequence[Any], live: Sequence[Any], applied: Mapping[str, Any]
) -> list[tuple[str, Any, Any]] | None:
    """Match the items of two lists; None if that is not possible.

    The API server knows best what tells items apart, and says so in managedFields. Where it says nothing, a key
    that all items have does, else their position.
    """
    if keys := [item_key(entry[2:]) for entry in applied if entry.startswith(("k:", "v:"))]:
        return [(item_label(item, index), item, _same_item(item, live, keys)) for index, item in enumerate(desired)]
    key = next((key for key in _ITEM_KEYS if _tells_apart(key, desired) and _tells_apart(key, live)), None)
    if key is not None:
        found = {item[key]: item for item in live}
        return [(str(item[key]), item, found.get(item[key])) for item in desired]
    if len(desired) != len(live):
        return None
    return [(str(i), wanted, found) for i, (wanted, found) in enumerate(zip(desired, live, strict=True))]


def _same_item(item: Any, live: Sequence[Any], keys: Sequence[Any]) -> Any:
    """Return the item of `live` that has the same one of `keys` as `item`, or None."""
    key = next((key for key in keys if has_key(item, key)), None)
    return None if key is None else next((other for other in live if has_key(other, key)), None)


def _tells_apart(key: str, items: Sequence[Any]) -> bool:
    """Whether all items have `key`, each with another value. Two subjects may well have one name."""
    values = [item[key] for item in items if isinstance(item, dict) and key in item]
    return len(values) == len(items) == len(set(values))


def _same(desired: Any, live: Any) -> bool:
    """Whether two values are the same JSON, however deep; some that are as good as the same are not."""
    if desired != live:
        return False
    # To Python false is 0 and true is 1.
    return type(desired) is str or _encoded(desired) == _encoded(live)


_encoded = msgspec.json.Encoder(order="deterministic").encode


def _equal(desired: Any, live: Any, *, quantity: bool) -> bool:
    if _empty(desired):
        return _empty(live)
    same = desired == live and isinstance(desired, bool) == isinstance(live, bool)
    return same or (quantity and _same_quantity(desired, live))


def _same_quantity(desired: Any, live: Any) -> bool:
    try:
        return parse_quantity(str(desired)) == parse_quantity(str(live))
    except ValueError:
        return False


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, dict, list, tuple)) and len(value) == 0)


def _dropped(value: Any) -> bool:
    """Whether the API server forgets a value that is given. An empty object is kept: it selects everything."""
    return _empty(value) and not isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def item_label(item: Any, index: int) -> str:
    """Return by what a list item is told apart in a path."""
    if isinstance(item, dict):
        return str(next((item[key] for key in _ITEM_KEYS if key in item), index))
    return str(item)


def dotted(path: str, key: str) -> str:
    """Return the path of a field below `path`."""
    simple = f"{path}.{key}" if path else key
    return f"{path}[{key}]" if "." in key or "/" in key else simple
