"""The log of requests: one JSON object a line, whole and on disk's way before the answer leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from notifyctl.services.sandbox.exchange import Call, Handled


class Journal:
    """Appends to the file at `path`, mode 0600; keeps nothing when there is none. Close it at the end."""

    def __init__(self, path: Path | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = None if path is None else os.open(path, flags, 0o600)

    def write(self, provider: str, call: Call, handled: Handled, status: int | None, fault: str | None) -> None:
        """Append one request; `status` is None when it gets no answer.

        One write a line: several processes may share the file, and a reader sees only whole lines.
        """
        if self._file is None:
            return
        line = {
            "time": int(call.now * 1000),
            "provider": provider,
            "method": call.method,
            "path": call.path,
            "status": status,
            "fault": fault,
            "notification_id": handled.notification_id,
            "recipient": handled.recipient,
            "headers": _redacted(call),
            "body": _body(provider, call),
        }
        os.write(self._file, json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _redacted(call: Call) -> dict[str, str]:
    headers = dict(call.headers)
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].partition(" ")[0] + " ***"
    return headers


def _body(provider: str, call: Call) -> Any:
    text = call.body.decode(errors="replace")
    # Whoever has the assertion gets a token.
    return {"grant_type": parse_qs(text).get("grant_type", [None])[0]} if provider == "token" else text
