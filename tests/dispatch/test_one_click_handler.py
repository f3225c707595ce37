"""What stands behind a link to unsubscribe: the lines of docs/policy.md, run."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from notifyctl.store.db.database import Database
from tests.dispatch.test_one_click import URL, Mails, left, mailed_token
from tests.dispatch.test_one_click import mails as mails
from tests.support.command import Cli
from tests.support.prose import page

FORMS = {
    "a form": ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
    "multipart": (
        "multipart/form-data; boundary=---FormBoundaryjWmhtjORrn",
        b"-----FormBoundaryjWmhtjORrn\r\n"
        b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
        b"One-Click\r\n-----FormBoundaryjWmhtjORrn--\r\n",
    ),
}
"""The bodies that mail programs send (RFC 8058, 3.2 and 8.1)."""


@pytest.mark.parametrize("form", FORMS)
def test_the_handler_in_the_readme(
    cli: Cli, database: Database, mails: Mails, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines, run: a GET does nothing, a POST of either kind does it without a cookie or redirect, twice as well."""
    link = urlsplit(f"{URL}&token={mailed_token(cli, database, mails)}")
    for name, value in {**cli.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    with serving(handler()) as port:

        def ask(method: str, query: str, *more: Any) -> int:
            conn = HTTPConnection("127.0.0.1", port, timeout=60)
            conn.request(method, f"{link.path}?{query}", *more)
            answer = conn.getresponse()
            assert answer.getheader("Location") is None
            assert answer.getheader("Set-Cookie") is None
            answer.read()
            conn.close()
            return answer.status

        kind, body = FORMS[form]
        posted = (body, {"Content-Type": kind})
        assert (ask("GET", link.query), left(cli)) == (200, [])
        assert (ask("POST", link.query, b"", {}), left(cli)) == (400, [])
        assert (ask("POST", "token=v1.0", *posted), left(cli)) == (400, [])
        assert (ask("POST", f"{link.query[:-1]}.", *posted), left(cli)) == (400, [])
        assert (ask("POST", link.query, *posted), left(cli)) == (200, ["newsletter"])
        assert (ask("POST", link.query, *posted), left(cli)) == (200, ["newsletter"])


def handler() -> Any:
    """Return what it shows."""
    [lines] = re.findall(r"```python\n(import subprocess\n.*?)```", page("policy"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(lines, names)
    return names["application"]


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """Serve a WSGI application on loopback, and give its port."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
