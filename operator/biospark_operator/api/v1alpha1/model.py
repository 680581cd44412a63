"""The base of every model of the resource, and the rules a model declares beside its fields.

Every module of this package derives from `Model`. A `Rule` is written once and enforced twice: by the API
server as CEL in the generated CRD, and by the operator in `validation`, because an object may have been
admitted under an older CRD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Rule:
    """A condition over several fields of one object."""

    field: str
    """Where a violation is reported: a path in JSON form below the model, empty for the model itself."""
    message: str
    """What to write instead. Never contains the offending value."""
    cel: str
    holds: Callable[[Any], bool] | None = None
    """The same condition over the parsed model; None when it compares with the stored object (`oldSelf`),
    which only the API server has."""

    def schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = f".{self.field}"
        return entry


class Model(BaseModel):
    """A frozen value with camelCase names in JSON; a field it does not know is an error."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules to the schema of the model."""
        result = handler(core)
        if cls.rules:
            handler.resolve_ref_schema(result)["x-kubernetes-validations"] = [rule.schema() for rule in cls.rules]
        return result
