"""Cases that several parts of the system answer alike, each written down once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def content() -> dict[str, Any]:
    """What contents come to as canonical JSON, which are refused, and what submissions' hashes are."""
    found: dict[str, Any] = json.loads((FOLDER / "content.json").read_text(encoding="utf-8"))
    return found
