#!/bin/bash
# The FHIR models of Python keep a decimal as Decimal, and yet lose its digits on the way in and on the way out.
#
# Good guesses: FHIR says that the precision of a decimal is part of its value (0.010 is not 0.01), the models of
# fhir.resources declare `Quantity.value` as Decimal, pydantic gives Decimal the text of the number, and pull
# requests of 2026 speak of preserved precision. So 5.10 should come back as 5.10.
#
# What happens: `model_validate_json` takes the number through a float, so Decimal('5.10') can't even be reached from
# JSON and a long decimal is cut to 17 digits; `model_dump_json` takes it through a float again, so also a Decimal
# that was made from text, or handed over as Decimal, is written without its last zeros. What survives is only
# whether a whole number was written with a point (19 and 19.00 give 19 and 19.0). Who
# must keep digits has to keep the text of the resource and not the model's.
#
# Versions: fhir.resources 8.3.0 with fhir-core 1.1.12 on pydantic 2.14.4.
# Source: fhir_core/types.py, Decimal.__get_pydantic_core_schema__ (the serializer returns float(value)); the FHIR
# specification, "Datatypes", decimal; nazrulworld/fhir.resources issue 203 and nazrulworld/fhir-core pull 22.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  fhir.resources==8.3.0 fhir-core==1.1.12 pydantic==2.14.4 pydantic-core==2.50.5 annotated-types==0.8.0
cat > "$folder/run.py" <<'PYTHON'
from decimal import Decimal

from fhir.resources.quantity import Quantity

for text in ("5.10", "0.010", "123456789.123456789123", "1e2", "19", "19.00"):
    quantity = Quantity.model_validate_json('{"value": %s}' % text)
    print(f"JSON {text}: {quantity.value!r}, written as {quantity.model_dump_json()}")
for value in (Decimal("5.10"), "5.10"):
    quantity = Quantity(value=value)
    print(f"{value!r}: {quantity.value!r}, written as {quantity.model_dump_json()}")
PYTHON
got=$("$folder/venv/bin/python" "$folder/run.py")
echo "$got"
diff <(echo "$got") - <<'EXPECTED' || { echo "this has changed" >&2; exit 1; }
JSON 5.10: Decimal('5.1'), written as {"value":5.1}
JSON 0.010: Decimal('0.01'), written as {"value":0.01}
JSON 123456789.123456789123: Decimal('123456789.12345679'), written as {"value":123456789.12345679}
JSON 1e2: Decimal('100.0'), written as {"value":100.0}
JSON 19: Decimal('19'), written as {"value":19}
JSON 19.00: Decimal('19.0'), written as {"value":19.0}
Decimal('5.10'): Decimal('5.10'), written as {"value":5.1}
'5.10': Decimal('5.10'), written as {"value":5.1}
EXPECTED
echo "as described"
