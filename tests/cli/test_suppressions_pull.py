"""`suppressions pull`: a provider's own lists, from a server that has pages, limits and moods."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.command import Cli
from tests.support.world import KEYS

# What is tested plays outside the database: one of the two is enough.
pytestmark = pytest.mark.parametrize("backend", ["sqlite"])

Answering = Callable[[str, int, int], tuple[int, Any, dict[str, str]]]
BOUNCES, GROUPS = "/v3/suppression/bounces", "/v3/asm/suppressions"


class Lists:
    """SendGrid's lists on a real socket. `rows` are by path; `answer` may say something else first."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.answer: Callable[[str, int, int], tuple[int, Any] | None] = lambda path, offset, limit: None
        self.asked: list[str] = []
        lists = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lists.asked.append(self.path)
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                offset, limit = int(query["offset"][0]), int(query["limit"][0])
                rows = lists.rows.get(parts.path, [])[offset : offset + limit]
                status, value = lists.answer(parts.path, offset, limit) or (200, rows)
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def lists(cli: Cli) -> Iterator[Lists]:
    """The lists, of the provider that is configured."""
    running = Lists()
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    base = ("--set", f"base_url={running.url}", "--set", "from=a@example.com")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *base, input="SG.key\n").ok()
    yield running
    running.server.shutdown()
    running.server.server_close()


def bounced(number: int, reason: str = "550 5.1.1 no such user") -> dict[str, Any]:
    """Return a row of the list of bounces, as SendGrid documents it."""
    return {"created": 1_443_651_125 + number, "email": f"b{number}@example.org", "reason": reason, "status": "5.1.1"}


def pulled(cli: Cli, *options: str) -> dict[str, dict[str, Any]]:
    """Return what came of each list."""
    return {each["name"]: each for each in cli.call("suppressions", "pull", "sendgrid", *options, "-o", "json").json()}


def test_all_pages_and_only_once(cli: Cli, lists: Lists) -> None:
    """Every page is read; the time is SendGrid's; the second time nothing is new, and what was lifted stays so."""
    lists.rows[BOUNCES] = [bounced(number) for number in range(120)]
    assert pulled(cli)["bounces"] == {
        "name": "bounces", "read": 120, "suppressed": 120, "only_shown": False, "problem": None,
    }  # fmt: skip
    [row] = cli.call("suppressions", "show", "b7@example.org", "-o", "json").ok().json()
    assert (row["created_at"], row["cause"]) == ("2015-09-30T22:12:12.000Z", "bounce")
    cli.call("suppressions", "remove", "email", "b7@example.org").ok()
    assert pulled(cli)["bounces"]["suppressed"] == 0
    assert cli.call("suppressions", "show", "b7@example.org").exit_code == 3


def test_a_dry_run_writes_nothing(cli: Cli, lists: Lists) -> None:
    """It reads all the same."""
    lists.rows[BOUNCES] = [bounced(1)]
    assert pulled(cli, "--dry-run")["bounces"]["read"] == 1
    assert cli.call("suppressions", "list", "-o", "json").ok().json() == []


def test_long_reasons_and_lists_without_pages(cli: Cli, lists: Lists) -> None:
    """What does not fit into an answer is asked for in smaller parts; one that gives all at once is read once."""
    lists.rows[BOUNCES] = [bounced(number, "x" * 4_000) for number in range(60)]
    everybody = [{"email": f"g{number}@example.org", "group_id": 7, "created_at": 5} for number in range(200)]
    lists.answer = lambda path, offset, limit: (200, everybody) if path == GROUPS else None
    done = pulled(cli)
    assert (done["bounces"]["read"], done["bounces"]["suppressed"]) == (60, 60)
    assert done["group_unsubscribes"]["suppressed"] == 200


def test_a_list_that_cannot_be_read_costs_only_itself(cli: Cli, lists: Lists) -> None:
    """Exit 6 names it; where SendGrid wants to be asked more slowly, it is asked again."""
    lists.rows[BOUNCES] = [bounced(1)]
    said: list[str] = []

    def answer(path: str, offset: int, limit: int) -> tuple[int, Any] | None:
        said.append(path)
        if path == BOUNCES and said.count(path) < 3:
            return 429, {"errors": [{"message": "too many requests"}]}
        return (403, {"errors": [{"message": "access forbidden"}]}) if path == GROUPS else None

    lists.answer = answer
    done = cli.call("suppressions", "pull", "sendgrid", "-o", "json")
    assert done.exit_code == 6
    assert "group_unsubscribes: HTTP 403 access forbidden" in done.stderr
    assert cli.call("suppressions", "show", "b1@example.org").exit_code == 0


def test_who_keeps_no_lists(cli: Cli, lists: Lists) -> None:
    """A provider without lists is a usage error, one that is not configured or installed is not found."""
    assert cli.call("suppressions", "pull", "smtp").exit_code == 2
    assert cli.call("suppressions", "pull", "nobody").exit_code == 3
