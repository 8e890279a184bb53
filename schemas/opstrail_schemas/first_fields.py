"""Some of a message's first fields, read without the rest of it (PURE).

State is restored from a million messages of which a few fields matter: a whole decode of each
takes four times as long (bench/reliability.py).
"""

import json
from collections.abc import Collection
from typing import Any

_TEXT, _NUMBERS = frozenset({"string", "bytes"}), frozenset({"int", "long"})
_LONGEST_NUMBER_BITS = 63
_SEVEN_BITS = 127
_VALUE = 2  # the branch of ["null", X] that is X, as a byte of Avro; null is 0


class FirstFields:
    """Reads the named fields of Avro bodies that were written with one schema.

    These, and those before them, must be text, bytes, whole numbers or enumerations, or one of
    them or null: raises TypeError for other schemas.
    """

    def __init__(self, schema_text: str, names: Collection[str]) -> None:
        fields = json.loads(schema_text)["fields"]
        while fields[-1]["name"] not in names:
            del fields[-1]
        self._fields = [(field["name"] in names, *_form(field["type"])) for field in fields]

    def read(self, value: bytes, at: int) -> list[Any] | None:
        """Read a body from that byte on: in the schema's order, text as its bytes.

        None where only a whole decode can tell what it is.
        """
        found: list[Any] = []
        try:
            for wanted, nullable, is_text, symbols in self._fields:
                if nullable:
                    at += 1
                    if value[at - 1] != _VALUE:
                        if value[at - 1]:
                            return None
                        if wanted:
                            found.append(None)
                        continue
                number, at = _number_at(value, at)
                if not is_text:
                    if wanted:
                        found.append(symbols[number] if symbols else number)
                    continue
                start, at = at, at + number
                if number < 0 or at > len(value):
                    return None
                if wanted:
                    found.append(value[start:at])
        except LookupError:
            return None
        return found


def _form(avro_type: Any) -> tuple[bool, bool, dict[int, str] | None]:
    """Return of a type: may it be null, does a length come before it, and its symbols."""
    match avro_type:
        case ["null", of_value]:
            nullable = True
        case of_value:
            nullable = False
    described = of_value if isinstance(of_value, dict) else {"type": of_value}
    match described["type"]:
        case "enum":
            return nullable, False, dict(enumerate(described["symbols"]))
        case str(name) if name in _TEXT | _NUMBERS:
            return nullable, name in _TEXT, None
    raise TypeError(f"only text, numbers and enumerations can be passed over, not {avro_type}")


def _number_at(value: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends: seven bits a byte, the lowest first, the sign lowest."""
    byte = value[at]
    if byte <= _SEVEN_BITS:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = byte & _SEVEN_BITS, 7
    while byte > _SEVEN_BITS:
        if shift > _LONGEST_NUMBER_BITS:
            raise IndexError
        at += 1
        byte = value[at]
        number |= (byte & _SEVEN_BITS) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at + 1
