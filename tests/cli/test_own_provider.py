"""The example of docs/own-provider.md, installed as it stands there, delivers."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Cli
from tests.support.prose import page
from tests.support.world import KEYS


@pytest.fixture
def package(tmp_path: Path) -> dict[str, str]:
    """The environment in which its package is installed."""
    code, project = re.findall(r"```(?:python|toml)\n(.*?)```", page("own-provider"), re.DOTALL)
    facts = tomllib.loads(project)["project"]
    folder = tmp_path / "packages"
    info = folder / f"{facts['name'].replace('-', '_')}-{facts['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n")
    points = [f"{name} = {value}" for name, value in facts["entry-points"]["notifyctl.providers"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[notifyctl.providers]", *points, ""]))
    (folder / "notifyctl_acme.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def cli(sqlite_url: str, tmp_path: Path, package: dict[str, str]) -> Cli:
    """The command line where that package is installed. It takes a process to see it, so one database is enough."""
    home = tmp_path / "home"
    home.mkdir()
    made = Cli(home=home, database_url=sqlite_url)
    made.env |= {**package, "NOTIFYCTL_ENCRYPTION_KEYS": KEYS}
    return made


@pytest.fixture
def acme() -> Iterator[ThreadingHTTPServer]:
    """Somebody's SMS service on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"], json.loads(body)))
            answer = b'{"id": "acme-%d"}' % len(asked)
            self.send_response(201)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[tuple[str, str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = asked  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_delivers(cli: Cli, acme: Any) -> None:
    """From `providers add` to `sent`: all that the page says there is to do."""
    base = f"base_url=http://127.0.0.1:{acme.server_port}"
    cli.run("providers", "add", "acme", "--api-key", "-", "--set", base, input="a-key\n").ok()
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("users", "contacts", "add", "anna", "sms", "+14155552345").ok()
    id_ = cli.run("send", "anna", "--channel", "sms", "--body", "Hällo", "-o", "id").ok().stdout.strip()
    cli.run("dispatch", "--once").ok()
    shown = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    assert (shown["status"], shown["provider"], shown["provider_message_id"]) == ("sent", "acme", "acme-1")
    assert acme.asked == [("/messages", "Bearer a-key", {"to": "+14155552345", "text": "Hällo", "reference": id_})]


def test_it_checks_its_settings(cli: Cli) -> None:
    """What the adapter minds is said when it is added."""
    refused = cli.run("providers", "add", "acme", "--set", "base_url=nonsense")
    assert refused.exit_code == 2
    assert "the API key is missing; base_url must be an http or https address" in refused.stderr
