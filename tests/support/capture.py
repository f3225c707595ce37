"""A server on loopback that keeps what it is asked and answers as each provider does when all is well."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "ya29.of-the-capture"
_TOKEN = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
# By the end of the path: the status and the answer.
_ANSWERS = {
    "/token": (200, json.dumps(_TOKEN)),
    "/v3/mail/send": (202, ""),
    "/Messages.json": (201, json.dumps({"sid": "SM" + "0" * 32, "status": "queued"})),
    "/messages:send": (200, json.dumps({"name": "projects/shop-1/messages/1"})),
}


@dataclass(frozen=True)
class Asked:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Capture:
    """`url` is where it is, `asked` what came so far, without the questions for a token."""

    def __init__(self, url: str, asked: list[Asked]) -> None:
        self.url = url
        self._asked = asked

    @property
    def asked(self) -> list[Asked]:
        """Return what came, oldest first."""
        return [each for each in self._asked if each.path != "/token"]

    def only(self) -> Asked:
        """Return the one request that came, and forget it."""
        [asked] = self.asked
        self._asked.clear()
        return asked


@contextmanager
def capturing() -> Iterator[Capture]:
    """Run the server while the block runs."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(Asked("POST", self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, answer = next(found for end, found in _ANSWERS.items() if self.path.endswith(end))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True  # a client that keeps its connection open is not waited for
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Capture(f"http://127.0.0.1:{server.server_address[1]}", asked)
        finally:
            server.shutdown()
            thread.join()
