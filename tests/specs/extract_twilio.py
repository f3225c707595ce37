"""Cut `Messages` create out of Twilio's API description: the operation, and the schemas that it refers to.

python tests/specs/extract_twilio.py < twilio_api_v2010.json > tests/specs/twilio_messages_create.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"


def extract(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with no more than that in it; what is left is as it was."""
    item = document["paths"][PATH]
    kept = {key: value for key, value in item.items() if key not in ("get", "put", "patch", "delete")}
    schemas: dict[str, Any] = {}
    waiting = list(_references(kept))
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            schemas[name] = document["components"]["schemas"][name]
            waiting += _references(schemas[name])
    whole = {key: document[key] for key in ("openapi", "info", "servers") if key in document}
    ordered = {name: schema for name, schema in document["components"]["schemas"].items() if name in schemas}
    return {**whole, "paths": {PATH: kept}, "components": {"schemas": ordered}}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/components/schemas/")
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _references(each)


if __name__ == "__main__":
    json.dump(extract(json.load(sys.stdin)), sys.stdout, ensure_ascii=False, indent=2)
    print()
