"""Reading a stored object: `parse_environment`, and the errors it reports.

The operator calls it at the start of every pass. The API server checks the same on admission, but an object
may have been admitted under an older CRD.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment
from biospark_operator.api.v1alpha1.model import Model


@dataclass(frozen=True)
class SpecIssue:
    """One thing to correct."""

    path: str
    """The field in JSON form, such as `spec.gateway.rateLimit.redis`."""
    message: str
    """What to write instead; never the offending value, which could be a secret."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidSpec(ValueError):  # noqa: N818 - named like the condition reason it leads to
    """The object breaks the rules of the resource; `issues` has every one that was found."""

    def __init__(self, issues: Sequence[SpecIssue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(map(str, self.issues)))


def parse_environment(body: Mapping[str, Any]) -> BioSparkEnvironment:
    """Read an object as the API server returns it; raises InvalidSpec."""
    try:
        # As JSON, and strictly: Python would take "5" for 5 and "yes" for true, the API server does not.
        environment = BioSparkEnvironment.model_validate_json(msgspec.json.encode(dict(body)), strict=True)
    except ValidationError as error:
        raise InvalidSpec([_issue(details) for details in error.errors(include_input=False)]) from None
    if issues := list(broken_rules(environment)):
        raise InvalidSpec(issues)
    return environment


def broken_rules(model: Model, path: str = "") -> Iterator[SpecIssue]:
    """Every rule that the model or anything in it breaks."""
    for rule in type(model).rules:
        if rule.holds is not None and not rule.holds(model):
            yield SpecIssue(_join(path, rule.field), rule.message)
    for name, field in type(model).model_fields.items():
        yield from _broken_within(getattr(model, name), _join(path, field.alias or name))


def _broken_within(value: object, path: str) -> Iterator[SpecIssue]:
    if isinstance(value, Model):
        yield from broken_rules(value, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _broken_within(item, f"{path}[{index}]")


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path and field else path or field


def _issue(details: Any) -> SpecIssue:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"])
    return SpecIssue(path.lstrip("."), _message(details))


def _message(details: Any) -> str:
    """The words of pydantic are kept where they say what to write, and replaced where they do not."""
    match details["type"]:
        case "missing":
            return "this field is required"
        case "extra_forbidden":
            return "unknown field: correct its spelling or remove it"
        case "enum":
            return f"write {details['ctx']['expected']}"
        case _:
            return str(details["msg"])
