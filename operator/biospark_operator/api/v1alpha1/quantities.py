"""Kubernetes quantities: `500m`, `2`, `4Gi`.

`Quantity` is the type of a field; it keeps the text as the user wrote it, because it is handed on to
Kubernetes. `parse_quantity` turns it into a number where two have to be compared. The Kubernetes client has a
parser too, but this layer does not import clients.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from biospark_operator.api.v1alpha1.constraints import refused

PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"
HINT = "write a Kubernetes quantity such as 500m, 2 or 4Gi"
MAX_LENGTH = 32

_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: str) -> Decimal:
    """The number behind a quantity (cores, bytes or a count); raises ValueError for anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:[eE]([0-9]{1,2})|([a-zA-Z]*))", text)
    if match is None or not re.fullmatch(PATTERN, text):
        raise ValueError(HINT)
    number, exponent, unit = match.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _FACTORS[unit])


@dataclass(frozen=True)
class IntOrString:
    """Marks a string field that may also be written as a whole number, as Kubernetes does with quantities."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def check(self, value: object) -> str:
        """The text, or a refusal; a float is refused, as the API server does."""
        written = isinstance(value, (int, str)) and not isinstance(value, bool)
        if not written or len(str(value)) > MAX_LENGTH or not re.fullmatch(PATTERN, str(value)):
            raise refused(HINT)
        return str(value)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": MAX_LENGTH,
            "pattern": PATTERN,
            "x-kubernetes-validations": [{"rule": "isQuantity(string(self))", "message": HINT}],
        }


Quantity = Annotated[str, IntOrString()]
