"""Secrets in a mount of KV version 2: read, written with check-and-set, marked, deleted with all versions.

On a mount of version 1 every request would succeed, and mean something else; so a mount is looked at before it is used.
Values are strings: numbers lose digits on the way, and stand in audit logs as they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import names
from biospark_operator.clients.vault.server import Vault
from biospark_operator.engine.errors import AccessError, RejectedError

Marks = Mapping[str, str]

#: Seconds for which a mount is taken as what it was.
CHECKED = 600.0
#: Pairs that servers still take, and bytes of all of them.
MOST_PAIRS, MOST_BYTES = 400, 512 * 1024
#: Pairs of `custom_metadata`, and bytes of a key and of a value there.
_MOST_MARKS, _LONGEST_KEY, _LONGEST_MARK = 64, 128, 512


@dataclass(frozen=True, slots=True)
class Entry:
    """What is at a path. `version` 0 has never been written; `data` is None where there is none (any more)."""

    version: int = 0
    data: Mapping[str, str] | None = field(default=None, repr=False)
    marks: Marks = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether somebody has made something here, if only marks."""
        return self.version > 0 or bool(self.marks) or self.data is not None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a server keeps about a path beside the values. `count` is its own version, where servers count that."""

    version: int
    marks: Marks
    max_versions: int
    count: int | None = None


class Mount:
    """A mount of KV version 2."""

    def __init__(self, vault: Vault, mount: str) -> None:
        self.vault, self.name = vault, names.mount(mount, "kvMount")
        self._checked = float("-inf")

    async def check(self) -> None:
        """Raise `AccessError` unless there is an engine of KV version 2."""
        if time.monotonic() - self._checked < CHECKED:
            return
        answer = await self.vault.ask(
            f"look at the mount {self.name}", lambda api: api.plain.get(f"/v1/sys/internal/ui/mounts/{self.name}")
        )
        options = answer.data.get("options") or {}
        found = str(answer.data.get("path", "")).strip("/")
        if answer.data.get("type") != "kv" or options.get("version") != "2" or found != self.name:
            raise AccessError(
                f"could not use the mount {self.name} on {self.vault.address}: it is not KV version 2; correct the "
                "mount, or upgrade it with `vault kv enable-versioning`",
                reason=Reason.VAULT_MOUNT_INVALID,
            )
        self._checked = time.monotonic()

    async def read(self, path: str) -> Entry:
        """Return what is at a path, with the marks and the version that a write has to expect."""
        path = _path(path)
        await self.check()
        answer = await self.vault.ask(
            f"read the secret {self._named(path)}",
            lambda api: api.secrets.kv.v2.read_secret_version(
                path, mount_point=self.name, raise_on_deleted_version=False
            ),
        )
        if answer.nothing:
            metadata = await self.metadata(path)
            return Entry() if metadata is None else Entry(metadata.version, None, metadata.marks)
        told = answer.data.get("metadata") or {}
        return Entry(int(told["version"]), _values(answer.data.get("data")), dict(told.get("custom_metadata") or {}))

    async def metadata(self, path: str) -> Metadata | None:
        """Return what is kept about a path, None where nothing ever was."""
        path = _path(path)
        await self.check()
        answer = await self.vault.ask(
            f"read the metadata of the secret {self._named(path)}",
            lambda api: api.secrets.kv.v2.read_secret_metadata(path, mount_point=self.name),
        )
        if not answer.good:
            return None
        told = answer.data
        count = told.get("current_metadata_version")
        return Metadata(
            int(told.get("current_version", 0)),
            dict(told.get("custom_metadata") or {}),
            int(told.get("max_versions", 0)),
            count if isinstance(count, int) else None,
        )

    async def write(self, path: str, data: Mapping[str, str], expected: int) -> int:
        """Write the version after the `expected` one and return its number.

        Raises `ConflictError` where another one is there. A write of which nobody knows what became of it counts as
        done where the next version holds just this.
        """
        path = _path(path)
        await self.check()
        content = _checked(data, self._named(path))

        async def there() -> bool:
            entry = await self.read(path)
            return entry.version == expected + 1 and entry.data == content

        answer = await self.vault.write(
            f"write the secret {self._named(path)}",
            lambda api: api.secrets.kv.v2.create_or_update_secret(path, content, cas=expected, mount_point=self.name),
            there,
        )
        return expected + 1 if answer is None else int(answer.data["version"])

    async def mark(self, path: str, marks: Marks, max_versions: int, before: Metadata | None) -> None:
        """Lay marks over those that were read `before`, and say how many versions are kept.

        Nothing else of the metadata is touched. Raises `ConflictError` where it is another one by now, as far as the
        server counts.
        """
        path = _path(path)
        await self.check()
        merged = _marks({**(before.marks if before else {}), **marks}, self._named(path))
        body: dict[str, Any] = {"custom_metadata": merged, "max_versions": max_versions}
        if before is None:
            body["metadata_cas"] = 0
        elif before.count is not None:
            body["metadata_cas"] = before.count

        async def there() -> bool:
            found = await self.metadata(path)
            return found is not None and found.marks == merged and found.max_versions == max_versions

        # hvac's method resets what it is not told.
        await self.vault.write(
            f"mark the secret {self._named(path)}",
            lambda api: api.plain.post(f"/v1/{self.name}/metadata/{path}", json=body),
            there,
        )

    async def delete(self, path: str) -> None:
        """Delete all versions of a secret and its metadata; nothing there is fine."""
        path = _path(path)
        await self.check()

        async def gone() -> bool:
            return await self.metadata(path) is None

        await self.vault.write(
            f"delete the secret {self._named(path)}",
            lambda api: api.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=self.name),
            gone,
        )

    def _named(self, path: str) -> str:
        return f"{path} of {self.name}"


def _path(path: str) -> str:
    return names.path(path, "the path of a secret")


def _values(data: Any) -> Mapping[str, str] | None:
    """Return the values as strings; somebody else may have written others."""
    if not isinstance(data, Mapping):
        return None
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}


def _checked(data: Mapping[str, str], where: str) -> dict[str, str]:
    if not data or not all(isinstance(value, str) for value in data.values()):
        raise RejectedError(f"the secret {where}: values have to be strings, and there has to be one")
    if len(data) > MOST_PAIRS or sum(len(key) + len(value.encode()) for key, value in data.items()) > MOST_BYTES:
        raise RejectedError(f"the secret {where}: write at most {MOST_PAIRS} values, and {MOST_BYTES // 1024} KiB")
    return dict(data)


def _marks(marks: Marks, where: str) -> dict[str, str]:
    for key, value in marks.items():
        if not 0 < len(key.encode()) <= _LONGEST_KEY or not 0 < len(value.encode()) <= _LONGEST_MARK:
            raise RejectedError(f"the mark {key} of the secret {where}: write 1 to {_LONGEST_MARK} bytes")
        if not (key + value).isprintable():
            raise RejectedError(f"the mark {key} of the secret {where}: write printable characters")
    if len(marks) > _MOST_MARKS:
        raise RejectedError(f"the marks of the secret {where}: write at most {_MOST_MARKS}")
    return dict(marks)
